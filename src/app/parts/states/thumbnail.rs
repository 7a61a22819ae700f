//! Which patch a visual token is, and its picture.

use std::cell::RefCell;

use egui::{Context, TextureHandle};

use crate::app::kit::geometry::Hovered;
use crate::engine::project::{Collected, Sampled};

/// The picture of the patch that was pointed at last.
#[derive(Default)]
pub struct Thumbnail(RefCell<Option<(usize, Hovered, TextureHandle)>>);

impl Thumbnail {
    /// A patch with what is around it; nothing where its image cannot be read.
    pub fn of(
        &self,
        ctx: &Context,
        collected: &Collected,
        sample: usize,
        patch: Hovered,
    ) -> Option<TextureHandle> {
        let mut held = self.0.borrow_mut();
        if let Some((of, which, texture)) = &*held
            && (*of, *which) == (sample, patch)
        {
            return Some(texture.clone());
        }
        let picture = collected.records.get(sample)?.images.get(patch.image)?.read().ok()?;
        let sampled = &collected.states.samples()[sample];
        let (rows, cols) = sampled.grids.get(patch.image)?.merged(sampled.merge_size);
        let (width, height) = picture.size();
        // The patch, and half of it on each side.
        let part = |place: usize, count: usize, side: u32| {
            let each = side as f32 / count.max(1) as f32;
            let low = ((place as f32 - 0.5) * each).max(0.0) as u32;
            let high = (((place as f32 + 1.5) * each) as u32).clamp(low + 1, side.max(low + 1));
            (low.min(side.saturating_sub(1)), high - low)
        };
        let ((left, across), (top, down)) = (part(patch.col, cols, width), part(patch.row, rows, height));
        let crop = image::imageops::crop_imm(&picture.pixels, left, top, across, down).to_image();
        let size = [crop.width() as usize, crop.height() as usize];
        let image = egui::ColorImage::from_rgb(size, crop.as_raw());
        let texture = ctx.load_texture("patch", image, egui::TextureOptions::NEAREST);
        *held = Some((sample, patch, texture.clone()));
        Some(texture)
    }
}

/// Where a visual token is, by its number among all of its sample's.
pub fn patch(sample: &Sampled, index: u32) -> Option<Hovered> {
    let place = sample.place(index)?;
    Some(Hovered { image: place.image, row: place.row, col: place.column })
}
