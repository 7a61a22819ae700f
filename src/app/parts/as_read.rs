//! Images as the model read them, to be looked at in the place of the files'.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::data::picture::{Picture, PictureId};
use crate::trace::Trace;

/// An image at a size in pixels.
pub type ImageAtSize = (PictureId, (u32, u32));

/// Images that were resized, off the window's thread.
#[derive(Default)]
pub struct AsRead {
    wanted: HashSet<ImageAtSize>,
    made: HashMap<ImageAtSize, Arc<Picture>>,
}

/// Images that are kept.
const KEPT: usize = 32;

/// The width and height in which a run read an image, in pixels.
pub fn size_in(trace: &Trace, image: usize) -> Option<(u32, u32)> {
    trace.grids.get(image)?;
    let (height, width) = trace.read_size(image);
    Some((width as u32, height as u32))
}

impl AsRead {
    /// An image at a size, where it is there.
    pub fn get(&self, image: PictureId, size: (u32, u32)) -> Option<&Arc<Picture>> {
        self.made.get(&(image, size))
    }

    /// Is it to be made? From now on it is on its way.
    pub fn wants(&mut self, image: PictureId, size: (u32, u32)) -> bool {
        !self.made.contains_key(&(image, size)) && self.wanted.insert((image, size))
    }

    /// Takes one that was made.
    pub fn take(&mut self, of: ImageAtSize, picture: Arc<Picture>) {
        self.wanted.remove(&of);
        if self.made.len() >= KEPT {
            self.made.clear();
        }
        self.made.insert(of, picture);
    }
}
