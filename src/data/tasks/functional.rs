//! Which point does the same in another tool? Two tools of one action, unlike in shape, with five functional points
//! each.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::sprite::Sprite;
use super::super::draw::tools::{ACTIONS, ToolAction};
use super::semantic::{ground, marked_pair, place};
use super::{Example, World, offered};

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let action = ACTIONS[rng.random_range(0..ACTIONS.len())];
    let [first, second] = two_tools(rng, action, world.side as f32);
    let (marks, images) = marked_pair(rng, answer, world.side, &first, &second);
    let prompt = format!(
        "Both tools are used to {}. A point is circled on the first image, labeled REF. Which point on the second image \
         serves the same function? Select from the following choices.{}",
        action.name,
        offered(&["Point A", "Point B", "Point C", "Point D"])
    );
    let lettered = Example::lettered(images, prompt, answer, 4);
    let grounding = ground([&first, &second], &marks, &lettered.target, world.side);
    Example { marks, object_name: Some(action.name), source: "scene".to_owned(), grounding, ..lettered }
}

/// Two different tools of an action, somewhere.
pub(super) fn two_tools(rng: &mut Stream, action: ToolAction, side: f32) -> [Sprite; 2] {
    let mut tools = action.tools;
    tools.shuffle(rng);
    [0, 1].map(|tool| {
        let sprite = tools[tool](rng);
        let (turn, mirror) = (rng.random_range(-60.0..60.0), if rng.random_bool(0.5) { -1.0 } else { 1.0 });
        place(rng, &sprite, turn, mirror, side)
    })
}
