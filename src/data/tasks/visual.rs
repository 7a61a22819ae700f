//! Which point is this one, seen from elsewhere or in another light? Four points of the second image are chosen,
//! each at something to see; then one of them is found in the first.

use crate::random::Stream;
use image::RgbImage;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::draw::canvas;
use super::super::draw::marks::Mark;
use super::super::draw::view::{Homography, Light};
use super::places::{ground_marks, lattice};
use super::{Example, World, distance, offered};
use crate::data::grounding::Grounding;
use crate::error::Result;

/// Least distance of two points, as a share of the side.
const APART: f32 = 0.22;

/// Two views of one photograph.
pub(super) struct Pair {
    pub(super) images: Vec<RgbImage>,
    source: String,
    first: Homography,
    second: Homography,
}

impl Pair {
    pub(super) fn any(rng: &mut Stream, world: &World<'_>) -> Result<Self> {
        let side = world.side as f32;
        let (photo, source) = world.photos.pick(rng, world.side * 3 / 2, world.side * 3 / 2)?;
        // A change of place with a little of light, or of light with a little of place.
        let moved = rng.random_bool(0.5);
        let (first, second) =
            (window(rng, &photo, side, 0.0), window(rng, &photo, side, if moved { 0.16 } else { 0.0 }));
        let second = if moved { second } else { first };
        let light = light(rng, if moved { 0.35 } else { 1.0 });
        let images = vec![
            first.view(&photo, world.side, world.side),
            light.on(&second.view(&photo, world.side, world.side)),
        ];
        Ok(Self { images, source, first, second })
    }

    /// Where a place of the second image is in the first.
    pub(super) fn origin(&self, point: [f32; 2]) -> [f32; 2] {
        self.first.inverse().map(self.second.map(point))
    }

    /// Places of the second image that the first shows too.
    pub(super) fn ground(&self, grounding: &mut Grounding) {
        let (width, height) = self.images[0].dimensions();
        for at in lattice(width, height) {
            let [x, y] = self.origin(at);
            if (0.0..width as f32).contains(&x) && (0.0..height as f32).contains(&y) {
                grounding.pair((1, at), (0, [x, y]));
            }
        }
    }
}

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Result<Example> {
    let pair = Pair::any(rng, world)?;
    let points = points(rng, &pair.images[1], world.side as f32, 4, &|at| pair.origin(at));
    let mut marks = vec![Mark::point(0, "REF", pair.origin(points[answer]))];
    marks.extend(points.iter().zip(["A", "B", "C", "D"]).map(|(at, label)| Mark::point(1, label, *at)));
    let prompt = format!(
        "A point is circled on the first image, labeled REF. The second image shows the same from another place or in \
         another light. Which point on the second image corresponds to REF? Select from the following choices.{}",
        offered(&["Point A", "Point B", "Point C", "Point D"])
    );
    let mut grounding = Grounding::default();
    pair.ground(&mut grounding);
    let Pair { images, source, .. } = pair;
    let lettered = Example::lettered(images, prompt, answer, 4);
    ground_marks(&mut grounding, &marks, &lettered.target);
    Ok(Example { marks, source, grounding, ..lettered })
}

/// A square window of the photograph, its corners displaced by a share of its side.
fn window(rng: &mut Stream, photo: &RgbImage, side: f32, bend: f32) -> Homography {
    let (w, h) = (photo.width() as f32, photo.height() as f32);
    let least = w.min(h);
    let size = least * rng.random_range(0.68..0.8);
    let margin = size * bend;
    let place = |rng: &mut Stream, extent: f32| {
        let (low, high) = (margin, (extent - size - margin).max(margin + 1.0));
        // Near the middle, so that two windows share most of what they show.
        let middle = low.midpoint(high);
        let reach = (high - low).min(least * 0.2) / 2.0;
        rng.random_range(middle - reach..=middle + reach)
    };
    let (x, y) = (place(rng, w), place(rng, h));
    let mut corner = |cx: f32, cy: f32| {
        let mut off = || if margin > 0.0 { rng.random_range(-margin..margin) } else { 0.0 };
        [x + cx * size + off(), y + cy * size + off()]
    };
    let corners = [corner(0.0, 0.0), corner(1.0, 0.0), corner(1.0, 1.0), corner(0.0, 1.0)];
    Homography::from_rectangle(side, side, corners)
}

fn light(rng: &mut Stream, strength: f32) -> Light {
    let mut vary = |reach: f32| 1.0 + strength * rng.random_range(-reach..reach);
    let (gain, gamma) = (vary(0.3), vary(0.35));
    let cast = std::array::from_fn(|_| vary(0.15));
    let (dx, dy) = canvas::direction(rng);
    Light { gain, gamma, cast, slope: [0.7 * strength * dx, 0.7 * strength * dy], hue: 0.0 }
}

/// Points at something to see, far from each other, that the first image shows too.
pub(super) fn points(
    rng: &mut Stream,
    image: &RgbImage,
    side: f32,
    count: usize,
    origin: &dyn Fn([f32; 2]) -> [f32; 2],
) -> Vec<[f32; 2]> {
    let inside = |[x, y]: [f32; 2], margin: f32| {
        (margin..side - margin).contains(&x) && (margin..side - margin).contains(&y)
    };
    let mut tries = Vec::new();
    while tries.len() < 90 {
        let at = [rng.random_range(0.07..0.93) * side, rng.random_range(0.07..0.93) * side];
        if inside(origin(at), side * 0.05) {
            tries.push((contrast(image, at, side * 0.03), at));
        }
    }
    tries.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut chosen: Vec<[f32; 2]> = Vec::new();
    let mut apart = APART * side;
    while chosen.len() < count {
        for (_, at) in &tries {
            if chosen.len() < count && chosen.iter().all(|other| distance(*other, *at) > apart) {
                chosen.push(*at);
            }
        }
        apart *= 0.9;
    }
    chosen.shuffle(rng);
    chosen
}

/// How much the brightness varies around a point.
fn contrast(image: &RgbImage, [x, y]: [f32; 2], reach: f32) -> f32 {
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for row in -2..=2 {
        for col in -2..=2 {
            let inside = |v: f32, size: u32| (v.max(0.0) as u32).min(size - 1);
            let (px, py) = (x + reach * col as f32 * 0.5, y + reach * row as f32 * 0.5);
            let [r, g, b] = image.get_pixel(inside(px, image.width()), inside(py, image.height())).0;
            let light = f32::from(r) + f32::from(g) + f32::from(b);
            (sum, squares, count) = (sum + light, squares + light * light, count + 1.0);
        }
    }
    squares / count - (sum / count) * (sum / count)
}
