//! Which point is the same part of another of the kind? Two creatures or vehicles of one class, drawn differently.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;
use tiny_skia::Transform;

use super::super::draw::creatures::{CLASSES, Class};
use super::super::draw::marks::Mark;
use super::super::draw::sprite::Sprite;
use super::super::draw::texture::Texture;
use super::super::draw::{canvas, things};
use super::places::{CELL, ground_marks, lattice};
use super::{Example, World, distance, offered};
use crate::data::grounding::Grounding;

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let class = CLASSES[rng.random_range(0..CLASSES.len())];
    let side = world.side as f32;
    let (first, second) = (pose(rng, class, side), pose(rng, class, side));
    let (marks, images) = marked_pair(rng, answer, world.side, &first, &second);
    let prompt = format!(
        "A point of one {0} is circled on the first image, labeled REF. Which point on the second image is the same \
         part of the other {0}? Select from the following choices.{1}",
        class.name,
        offered(&["Point A", "Point B", "Point C", "Point D"])
    );
    let lettered = Example::lettered(images, prompt, answer, 4);
    let grounding = ground([&first, &second], &marks, &lettered.target, world.side);
    Example { marks, object_name: Some(class.name), source: "scene".to_owned(), grounding, ..lettered }
}

/// One of a class in some pose.
pub(super) fn pose(rng: &mut Stream, class: Class, side: f32) -> Sprite {
    // What is seen from above may turn any way; what stands stays upright, but may face either side.
    let from_above = matches!(class.name, "beetle" | "aeroplane");
    let lean = rng.random_range(-18.0..18.0);
    let turn = if from_above { rng.random_range(0.0..360.0) } else { lean };
    let mirror = if !from_above && rng.random_bool(0.5) { -1.0 } else { 1.0 };
    let sprite = class.sprite(rng);
    place(rng, &sprite, turn, mirror, side)
}

/// A sprite turned, mirrored, and put somewhere near the middle, most of the image in size.
pub(super) fn place(rng: &mut Stream, sprite: &Sprite, turn: f32, mirror: f32, side: f32) -> Sprite {
    let squeeze = rng.random_range(0.85..1.15);
    let shape = Transform::from_scale(mirror * squeeze, 1.0).post_rotate(turn);
    let mut at = || side * rng.random_range(0.45..0.55);
    let (x, y) = (at(), at());
    sprite.clone().transformed(shape).placed(x, y, side * rng.random_range(0.62..0.78))
}

/// Both sprites in surroundings of their own, with REF at a point of the first and four points of the second, of
/// which number `answer` is its counterpart.
pub(super) fn marked_pair(
    rng: &mut Stream,
    answer: usize,
    side: u32,
    first: &Sprite,
    second: &Sprite,
) -> (Vec<Mark>, Vec<image::RgbImage>) {
    let mut names: Vec<&'static str> = second.points.iter().map(|(name, _)| *name).collect();
    // Of several choices the one whose points are farthest apart: marks that cover one another say nothing.
    let spread = |names: &[&'static str]| {
        let at = |name: &str| second.named(name).expect("a point of this sprite");
        let pairs = (0..4).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| distance(at(names[i]), at(names[j]))).fold(f32::INFINITY, f32::min)
    };
    let mut best = (f32::NEG_INFINITY, names.clone());
    for _ in 0..6 {
        names.shuffle(rng);
        let apart = spread(&names);
        if apart > best.0 {
            best = (apart, names.clone());
        }
    }
    let names = best.1;
    let point = |sprite: &Sprite, name: &str| sprite.named(name).expect("both have the same points");
    let mut marks = vec![Mark::point(0, "REF", point(first, names[answer]))];
    let labels = ["A", "B", "C", "D"];
    marks.extend(names.iter().zip(labels).map(|(name, label)| Mark::point(1, label, point(second, name))));
    let images = [first, second].map(|sprite| surroundings(rng, sprite, side)).into();
    (marks, images)
}

/// What the points of both sprites are called, and which are the same.
pub(super) fn ground(sprites: [&Sprite; 2], marks: &[Mark], target: &str, side: u32) -> Grounding {
    let mut grounding = Grounding::default();
    ground_marks(&mut grounding, marks, target);
    ground_sprites(&mut grounding, sprites, side);
    grounding
}

/// The parts of both sprites: at their points, and wherever else they are the part that is nearest. Returns where the
/// points of both are.
pub(super) fn ground_sprites(
    grounding: &mut Grounding,
    sprites: [&Sprite; 2],
    side: u32,
) -> Vec<([f32; 2], [f32; 2])> {
    let word = |name: &str| name.replace(' ', "");
    for (image, sprite) in sprites.into_iter().enumerate() {
        for (name, at) in &sprite.points {
            grounding.word("part", image, *at, word(name));
        }
        let covered = sprite.coverage(side, side);
        for at in lattice(side, side) {
            let far = |point: [f32; 2]| distance(at, point);
            let nearest = sprite.points.iter().min_by(|a, b| far(a.1).total_cmp(&far(b.1)));
            let (name, point) = nearest.expect("every sprite has points");
            let (x, y) = (at[0] as usize, at[1] as usize);
            // Where a point is closer to the middle than this, it speaks for itself.
            if covered[y * side as usize + x] && far(*point) > CELL * 0.7 {
                grounding.word("part", image, at, word(name));
            }
        }
    }
    let mut pairs = Vec::new();
    for (name, at) in &sprites[0].points {
        let Some(other) = sprites[1].named(name) else { continue };
        grounding.pair((0, *at), (1, other));
        grounding.pair((1, other), (0, *at));
        pairs.push((*at, other));
    }
    pairs
}

/// A sprite on a texture, with small things about.
pub(super) fn surroundings(rng: &mut Stream, sprite: &Sprite, side: u32) -> image::RgbImage {
    let mut picture = Texture::any(rng).canvas(side, side);
    let extent = side as f32;
    for _ in 0..rng.random_range(2..6) {
        let kind = things::KINDS[rng.random_range(0..things::KINDS.len())];
        let (x, y) = (extent * rng.random_range(0.0..1.0), extent * rng.random_range(0.0..1.0));
        kind.sprite(rng).placed(x, y, extent * rng.random_range(0.06..0.14)).draw(&mut picture, None);
    }
    let light = canvas::direction(rng);
    sprite.draw(&mut picture, Some([0.04 * light.0, 0.04 * light.1]));
    picture.develop(rng);
    picture.into_image()
}
