//! Pieces of images in the place of points, where few are in view: the patch of a visual token, what a latent looks at most.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;

use super::thumbnail::{PictureOf, framed};
use crate::engine::project::Collected;

/// Pieces that were made, off the window's thread.
#[derive(Default)]
pub struct Crops {
    /// On their way.
    pub wanted: HashSet<PictureOf>,
    made: HashMap<PictureOf, Option<ColorImage>>,
    shown: RefCell<HashMap<PictureOf, TextureHandle>>,
}

/// Pieces that are kept.
const KEPT: usize = 1024;

impl Crops {
    /// Takes one that was made; nothing where there is no image to show.
    pub fn take(&mut self, of: PictureOf, piece: Option<ColorImage>) {
        self.wanted.remove(&of);
        if self.made.len() >= KEPT {
            self.made.clear();
            self.shown.borrow_mut().clear();
        }
        self.made.insert(of, piece);
    }

    /// Those that are neither there nor on their way.
    pub fn missing(&self, all: impl Iterator<Item = PictureOf>) -> Vec<PictureOf> {
        all.filter(|of| !self.made.contains_key(of) && !self.wanted.contains(of)).collect()
    }

    /// The piece of a point, where it is there.
    pub fn texture(&self, ctx: &Context, of: PictureOf) -> Option<TextureHandle> {
        let piece = self.made.get(&of)?.as_ref()?;
        let mut shown = self.shown.borrow_mut();
        let load = || ctx.load_texture("piece", piece.clone(), TextureOptions::LINEAR);
        Some(shown.entry(of).or_insert_with(load).clone())
    }
}

/// Pixels on a side of a piece.
const SIDE: u32 = 48;

/// Makes pieces of the images of some points, sample by sample, each of the patch it is about and those around it; nothing of
/// one without a patch, or whose image cannot be read.
pub fn cropped(collected: &Collected, mut of: Vec<PictureOf>, tell: &dyn Fn(PictureOf, Option<ColorImage>)) {
    of.sort_by_key(|own| own.sample);
    for own in of.chunk_by(|a, b| a.sample == b.sample) {
        let record = collected.records.get(own[0].sample);
        let sampled = collected.states.samples().get(own[0].sample);
        let mut pictures = HashMap::new();
        for of in own {
            let place = sampled.and_then(|sampled| framed(sampled, *of));
            let piece = place.and_then(|(patch, (rows, cols))| {
                let picture = pictures.entry(patch.image).or_insert_with(|| {
                    let source = record?.images.get(patch.image)?;
                    source.read().ok()
                });
                Some(around(&picture.as_ref()?.pixels, (patch.row, rows), (patch.col, cols)))
            });
            tell(*of, piece);
        }
    }
}

/// A patch and its neighbours, by its place among so many down and across.
fn around(picture: &RgbImage, down: (usize, usize), across: (usize, usize)) -> ColorImage {
    let span = |(place, count): (usize, usize), side: u32| {
        let each = side as f32 / count.max(1) as f32;
        let first = ((place as f32 - 1.0) * each).max(0.0);
        let last = ((place as f32 + 2.0) * each).min(side as f32);
        (first as u32, ((last - first) as u32).max(1))
    };
    let ((x, width), (y, height)) = (span(across, picture.width()), span(down, picture.height()));
    let piece = image::imageops::crop_imm(picture, x, y, width, height).to_image();
    let filter = image::imageops::FilterType::Triangle;
    let piece = image::imageops::resize(&piece, SIDE, SIDE, filter);
    ColorImage::from_rgb([SIDE as usize; 2], piece.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_shows_its_patch_in_the_middle_and_ends_with_the_image() {
        // A patch of each shade, four across and two down.
        let picture =
            RgbImage::from_fn(80, 40, |x, y| image::Rgb([(x / 20 * 60) as u8, (y / 20 * 200) as u8, 9]));
        let piece = around(&picture, (1, 2), (2, 4));
        assert_eq!(piece.size, [48, 48]);
        let at = |x: usize, y: usize| piece.pixels[y * 48 + x];
        assert_eq!((at(24, 40).r(), at(24, 40).g()), (120, 200));
        assert_eq!((at(2, 2).r(), at(46, 2).r(), at(24, 2).g()), (60, 180, 0));
        let corner = around(&picture, (0, 2), (0, 4));
        assert_eq!((corner.pixels[0].r(), corner.pixels[47].r()), (0, 60));
    }
}
