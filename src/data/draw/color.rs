//! Colours of drawn things: hue, saturation and value, since that is how they vary.

use crate::random::Stream;
use rand::RngExt;

/// Red, green and blue from 0 to 1, as displayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rgb(pub [f32; 3]);

/// `h` in turns of the colour circle, `s` and `v` from 0 to 1.
pub fn hsv(h: f32, s: f32, v: f32) -> Rgb {
    let h = h.rem_euclid(1.0) * 6.0;
    let channel = |n: f32| {
        let k = (n + h) % 6.0;
        v - v * s * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

impl Rgb {
    /// Black to white.
    pub fn grey(value: f32) -> Self {
        Self([value; 3])
    }

    /// Brighter or darker by a factor.
    #[must_use]
    pub fn times(self, factor: f32) -> Self {
        Self(self.0.map(|c| (c * factor).clamp(0.0, 1.0)))
    }

    /// `share` of the way to another colour.
    #[must_use]
    pub fn mix(self, other: Self, share: f32) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + (other.0[i] - self.0[i]) * share))
    }

    /// Perceived lightness of a displayed colour, from 0 to 1 (Rec. 601 luma).
    pub fn luma(self) -> f32 {
        0.299 * self.0[0] + 0.587 * self.0[1] + 0.114 * self.0[2]
    }

    /// For tiny-skia.
    pub fn opaque(self) -> tiny_skia::Color {
        self.with_alpha(1.0)
    }

    /// For tiny-skia, partly transparent.
    pub fn with_alpha(self, alpha: f32) -> tiny_skia::Color {
        let [r, g, b] = self.0.map(|c| c.clamp(0.0, 1.0));
        tiny_skia::Color::from_rgba(r, g, b, alpha.clamp(0.0, 1.0)).expect("clamped to the valid range")
    }

    /// 8 bits a channel.
    pub fn bytes(self) -> [u8; 3] {
        self.0.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8)
    }
}

/// Any strong colour.
pub fn vivid(rng: &mut Stream) -> Rgb {
    hsv(rng.random(), rng.random_range(0.55..0.95), rng.random_range(0.6..0.95))
}

/// Any soft colour, for what lies behind.
pub fn muted(rng: &mut Stream) -> Rgb {
    hsv(rng.random(), rng.random_range(0.1..0.4), rng.random_range(0.4..0.85))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_of_colours() {
        assert_eq!(hsv(0.0, 1.0, 1.0).bytes(), [255, 0, 0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0).bytes(), [0, 255, 0]);
        assert_eq!(hsv(2.0 / 3.0, 1.0, 0.5).bytes(), [0, 0, 128]);
        assert_eq!(hsv(1.25, 0.0, 0.5).bytes(), [128, 128, 128]);
    }
}
