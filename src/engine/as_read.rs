//! Pictures as models read them.

use crate::data::picture::Picture;
use crate::input::resample::bicubic;

/// A picture at the size in which a model reads it, resized as the processor does it.
pub fn as_read(picture: &Picture, (width, height): (u32, u32)) -> Picture {
    Picture::new(picture.name.clone(), bicubic(&picture.pixels, width, height))
}
