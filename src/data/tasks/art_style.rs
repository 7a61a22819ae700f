//! Which picture is painted in the same style? Two styles for the two candidates; the reference gets that of the
//! right one.

use crate::random::Stream;
use rand::seq::SliceRandom;

use super::super::draw::paint::Style;
use super::places::lattice;
use super::{Example, World, offered, yes};
use crate::data::grounding::Grounding;
use crate::error::Result;

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Result<Example> {
    let mut styles = Style::ALL;
    styles.shuffle(rng);
    let mut images = Vec::new();
    let mut sources = Vec::new();
    let mut grounding = Grounding::default();
    let photos = world.photos.pick_several(rng, 3, world.side, world.side)?;
    for ((photo, source), style) in photos.into_iter().zip([styles[answer], styles[0], styles[1]]) {
        let (w, h) = photo.dimensions();
        let square = image::imageops::crop_imm(
            &photo,
            (w - world.side) / 2,
            (h - world.side) / 2,
            world.side,
            world.side,
        );
        for at in lattice(world.side, world.side) {
            grounding.word("style", images.len(), at, style.name().replace(' ', ""));
            if !images.is_empty() {
                grounding.word("same", images.len(), at, yes(style == styles[answer]));
            }
        }
        images.push(style.paint(rng, &square.to_image()));
        sources.push(source);
    }
    let prompt = format!(
        "Which of the last two images has the same art style as the first? Select from the following choices.{}",
        offered(&["the second image", "the third image"])
    );
    sources.dedup();
    Ok(Example { source: sources.join(", "), grounding, ..Example::lettered(images, prompt, answer, 2) })
}
