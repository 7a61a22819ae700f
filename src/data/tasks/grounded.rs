//! Simpler tasks than the nine, about things on a ground: naming, locating, comparing, matching. A model that is
//! trained from nothing begins with them.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::marks::Mark;
use super::super::draw::texture::Texture;
use super::super::draw::{canvas, things};
use super::counting::{in_cell, places};
use super::places::ground_marks;
use super::{Example, World, offered, yes};
use crate::data::grounding::Grounding;

/// Naming asks for each kind as often.
pub(super) const EVERY_KIND: [usize; things::KINDS.len()] = {
    let mut all = [0; things::KINDS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = i;
        i += 1;
    }
    all
};

/// Parts of an image, row by row.
const REGIONS: [&str; 9] =
    ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

/// Things with their places, on a ground.
pub(super) struct Scene {
    pub(super) things: Vec<(things::ThingKind, [f32; 2])>,
}

impl Scene {
    /// These kinds at places well apart.
    pub(super) fn of(rng: &mut Stream, kinds: Vec<things::ThingKind>, side: f32) -> Self {
        let places = places(rng, kinds.len(), side);
        Self { things: kinds.into_iter().zip(places).collect() }
    }

    /// The picture; what its things are is noted for image number `image`.
    pub(super) fn draw(
        &self,
        rng: &mut Stream,
        side: u32,
        image: usize,
        grounding: &mut Grounding,
    ) -> image::RgbImage {
        let mut picture = Texture::any(rng).canvas(side, side);
        let light = canvas::direction(rng);
        for (kind, at) in &self.things {
            let size = side as f32 * rng.random_range(0.15..0.22);
            let turn = tiny_skia::Transform::from_rotate(rng.random_range(-50.0..50.0));
            let sprite = kind.sprite(rng).transformed(turn).placed(at[0], at[1], size);
            sprite.draw(&mut picture, Some([0.07 * light.0, 0.07 * light.1]));
            grounding.word("thing", image, *at, kind.name);
        }
        picture.develop(rng);
        picture.into_image()
    }
}

/// An answer in words.
pub(super) fn answered(images: Vec<image::RgbImage>, prompt: String, target: &str) -> Example {
    let lettered = Example::lettered(images, prompt, 0, 1);
    Example { target: target.to_owned(), num_choices: 0, source: "scene".to_owned(), ..lettered }
}

pub(super) fn naming(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let asked = things::KINDS[answer];
    let mut kinds = things::kinds(rng, 7);
    kinds.retain(|kind| kind.name != asked.name);
    kinds.truncate(rng.random_range(2..7));
    kinds.insert(0, asked);
    let scene = Scene::of(rng, kinds, world.side as f32);
    let mut grounding = Grounding::default();
    let picture = scene.draw(rng, world.side, 0, &mut grounding);
    let marks = vec![Mark::point(0, "A", scene.things[0].1)];
    ground_marks(&mut grounding, &marks, "");
    let example = answered(vec![picture], "What is at point A in this image?".to_owned(), asked.name);
    Example { marks, grounding, ..example }
}

pub(super) fn locating(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let count = rng.random_range(3..8);
    let kinds = things::kinds(rng, count);
    let side = world.side as f32;
    let mut scene = Scene::of(rng, kinds, side);
    // The first thing goes into the part asked for, the others where it leaves room.
    let cell = [answer % 3, answer / 3].map(|i| 2 * i + rng.random_range(0..2));
    let at = in_cell(rng, cell, side);
    scene.things[0].1 = at;
    let asked = scene.things[0].0;
    let mut index = 0;
    scene.things.retain(|(_, other)| {
        index += 1;
        index == 1 || super::distance(*other, at) > side * 0.16
    });
    let mut grounding = Grounding::default();
    let picture = scene.draw(rng, world.side, 0, &mut grounding);
    let prompt = format!("Where is the {} in this image?", asked.name);
    let example = answered(vec![picture], prompt, REGIONS[answer]);
    Example { grounding, object_name: Some(asked.name), ..example }
}

pub(super) fn comparing(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let count = rng.random_range(3..6);
    let mut kinds = things::kinds(rng, count);
    // Two of one kind are always there; the marks are on both of them, or on one and another.
    kinds.insert(1, kinds[0]);
    let scene = Scene::of(rng, kinds, world.side as f32);
    let mut grounding = Grounding::default();
    let picture = scene.draw(rng, world.side, 0, &mut grounding);
    let mut two = [0, if answer == 0 { 1 } else { 2 }];
    two.shuffle(rng);
    let marks: Vec<Mark> =
        two.iter().zip(["A", "B"]).map(|(i, label)| Mark::point(0, label, scene.things[*i].1)).collect();
    ground_marks(&mut grounding, &marks, "");
    let prompt = "Are the things at points A and B of the same kind?".to_owned();
    let example = answered(vec![picture], prompt, yes(answer == 0));
    Example { marks, grounding, ..example }
}

pub(super) fn matching(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let (count, side) = (rng.random_range(4..7), world.side as f32);
    let kinds = things::kinds(rng, count);
    let second = Scene::of(rng, kinds.clone(), side);
    let mut others = kinds;
    others.shuffle(rng);
    let first = Scene::of(rng, others, side);
    let mut grounding = Grounding::default();
    let images =
        vec![first.draw(rng, world.side, 0, &mut grounding), second.draw(rng, world.side, 1, &mut grounding)];
    for (kind, at) in &first.things {
        let (_, other) =
            second.things.iter().find(|(other, _)| other.name == kind.name).expect("the same kinds");
        grounding.pair((0, *at), (1, *other));
        grounding.pair((1, *other), (0, *at));
    }
    let asked = second.things[answer].0;
    let (_, at) = first.things.iter().find(|(kind, _)| kind.name == asked.name).expect("the same kinds");
    let mut marks = vec![Mark::point(0, "REF", *at)];
    marks.extend(
        second.things.iter().zip(["A", "B", "C", "D"]).map(|((_, at), label)| Mark::point(1, label, *at)),
    );
    let prompt = format!(
        "A thing is circled on the first image, labeled REF. Which point on the second image is the same kind of \
         thing? Select from the following choices.{}",
        offered(&["Point A", "Point B", "Point C", "Point D"])
    );
    let lettered = Example::lettered(images, prompt, answer, 4);
    ground_marks(&mut grounding, &marks, &lettered.target);
    Example { marks, grounding, source: "scene".to_owned(), ..lettered }
}
