//! How many of a thing are there? Things of three kinds, always about as many in all, so that neither how full the
//! picture is nor what is asked for says how many there are.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::texture::Texture;
use super::super::draw::{canvas, things};
use super::places::CELL;
use super::{Example, World, distance};
use crate::data::grounding::Grounding;

/// Fewest and most of the thing that is asked for.
pub(super) const LEAST: usize = 2;
/// Things of all kinds.
const IN_ALL: std::ops::RangeInclusive<usize> = 14..=18;

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let count = LEAST + answer;
    let kinds = things::kinds(rng, 3);
    let others = rng.random_range(IN_ALL) - count;
    let second = rng.random_range(1..others);
    let mut wanted = vec![kinds[0]; count];
    wanted.extend(vec![kinds[1]; second]);
    wanted.extend(vec![kinds[2]; others - second]);
    wanted.shuffle(rng);

    let side = world.side as f32;
    let mut picture = Texture::any(rng).canvas(world.side, world.side);
    let light = canvas::direction(rng);
    let places = places(rng, wanted.len(), side);
    let mut things: Vec<(things::ThingKind, [f32; 2])> = wanted.into_iter().zip(places).collect();
    for (kind, at) in &things {
        let size = side * rng.random_range(0.13..0.19);
        let turn = tiny_skia::Transform::from_rotate(rng.random_range(-50.0..50.0));
        let sprite = kind.sprite(rng).transformed(turn).placed(at[0], at[1], size);
        sprite.draw(&mut picture, Some([0.07 * light.0, 0.07 * light.1]));
    }
    picture.develop(rng);
    let mut grounding = Grounding::default();
    ground_numbers(&mut grounding, &mut things);
    for (kind, at) in &things {
        grounding.word("thing", 0, *at, kind.name);
    }
    let asked = format!("How many {}", kinds[0].plural);
    grounding.option("kind", asked.len(), kinds[0].name);
    grounding.option("total", asked.len(), count.to_string());
    Example {
        images: vec![picture.into_image()],
        prompt: format!("{asked} are there in this image?"),
        target: count.to_string(),
        num_choices: 0,
        object_name: Some(kinds[0].name),
        marks: Vec::new(),
        source: "scene".to_owned(),
        grounding,
    }
}

/// Which of its kind each thing is, in the order of reading.
pub(super) fn ground_numbers(grounding: &mut Grounding, things: &mut [(things::ThingKind, [f32; 2])]) {
    let line = |at: [f32; 2]| ((at[1] / CELL) as i32, at[0]);
    things.sort_by(|a, b| line(a.1).partial_cmp(&line(b.1)).expect("places are numbers"));
    let mut counted = std::collections::BTreeMap::new();
    for (kind, at) in things {
        let number = counted.entry(kind.name).or_insert(0);
        *number += 1;
        grounding.word("number", 0, *at, number.to_string());
    }
}

/// Cells on a side of the grid that things are put on, and how far from the middle of its cell a thing may be.
const CELLS: usize = 6;
const JITTER: f32 = 0.2;

/// Places that may touch but not cover one another, each in a cell of its own: of several tries the one farthest from
/// those taken.
pub(super) fn places(rng: &mut Stream, count: usize, side: f32) -> Vec<[f32; 2]> {
    let mut taken: Vec<[f32; 2]> = Vec::new();
    for _ in 0..count {
        let mut best = ([0.0; 2], -1.0);
        for _ in 0..24 {
            let cell = [rng.random_range(0..CELLS), rng.random_range(0..CELLS)];
            let at = in_cell(rng, cell, side);
            let nearest = taken.iter().map(|other| distance(*other, at)).fold(f32::INFINITY, f32::min);
            if nearest > best.1 {
                best = (at, nearest);
            }
            if nearest > side * 0.3 {
                break;
            }
        }
        taken.push(best.0);
    }
    taken
}

/// Somewhere near the middle of a cell, given by column and row.
pub(super) fn in_cell(rng: &mut Stream, cell: [usize; 2], side: f32) -> [f32; 2] {
    cell.map(|i| (i as f32 + 0.5 + rng.random_range(-JITTER..JITTER)) * side / CELLS as f32)
}
