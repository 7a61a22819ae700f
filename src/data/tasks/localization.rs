//! Which box fits a thing? Two overlapping boxes are chosen, alike in size and place; then the thing is drawn to fit
//! one of them.

use crate::random::Stream;
use rand::RngExt;

use super::super::draw::marks::Mark;
use super::super::draw::texture::Texture;
use super::super::draw::{canvas, things};
use super::places::lattice;
use super::{Example, World, offered};
use crate::data::grounding::Grounding;

/// Share of the image a box takes.
const AREA: std::ops::Range<f32> = 0.15..0.5;
/// Overlap of the two boxes.
const IOU: std::ops::Range<f32> = 0.2..0.5;

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let side = world.side as f32;
    let boxes = boxes(rng).map(|b| b.map(|v| v * side));
    let kinds = things::kinds(rng, 4);
    let mut picture = Texture::any(rng).canvas(world.side, world.side);
    let light = canvas::direction(rng);
    let shadow = Some([0.05 * light.0, 0.05 * light.1]);
    let mut grounding = Grounding::default();
    for _ in 0..rng.random_range(4..9) {
        let kind = kinds[rng.random_range(1..4)];
        let (x, y) = (side * rng.random_range(0.05..0.95), side * rng.random_range(0.05..0.95));
        kind.sprite(rng).placed(x, y, side * rng.random_range(0.1..0.25)).draw(&mut picture, shadow);
        if distance_to(boxes[answer], [x, y]) > 0.0 {
            grounding.word("thing", 0, [x, y], kind.name);
        }
    }
    kinds[0].sprite(rng).fitted(boxes[answer]).draw(&mut picture, shadow);
    picture.develop(rng);
    for at in lattice(world.side, world.side) {
        let inside = boxes.map(|b| distance_to(b, at) == 0.0);
        if inside[answer] {
            grounding.word("thing", 0, at, kinds[0].name);
            grounding.word("fits", 0, at, ["A", "B"][answer]);
        }
        match inside {
            [true, true] => grounding.word("box", 0, at, "both"),
            [true, false] => grounding.word("box", 0, at, "A"),
            [false, true] => grounding.word("box", 0, at, "B"),
            [false, false] => {}
        }
    }
    let prompt = format!(
        "Two boxes, labeled A and B, are drawn on the image. Which box fits the {} more exactly? Select from the \
         following choices.{}",
        kinds[0].name,
        offered(&["Box A", "Box B"])
    );
    let marks = vec![Mark::rect(0, "A", boxes[0]), Mark::rect(0, "B", boxes[1])];
    let images = vec![picture.into_image()];
    let lettered = Example::lettered(images, prompt, answer, 2);
    Example { object_name: Some(kinds[0].name), marks, source: "scene".to_owned(), grounding, ..lettered }
}

/// How far a place is outside a box; 0 within.
fn distance_to([l, t, r, b]: [f32; 4], [x, y]: [f32; 2]) -> f32 {
    (l - x).max(x - r).max(0.0).hypot((t - y).max(y - b).max(0.0))
}

/// Two boxes of a unit square, of the same distribution.
fn boxes(rng: &mut Stream) -> [[f32; 4]; 2] {
    loop {
        let pair = [one(rng), one(rng)];
        if IOU.contains(&iou(pair[0], pair[1])) {
            return pair;
        }
    }
}

fn one(rng: &mut Stream) -> [f32; 4] {
    loop {
        let (area, aspect) = (rng.random_range(AREA), rng.random_range(0.6f32..1.7));
        let (w, h) = ((area * aspect).sqrt(), (area / aspect).sqrt());
        if w < 0.96 && h < 0.96 {
            let (x, y) = (rng.random_range(0.02..0.98 - w), rng.random_range(0.02..0.98 - h));
            return [x, y, x + w, y + h];
        }
    }
}

/// Intersection over union.
pub(super) fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let overlap = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |r: [f32; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let both = overlap(0) * overlap(1);
    both / (area(a) + area(b) - both)
}
