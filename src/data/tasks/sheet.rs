//! A contact sheet: some examples of a task at a glance, each with its answer.

use image::imageops::FilterType;
use image::{Rgb, RgbImage};

use super::super::draw::marks;
use super::make::TasksOrder;
use super::{Photos, Split, Task};
use crate::error::Result;

/// Height of an image on the sheet.
const ROW: u32 = 150;
const GAP: u32 = 6;
const PAPER: Rgb<u8> = Rgb([245; 3]);

/// `count` training examples of a task, in rows of `columns`, the images of each side by side and its answer beside
/// them.
///
/// # Errors
/// A photograph that cannot be read any more.
pub fn sheet(
    order: &TasksOrder,
    task: Task,
    photos: &Photos,
    count: usize,
    columns: usize,
) -> Result<RgbImage> {
    let examples = order.examples(task, Split::Train, photos, 0..count)?;
    let strips: Vec<RgbImage> =
        examples.into_iter().map(|(_, example)| strip(&example.marked(order.ink), &example.target)).collect();
    let width = strips.iter().map(RgbImage::width).max().unwrap_or(1) + GAP;
    let height = strips.iter().map(RgbImage::height).max().unwrap_or(1) + GAP;
    let rows = strips.len().div_ceil(columns) as u32;
    let mut sheet = RgbImage::from_pixel(width * columns as u32 + GAP, height * rows + GAP, PAPER);
    for (i, strip) in strips.iter().enumerate() {
        let (col, row) = ((i % columns) as u32, (i / columns) as u32);
        image::imageops::replace(
            &mut sheet,
            strip,
            i64::from(GAP + col * width),
            i64::from(GAP + row * height),
        );
    }
    Ok(sheet)
}

/// The images side by side at one scale, the largest as high as a row or as wide as one and a half.
fn strip(images: &[RgbImage], answer: &str) -> RgbImage {
    const LABEL: u32 = 34;
    let (widest, highest) =
        images.iter().fold((1, 1), |(w, h), image| (image.width().max(w), image.height().max(h)));
    let factor = (f64::from(ROW) / f64::from(highest)).min(1.5 * f64::from(ROW) / f64::from(widest));
    let side = |s: u32| ((f64::from(s) * factor) as u32).max(1);
    let scaled: Vec<RgbImage> = images
        .iter()
        .map(|image| {
            image::imageops::resize(image, side(image.width()), side(image.height()), FilterType::CatmullRom)
        })
        .collect();
    let width = scaled.iter().map(|image| image.width() + 2).sum::<u32>() + LABEL;
    let mut strip = RgbImage::from_pixel(width, side(highest).max(20), PAPER);
    let mut x = LABEL;
    for image in &scaled {
        image::imageops::replace(&mut strip, image, i64::from(x), 0);
        x += image.width() + 2;
    }
    marks::caption(&strip, [4.0, 2.0], 16.0, answer)
}
