//! The picture beside a point that is pointed at: its sample's images under what its latents look at, its own patch framed.

use std::cell::RefCell;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::{Rgb, RgbImage};

use crate::analysis::maps::GridMap;
use crate::analysis::normalise::Range;
use crate::app::kit::geometry::Hovered;
use crate::app::kit::sheet::side_by_side;
use crate::engine::project::{Collected, KeptToken, Sampled, StateScalar};
use crate::render::blend::{OverlayStyle, compose};
use crate::units::Role;

/// Which point's picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PictureOf {
    /// Of which layouts, of all that ever were.
    pub side: u64,
    /// Number of the sample.
    pub sample: usize,
    /// Place of the residual stream.
    pub layer: u32,
    /// The token.
    pub kept: KeptToken,
}

/// The picture of the point that was pointed at last, which is made off the window's thread.
#[derive(Default)]
pub struct Thumbnail {
    /// On its way.
    pub wanted: Option<PictureOf>,
    made: Option<(PictureOf, ColorImage)>,
    shown: RefCell<Option<(PictureOf, TextureHandle)>>,
}

impl Thumbnail {
    /// Takes a picture that was made.
    pub fn take(&mut self, of: PictureOf, picture: ColorImage) {
        self.wanted = self.wanted.filter(|wanted| *wanted != of);
        self.made = Some((of, picture));
    }

    /// Is it there?
    pub fn has(&self, of: PictureOf) -> bool {
        self.made.as_ref().is_some_and(|(own, _)| *own == of)
    }

    /// The picture of a point, where it is there.
    pub fn texture(&self, ctx: &Context, of: PictureOf) -> Option<TextureHandle> {
        let mut shown = self.shown.borrow_mut();
        if let Some((_, texture)) = shown.as_ref().filter(|(own, _)| *own == of) {
            return Some(texture.clone());
        }
        let (_, picture) = self.made.as_ref().filter(|(own, _)| *own == of)?;
        let texture = ctx.load_texture("point", picture.clone(), TextureOptions::LINEAR);
        *shown = Some((of, texture.clone()));
        Some(texture)
    }
}

/// Height of the images, in pixels.
const HEIGHT: u32 = 180;
/// Between them.
const GAP: u32 = 4;

/// Makes the picture of a point: images side by side, under the attention that the latents give them in the layer that made
/// the point's state (mean over latents and heads), where the states of image tokens are kept; the point's own patch framed,
/// of a latent the one it looks at most. Nothing where no image can be read.
pub fn pictured(collected: &Collected, of: PictureOf) -> Option<ColorImage> {
    let record = collected.records.get(of.sample)?;
    let sampled = collected.states.samples().get(of.sample)?;
    let framed = framed(sampled, of);
    let maps = maps(sampled, of.layer);
    let high = maps.iter().flatten().flat_map(|map| &map.values).copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut pictures: Vec<RgbImage> = Vec::new();
    for (i, source) in record.images.iter().enumerate() {
        let picture = source.read().ok()?;
        let (width, height) = picture.size();
        let wide = (u64::from(width) * u64::from(HEIGHT) / u64::from(height.max(1))).clamp(1, 1024) as u32;
        let filter = image::imageops::FilterType::Triangle;
        let mut small = image::imageops::resize(&picture.pixels, wide, HEIGHT, filter);
        if let Some(map) = maps.get(i).and_then(Option::as_ref) {
            let style = OverlayStyle { smooth: true, fade: true, ..OverlayStyle::default() };
            small = compose(&small, map, Range { low: 0.0, high }, &style);
        }
        if let Some((patch, size)) = framed.filter(|(patch, _)| patch.image == i) {
            frame(&mut small, patch, size);
        }
        pictures.push(small);
    }
    if pictures.is_empty() {
        return None;
    }
    let sheet = side_by_side(&pictures, GAP, 128);
    Some(ColorImage::from_rgb([sheet.width() as usize, sheet.height() as usize], sheet.as_raw()))
}

/// The patch that a point is about, with the size of its image's grid.
pub(super) fn framed(sampled: &Sampled, of: PictureOf) -> Option<(Hovered, (usize, usize))> {
    let visual = match of.kept.role {
        Role::Image => of.kept.index,
        Role::Latent => {
            let layer = sampled.layers.iter().position(|own| *own == of.layer as usize)?;
            *sampled.looks.get(layer)?.get(of.kept.index as usize)?
        }
        Role::Prompt | Role::Answer => return None,
    };
    Some((patch(sampled, visual)?, sampled.place(visual)?.size))
}

/// What the latents give each image in a layer; nothing for one of which not every token's state is kept.
fn maps(sampled: &Sampled, layer: u32) -> Vec<Option<GridMap>> {
    let mut first = 0;
    let one = |grid: &crate::units::GridThw| {
        let (rows, cols) = grid.merged(sampled.merge_size);
        let count = grid.num_visual_tokens(sampled.merge_size);
        let own = first..first + count as u32;
        first += count as u32;
        let kept = sampled.tokens.iter().filter(|kept| kept.role == Role::Image && own.contains(&kept.index));
        let values: Option<Vec<f32>> =
            kept.map(|kept| sampled.scalar(StateScalar::Attended, layer, kept.token)).collect();
        values.filter(|values| values.len() == rows * cols).map(|values| GridMap { rows, cols, values })
    };
    sampled.grids.iter().map(one).collect()
}

/// Draws a frame around a patch, light inside dark.
fn frame(picture: &mut RgbImage, patch: Hovered, (rows, cols): (usize, usize)) {
    let (width, height) = picture.dimensions();
    let edge = |place: usize, count: usize, side: u32| {
        (place as f32 * side as f32 / count.max(1) as f32).round() as u32
    };
    let (left, right) = (edge(patch.col, cols, width), edge(patch.col + 1, cols, width));
    let (top, bottom) = (edge(patch.row, rows, height), edge(patch.row + 1, rows, height));
    for (off, colour) in [(1_i64, [0_u8; 3]), (0, [255; 3])] {
        let (left, right) = (i64::from(left) - off, i64::from(right) - 1 + off);
        let (top, bottom) = (i64::from(top) - off, i64::from(bottom) - 1 + off);
        let across = (left..=right).flat_map(|x| [(x, top), (x, bottom)]);
        let down = (top..=bottom).flat_map(|y| [(left, y), (right, y)]);
        for (x, y) in across.chain(down) {
            if (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y) {
                picture.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
    }
}

/// Where a visual token is, by its number among all of its sample's.
pub fn patch(sample: &Sampled, index: u32) -> Option<Hovered> {
    let place = sample.place(index)?;
    Some(Hovered { image: place.image, row: place.row, col: place.column })
}

/// The visual token of a patch, by its number among all of its sample's; [`patch`] the other way round.
pub fn token_of(sample: &Sampled, patch: Hovered) -> Option<u32> {
    let before = sample.grids.get(..patch.image)?.iter();
    let before: usize = before.map(|grid| grid.num_visual_tokens(sample.merge_size)).sum();
    let (rows, cols) = sample.grids.get(patch.image)?.merged(sample.merge_size);
    (patch.row < rows && patch.col < cols).then_some((before + patch.row * cols + patch.col) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_lies_around_its_patch() {
        let mut picture = RgbImage::from_pixel(20, 10, Rgb([9; 3]));
        frame(&mut picture, Hovered { image: 0, row: 1, col: 2 }, (2, 4));
        let at = |x: u32, y: u32| picture.get_pixel(x, y).0[0];
        assert_eq!((at(10, 5), at(14, 9), at(12, 7), at(9, 5), at(10, 4), at(0, 0)), (255, 255, 9, 0, 0, 9));
    }
}
