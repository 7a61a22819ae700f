//! Which piece completes the picture? The bottom right quadrant of a canvas is black; one piece is what was there,
//! the other a piece of the same photograph that touches it.
//!
//! The two pieces are chosen first, side by side somewhere in the photograph; then the canvas is laid where the
//! right one is its bottom right quadrant. So neither place nor content of a piece says which it is.

use crate::random::Stream;
use image::RgbImage;
use image::imageops::crop_imm;
use rand::RngExt;

use super::places::{CELL, lattice};
use super::{Example, World, offered, yes};
use crate::data::grounding::Grounding;
use crate::error::Result;

/// Width of the paper's canvas, and its heights.
const CANVAS: (f32, std::ops::RangeInclusive<u32>) = (400.0, 170..=230);

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Result<Example> {
    let (width, heights) = CANVAS;
    let height = world.side as f32 * rng.random_range(heights) as f32 / width;
    // A piece is a quarter of the canvas.
    let (w, h) = (world.side / 2, (height as u32) / 2);
    let (photo, source) = world.photos.pick(rng, w * 3 + w / 4, h * 3 + h / 4)?;
    let (across, down) = photo.dimensions();

    // Both pieces have a canvas' worth of photograph to their left and above.
    let (left, right) = if rng.random_bool(0.5) {
        let (x, y) = (rng.random_range(w..=across - 2 * w), rng.random_range(h..=down - h));
        let low = y.saturating_sub(h / 2).max(h);
        ([x, y], [x + w, rng.random_range(low..=(y + h / 2).min(down - h))])
    } else {
        let (x, y) = (rng.random_range(w..=across - w), rng.random_range(h..=down - 2 * h));
        let low = x.saturating_sub(w / 2).max(w);
        ([x, y], [rng.random_range(low..=(x + w / 2).min(across - w)), y + h])
    };
    let pieces = if rng.random_bool(0.5) { [left, right] } else { [right, left] };
    let [x, y] = pieces[answer];
    let mut canvas = crop_imm(&photo, x - w, y - h, 2 * w, 2 * h).to_image();
    image::imageops::overlay(&mut canvas, &RgbImage::new(w, h), w.into(), h.into());
    let cut = |[x, y]: [u32; 2]| crop_imm(&photo, x, y, w, h).to_image();
    let images = vec![canvas, cut(pieces[0]), cut(pieces[1])];
    let prompt = format!(
        "The first image has its bottom right quarter blacked out. Which of the other two images is the missing \
         part? Select from the following choices.{}",
        offered(&["the second image", "the third image"])
    );
    let grounding = ground(answer, [w, h]);
    Ok(Example { source, grounding, ..Example::lettered(images, prompt, answer, 2) })
}

/// Along the two sides where a piece meets the rest, whether it is the missing one; and what of it the canvas touches.
fn ground(answer: usize, [w, h]: [u32; 2]) -> Grounding {
    // Pixels from the edge, on the other side.
    const ACROSS: f32 = 3.0;
    let (width, height) = (w as f32, h as f32);
    let mut grounding = Grounding::default();
    for (image, is_missing) in [(1, answer == 0), (2, answer == 1)] {
        for [x, y] in lattice(w, h).filter(|[x, y]| *x < CELL || *y < CELL) {
            grounding.word("same", image, [x, y], yes(is_missing));
            if is_missing {
                let beside =
                    if x < CELL { [width - ACROSS, height + y] } else { [width + x, height - ACROSS] };
                grounding.pair((0, beside), (image, [x, y]));
            }
        }
    }
    grounding
}
