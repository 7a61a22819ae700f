//! Which surface is darker, whatever the light? A wall of patches whose albedo is known, in folds, under a lamp and
//! cast shadows; two patches compared.

use crate::random::Stream;
use rand::RngExt;

use super::super::draw::canvas::{Canvas, direction};
use super::super::draw::color::{Rgb, hsv};
use super::super::draw::marks::Mark;
use super::super::draw::noise::Noise;
use super::places::CELL;
use super::{Example, World, offered};
use crate::data::grounding::Grounding;

/// Luminances closer than this share of the lighter are about the same.
pub(super) const SAME: f32 = 0.10;
/// Others differ by at least this, so that nothing is a matter of opinion.
const DIFFERENT: std::ops::Range<f32> = 0.3..0.6;
/// Patches on a side.
const GRID: usize = 4;

/// A patch of the wall.
struct Patch {
    /// Centre, from 0 to 1.
    at: [f32; 2],
    albedo: Rgb,
}

pub(super) fn example(rng: &mut Stream, answer: usize, world: &World<'_>) -> Example {
    let side = world.side as f32;
    let mut patches = wall(rng);
    let (a, b) = two(rng);
    let light = rng.random_range(0.45..0.85);
    // Luminance of the two, the first no darker; the answer says whose the darker is.
    let darker = if answer == 2 {
        light * (1.0 - rng.random_range(0.0..SAME * 0.5))
    } else {
        light * (1.0 - rng.random_range(DIFFERENT))
    };
    let swap = if answer == 2 { rng.random_bool(0.5) } else { answer == 0 };
    let (of_a, of_b) = if swap { (darker, light) } else { (light, darker) };
    patches[a].albedo = with_luma(patches[a].albedo, of_a);
    patches[b].albedo = with_luma(patches[b].albedo, of_b);

    let lamp = Lamp::any(rng);
    let grain = Noise(rng.random());
    let picture = Canvas::from_fn(world.side, world.side, |x, y| {
        let (u, v) = (x / side, y / side);
        let (nearest, edge) = nearest(&patches, u, v);
        let rough = 0.97 + 0.06 * (grain.fractal(u * 60.0, v * 60.0, 2) - 0.5);
        let groove = if edge < 0.008 { 0.75 } else { 1.0 };
        patches[nearest].albedo.times(rough * groove).times(lamp.at(u, v))
    });
    let marks =
        [(a, "A"), (b, "B")].map(|(patch, label)| Mark::point(0, label, patches[patch].at.map(|v| v * side)));
    let prompt = format!(
        "Two points on the image are labeled A and B. Consider the color of the surface itself, without the effect of \
         light and shadow. Which point is darker? Select from the following choices.{}",
        offered(&["A is darker", "B is darker", "About the same"])
    );
    let lettered = Example::lettered(vec![picture.into_image()], prompt, answer, 3);
    let mut grounding = Grounding::default();
    for patch in &patches {
        let shade = ((patch.albedo.luma() - 0.15) * 10.0).clamp(0.0, 7.0) as usize;
        grounding.word("shade", 0, patch.at.map(|v| v * side), format!("shade{shade}"));
    }
    for mark in &marks {
        grounding.word("mark", 0, [mark.at[0], mark.at[1]], mark.label.clone());
    }
    // What compares two places is known at the later of them.
    let line = |mark: &Mark| ((mark.at[1] / CELL) as i32, mark.at[0]);
    let later = if line(&marks[0]) > line(&marks[1]) { &marks[0] } else { &marks[1] };
    grounding.word("darker", 0, [later.at[0], later.at[1]], ["A", "B", "same"][answer]);
    Example { marks: marks.into(), source: "scene".to_owned(), grounding, ..lettered }
}

fn wall(rng: &mut Stream) -> Vec<Patch> {
    let tone: f32 = rng.random();
    let mut patches = Vec::new();
    for row in 0..GRID {
        for col in 0..GRID {
            let mut at = |i: usize| (i as f32 + 0.5 + rng.random_range(-0.2..0.2)) / GRID as f32;
            let at = [at(col), at(row)];
            let color = hsv(tone + rng.random_range(-0.2..0.2), rng.random_range(0.05..0.45), 0.7);
            patches.push(Patch { at, albedo: with_luma(color, rng.random_range(0.25..0.85)) });
        }
    }
    patches
}

/// The same hue in another lightness.
fn with_luma(color: Rgb, luma: f32) -> Rgb {
    let factor = luma / color.luma().max(1e-3);
    let Rgb(scaled) = Rgb(color.0.map(|c| c * factor));
    let over = scaled.iter().copied().fold(0.0, f32::max);
    // What would be past white goes grey until it fits, its lightness kept.
    if over <= 1.0 {
        return Rgb(scaled);
    }
    let share = (1.0 - luma) / (over - luma);
    Rgb(scaled.map(|c| luma + (c - luma) * share))
}

/// Two patches that are not neighbours.
fn two(rng: &mut Stream) -> (usize, usize) {
    loop {
        let (a, b) = (rng.random_range(0..GRID * GRID), rng.random_range(0..GRID * GRID));
        let apart = (a % GRID).abs_diff(b % GRID).max((a / GRID).abs_diff(b / GRID));
        if apart >= 2 {
            return (a, b);
        }
    }
}

/// The patch a place is on, and how far the next is.
fn nearest(patches: &[Patch], u: f32, v: f32) -> (usize, f32) {
    let mut best = [(f32::INFINITY, 0); 2];
    for (i, patch) in patches.iter().enumerate() {
        let far = (u - patch.at[0]).hypot(v - patch.at[1]);
        if far < best[0].0 {
            best = [(far, i), best[0]];
        } else if far < best[1].0 {
            best[1] = (far, i);
        }
    }
    (best[0].1, best[1].0 - best[0].0)
}

/// The light: a slope, folds of the wall, and soft shadows.
struct Lamp {
    slope: (f32, f32),
    fold: (f32, f32),
    depth: f32,
    shadows: Vec<([f32; 2], [f32; 2], f32)>,
}

impl Lamp {
    fn any(rng: &mut Stream) -> Self {
        let fold = direction(rng);
        let often = rng.random_range(5.0..14.0);
        let shadows = (0..rng.random_range(2..5)).map(|_| {
            let at = [rng.random(), rng.random()];
            let size = [rng.random_range(0.1..0.35), rng.random_range(0.1..0.35)];
            (at, size, rng.random_range(0.35..0.6))
        });
        let shadows = shadows.collect();
        let (dx, dy) = direction(rng);
        Self {
            slope: (0.5 * dx, 0.5 * dy),
            fold: (fold.0 * often, fold.1 * often),
            depth: rng.random_range(0.05..0.2),
            shadows,
        }
    }

    fn at(&self, u: f32, v: f32) -> f32 {
        let slope = 0.9 + self.slope.0 * (u - 0.5) + self.slope.1 * (v - 0.5);
        let fold = 1.0 + self.depth * (self.fold.0 * u + self.fold.1 * v).sin();
        let shade = self.shadows.iter().fold(1.0, |light: f32, ([x, y], [w, h], dark)| {
            let far = ((u - x) / w).hypot((v - y) / h);
            light * (1.0 - dark * ((1.15 - far) / 0.3).clamp(0.0, 1.0))
        });
        slope * fold * shade.max(0.38)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_keeps_its_hue_in_another_lightness() {
        for luma in [0.1, 0.4, 0.8] {
            for hue in 0..10 {
                let color = with_luma(hsv(hue as f32 / 10.0, 0.5, 0.7), luma);
                assert!(
                    (color.luma() - luma).abs() < 1e-4 && color.0.iter().all(|c| *c <= 1.0 + 1e-5),
                    "{color:?}"
                );
            }
        }
    }
}
