//! Surfaces to put things on.

use crate::random::Stream;
use rand::RngExt;

use super::canvas::Canvas;
use super::color::{Rgb, muted};
use super::noise::Noise;

/// What a surface is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cloudy,
    Wood,
    Cloth,
    Tiles,
    Marble,
    Gravel,
}

const KINDS: [Kind; 6] = [Kind::Cloudy, Kind::Wood, Kind::Cloth, Kind::Tiles, Kind::Marble, Kind::Gravel];

/// A surface of two colours, a function of the place.
#[derive(Debug, Clone, Copy)]
pub struct Texture {
    kind: Kind,
    colors: [Rgb; 2],
    noise: Noise,
    /// Features on the picture's longer side.
    scale: f32,
    turn: (f32, f32),
}

impl Texture {
    /// Any surface, in soft colours.
    pub fn any(rng: &mut Stream) -> Self {
        let base = muted(rng);
        let other = base.times(rng.random_range(0.6..0.85)).mix(muted(rng), 0.25);
        Self::of_colors(rng, [base, other])
    }

    /// Any surface, in these colours.
    pub fn of_colors(rng: &mut Stream, colors: [Rgb; 2]) -> Self {
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        let turn = super::canvas::direction(rng);
        Self { kind, colors, noise: Noise(rng.random()), scale: rng.random_range(4.0..9.0), turn }
    }

    /// The colour at a place, in units of the picture's longer side.
    pub fn at(&self, u: f32, v: f32) -> Rgb {
        let (cos, sin) = self.turn;
        let (x, y) = ((u * cos - v * sin) * self.scale, (u * sin + v * cos) * self.scale);
        let fine = self.noise.fractal(x * 6.0, y * 6.0, 2);
        let share = match self.kind {
            Kind::Cloudy => self.noise.fractal(x, y, 4) * 1.6 - 0.3,
            Kind::Wood => {
                let rings = x + 1.5 * self.noise.fractal(x * 0.4, y * 0.08, 3);
                0.7 * (0.5 + 0.5 * (rings * 9.0).sin()) + 0.3 * fine
            }
            Kind::Cloth => {
                let thread = 0.5 + 0.25 * ((x * 14.0).sin() + (y * 14.0).sin());
                0.6 * thread + 0.4 * self.noise.fractal(x, y, 3)
            }
            Kind::Tiles => {
                let edge = |t: f32| ((t - t.floor()) - 0.5).abs() > 0.45;
                let own = Noise(self.noise.0 ^ 0x4d).value(x.floor() * 7.3, y.floor() * 5.1);
                if edge(x) || edge(y) { 1.0 } else { 0.45 * own + 0.25 * fine }
            }
            Kind::Marble => {
                let vein = (x * 2.0 + 4.0 * self.noise.fractal(x * 0.8, y * 0.8, 4)).sin();
                vein.abs().powf(0.6) * 0.8 + 0.2 * fine
            }
            Kind::Gravel => {
                let stones = self.noise.value(x * 5.0, y * 5.0);
                (stones * 1.4 - 0.2).clamp(0.0, 1.0) * 0.8 + 0.3 * fine - 0.05
            }
        };
        self.colors[0].mix(self.colors[1], share.clamp(0.0, 1.0))
    }

    /// A canvas of it.
    pub fn canvas(&self, width: u32, height: u32) -> Canvas {
        let longer = width.max(height) as f32;
        Canvas::from_fn(width, height, |x, y| self.at(x / longer, y / longer))
    }
}
