//! Which picture is more like this one? Two variants of a photograph, alike in kind; the reference is near one of
//! them.

use crate::random::Stream;
use rand::RngExt;

use super::super::draw::view::{Homography, Light};
use super::places::lattice;
use super::{Example, World, offered, yes};
use crate::data::grounding::Grounding;
use crate::error::Result;

/// How a photograph is seen: where, how near, how turned, in what light.
#[derive(Debug, Clone, Copy)]
struct Variant {
    /// Centre of the window, zoom, turn, hue and brightness; each from 0 to 1, hue around a circle.
    graded: [f32; 6],
}

/// Where in `graded` the hue is.
const HUE: usize = 4;

impl Variant {
    fn any(rng: &mut Stream) -> Self {
        Self { graded: std::array::from_fn(|_| rng.random()) }
    }

    /// Near another: `share` of the way to anywhere.
    fn near(self, rng: &mut Stream, share: f32) -> Self {
        let mut moved = |i: usize| {
            let off: f32 = rng.random_range(-share..share);
            let value = self.graded[i] + off;
            if i == HUE { value.rem_euclid(1.0) } else { value.clamp(0.0, 1.0) }
        };
        Self { graded: std::array::from_fn(&mut moved) }
    }

    /// How unlike two are.
    fn distance(self, other: Self) -> f32 {
        let each = (0..self.graded.len()).map(|i| {
            let off = (self.graded[i] - other.graded[i]).abs();
            if i == HUE { 2.0 * off.min(1.0 - off) } else { off }
        });
        each.map(|off| off * off).sum::<f32>().sqrt()
    }

    /// Takes a place of the variant to where it is in the photograph.
    fn window(self, photo: &image::RgbImage, side: u32) -> Homography {
        let [x, y, zoom, turn, ..] = self.graded;
        let (w, h) = (photo.width() as f32, photo.height() as f32);
        let size = w.min(h) * (0.45 + 0.2 * zoom);
        let half = size / 2.0;
        let reach = half * 1.3;
        let (cx, cy) = (reach + x * (w - 2.0 * reach), reach + y * (h - 2.0 * reach));
        let (sin, cos) = ((turn - 0.5) * 0.7).sin_cos();
        let corner =
            |dx: f32, dy: f32| [cx + half * (dx * cos - dy * sin), cy + half * (dx * sin + dy * cos)];
        let corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        Homography::from_rectangle(side as f32, side as f32, corners)
    }

    fn of(self, photo: &image::RgbImage, side: u32) -> image::RgbImage {
        let [.., hue, gain] = self.graded;
        let seen = self.window(photo, side).view(photo, side, side);
        Light { hue, gain: 0.75 + 0.5 * gain, ..Light::PLAIN }.on(&seen)
    }
}

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Result<Example> {
    let (photo, source) = world.photos.pick(rng, world.side * 7 / 4, world.side * 7 / 4)?;
    let (first, second) = loop {
        let pair = (Variant::any(rng), Variant::any(rng));
        if pair.0.distance(pair.1) > 0.75 {
            break pair;
        }
    };
    let right = [first, second][answer];
    let reference = right.near(rng, 0.14);
    let grounding = ground([reference, first, second], answer, &photo, world.side);
    let images = [reference, first, second].map(|variant| variant.of(&photo, world.side)).into();
    let prompt = format!(
        "Which of the last two images is more similar to the first? Select from the following choices.{}",
        offered(&["the second image", "the third image"])
    );
    Ok(Example { source, grounding, ..Example::lettered(images, prompt, answer, 2) })
}

/// Which places of the candidates the reference shows too, and which of the two it is near.
fn ground(variants: [Variant; 3], answer: usize, photo: &image::RgbImage, side: u32) -> Grounding {
    let mut grounding = Grounding::default();
    let windows = variants.map(|variant| variant.window(photo, side));
    let back = windows[0].inverse();
    for at in lattice(side, side) {
        for image in [1, 2] {
            grounding.word("same", image, at, yes(image == answer + 1));
            let from = back.map(windows[image].map(at));
            if from.iter().all(|v| (0.0..side as f32).contains(v)) {
                grounding.pair((image, at), (0, from));
            }
        }
    }
    grounding
}
