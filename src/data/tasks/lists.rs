//! Tasks that are answered by lists of pairs: many small look-ups at once, each said after what it is looked up by.
//! A model trained from nothing learns to look things up by them before it can answer single questions.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::creatures::CLASSES;
use super::super::draw::marks::Mark;
use super::super::draw::things;
use super::super::draw::tools::ACTIONS;
use super::counting::ground_numbers;
use super::functional::two_tools;
use super::grounded::{Scene, answered};
use super::places::ground_marks;
use super::semantic::{ground_sprites, pose, surroundings};
use super::visual::{Pair, points};
use super::{Example, World};
use crate::data::grounding::Grounding;
use crate::data::record::letters;
use crate::error::Result;

/// "A cup B key", or "cup A key B" in the order of the alphabet.
pub(super) fn listing(rng: &mut Stream, world: &World<'_>) -> Example {
    let count = rng.random_range(4..9);
    let kinds = things::kinds(rng, count);
    let scene = Scene::of(rng, kinds, world.side as f32);
    let mut grounding = Grounding::default();
    let picture = scene.draw(rng, world.side, 0, &mut grounding);
    let places = scene.things.iter().zip(letters(count));
    let marks: Vec<Mark> = places.clone().map(|((_, at), letter)| Mark::point(0, &letter, *at)).collect();
    ground_marks(&mut grounding, &marks, "");
    let (prompt, pairs) = if rng.random_bool(0.5) {
        let pairs = places.map(|((kind, _), letter)| (letter, kind.name.to_owned())).collect();
        ("What is at each of the points in this image?", pairs)
    } else {
        let named = places.map(|((kind, _), letter)| (kind.name.to_owned(), letter));
        let mut pairs: Vec<(String, String)> = named.collect();
        pairs.sort();
        ("Which point is each thing at in this image?", pairs)
    };
    Example { marks, grounding, ..answered(vec![picture], prompt.to_owned(), &list(pairs)) }
}

/// "apple 4 cup 2 key 7", in the order of the alphabet.
pub(super) fn tallying(rng: &mut Stream, world: &World<'_>) -> Example {
    let kinds = things::kinds(rng, 3);
    let total = rng.random_range(10..=18);
    let first = rng.random_range(1..total - 1);
    let second = rng.random_range(1..total - first);
    let counts = [first, second, total - first - second];
    let mut all: Vec<things::ThingKind> =
        kinds.iter().zip(counts).flat_map(|(kind, count)| vec![*kind; count]).collect();
    all.shuffle(rng);
    let mut scene = Scene::of(rng, all, world.side as f32);
    let mut grounding = Grounding::default();
    let picture = scene.draw(rng, world.side, 0, &mut grounding);
    ground_numbers(&mut grounding, &mut scene.things);
    let counted = kinds.iter().zip(counts).map(|(kind, count)| (kind.name.to_owned(), count.to_string()));
    let mut pairs: Vec<(String, String)> = counted.collect();
    pairs.sort();
    let prompt = "How many of each thing are there in this image?".to_owned();
    Example { grounding, ..answered(vec![picture], prompt, &list(pairs)) }
}

/// "A C B A C B": for each point of the first image the one of the second that is the same.
pub(super) fn pairing(rng: &mut Stream, world: &World<'_>) -> Result<Example> {
    let mut grounding = Grounding::default();
    let (images, mut pairs) = match rng.random_range(0..4) {
        0 => of_scenes(rng, world, &mut grounding),
        1 => of_views(rng, world, &mut grounding)?,
        which => of_sprites(rng, world, which == 2, &mut grounding),
    };
    pairs.shuffle(rng);
    pairs.truncate(rng.random_range(4..=6));
    let letters = letters(pairs.len());
    // Letters of the second image by the pairs' numbers.
    let mut others = letters.clone();
    others.shuffle(rng);
    let mut marks = Vec::new();
    for (((first, second), letter), other) in pairs.iter().zip(&letters).zip(&others) {
        marks.push(Mark::point(0, letter, *first));
        marks.push(Mark::point(1, other, *second));
    }
    for mark in &marks {
        grounding.word("mark", mark.image, [mark.at[0], mark.at[1]], mark.label.clone());
    }
    let said = letters.into_iter().zip(others).collect();
    let prompt = "Which point on the second image corresponds to each point on the first image?".to_owned();
    Ok(Example { marks, grounding, ..answered(images, prompt, &list(said)) })
}

/// Two images, and places of the first with the same places of the second.
type Paired = (Vec<image::RgbImage>, Vec<([f32; 2], [f32; 2])>);

fn of_scenes(rng: &mut Stream, world: &World<'_>, grounding: &mut Grounding) -> Paired {
    let (count, side) = (rng.random_range(4..8), world.side as f32);
    let kinds = things::kinds(rng, count);
    let scenes = [Scene::of(rng, kinds.clone(), side), Scene::of(rng, kinds, side)];
    let drawn = scenes.iter().enumerate().map(|(i, scene)| scene.draw(rng, world.side, i, grounding));
    let images = drawn.collect();
    let both = scenes[0].things.iter().zip(&scenes[1].things);
    let pairs: Vec<_> = both.map(|(first, second)| (first.1, second.1)).collect();
    for (first, second) in &pairs {
        grounding.pair((0, *first), (1, *second));
        grounding.pair((1, *second), (0, *first));
    }
    (images, pairs)
}

fn of_views(rng: &mut Stream, world: &World<'_>, grounding: &mut Grounding) -> Result<Paired> {
    let pair = Pair::any(rng, world)?;
    let points = points(rng, &pair.images[1], world.side as f32, 6, &|at| pair.origin(at));
    pair.ground(grounding);
    let pairs = points.into_iter().map(|at| (pair.origin(at), at)).collect();
    Ok((pair.images, pairs))
}

fn of_sprites(rng: &mut Stream, world: &World<'_>, creatures: bool, grounding: &mut Grounding) -> Paired {
    let side = world.side as f32;
    let sprites = if creatures {
        let class = CLASSES[rng.random_range(0..CLASSES.len())];
        [pose(rng, class, side), pose(rng, class, side)]
    } else {
        let action = ACTIONS[rng.random_range(0..ACTIONS.len())];
        two_tools(rng, action, side)
    };
    let pairs = ground_sprites(grounding, [&sprites[0], &sprites[1]], world.side);
    let images = sprites.iter().map(|sprite| surroundings(rng, sprite, world.side)).collect();
    (images, pairs)
}

fn list(pairs: Vec<(String, String)>) -> String {
    pairs.into_iter().map(|(first, second)| format!("{first} {second}")).collect::<Vec<_>>().join(" ")
}
