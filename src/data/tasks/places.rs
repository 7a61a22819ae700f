//! Places of images, and what is noted of them whatever the task.

use image::RgbImage;

use super::super::draw::marks::Mark;
use super::super::grounding::{Grounding, Place};
use super::super::record::letters;
use super::{Example, yes};

/// Side of the squares whose centres stand for areas: about that of a visual token.
pub(super) const CELL: f32 = 28.0;

/// Columns and rows of an image's squares.
fn squares(width: u32, height: u32) -> [u32; 2] {
    [width, height].map(|side| (side as f32 / CELL).round().max(1.0) as u32)
}

/// Centres of the squares of an image, row by row.
pub(super) fn lattice(width: u32, height: u32) -> impl Iterator<Item = [f32; 2]> {
    let [cols, rows] = squares(width, height);
    let (w, h) = (width as f32 / cols as f32, height as f32 / rows as f32);
    (0..rows).flat_map(move |row| (0..cols).map(move |col| [(col as f32 + 0.5) * w, (row as f32 + 0.5) * h]))
}

/// The name of the square that a place is in: its column's letter and its row's number, as `b3`.
fn square_name((width, height): (u32, u32), at: [f32; 2]) -> String {
    let [cols, rows] = squares(width, height);
    let number = |v: f32, side: u32, count: u32| ((v / side as f32 * count as f32) as u32).min(count - 1);
    let column = char::from_u32(u32::from('a') + number(at[0], width, cols)).expect("few columns");
    format!("{column}{}", number(at[1], height, rows) + 1)
}

/// The letters of marked points, and which of the second image's is the one asked for.
pub(super) fn ground_marks(grounding: &mut Grounding, marks: &[Mark], target: &str) {
    for mark in marks {
        let [x, y] = mark.at[..] else { continue };
        grounding.word("mark", mark.image, [x, y], mark.label.clone());
        if mark.image == 1 {
            // The question's own word, by which what is asked finds it.
            grounding.word("same", 1, [x, y], if mark.label == target { "REF" } else { "no" });
        }
    }
}

/// At the end of each option of the prompt, whether it is the right one, and where it names a point of the second image,
/// the square that the point is in.
pub(super) fn ground_options(grounding: &mut Grounding, example: &Example) {
    let prompt = &example.prompt;
    for letter in letters(example.num_choices) {
        let Some(start) = prompt.find(&format!(" ({letter}) ")) else { continue };
        let end = prompt[start + 1..].find(" (").map_or(prompt.len(), |length| start + 1 + length);
        grounding.option("choice", end, yes(letter == example.target));
        let point = example.marks.iter().find(|mark| mark.image == 1 && mark.label == letter);
        if let Some([x, y]) = point.map(|mark| &mark.at[..]) {
            grounding.option("spot", end, square_name(example.images[1].dimensions(), [*x, *y]));
        }
    }
}

/// The names of the images' squares, and for places that show what a place of an image before shows, the name of its
/// square: what a model says at its place once it has found it.
pub(super) fn ground_squares(grounding: &mut Grounding, images: &[RgbImage]) {
    for (i, image) in images.iter().enumerate() {
        let (width, height) = image.dimensions();
        for at in lattice(width, height) {
            grounding.word("cell", i, at, square_name((width, height), at));
        }
    }
    for (Place(image, x, y), Place(before, there_x, there_y)) in grounding.pairs.clone() {
        if before < image {
            let name = square_name(images[before].dimensions(), [there_x, there_y]);
            grounding.word("match", image, [x, y], name);
        }
    }
}
