//! Smooth noise on a lattice, cheap enough for every pixel of thousands of pictures.

/// Value noise: random numbers on the integer lattice, smoothly between them; from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Noise(pub u32);

impl Noise {
    fn at(self, x: i32, y: i32) -> f32 {
        let mut h = self.0 ^ (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
    }

    /// One octave.
    pub fn value(self, x: f32, y: f32) -> f32 {
        let (fx, fy) = (x.floor(), y.floor());
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (sx, sy, x, y) = (smooth(x - fx), smooth(y - fy), fx as i32, fy as i32);
        let row = |y: i32| {
            let (left, right) = (self.at(x, y), self.at(x.wrapping_add(1), y));
            left + (right - left) * sx
        };
        let (top, bottom) = (row(y), row(y.wrapping_add(1)));
        top + (bottom - top) * sy
    }

    /// Octaves of halving size and weight.
    pub fn fractal(self, x: f32, y: f32, octaves: u32) -> f32 {
        let (mut sum, mut weight, mut total) = (0.0, 1.0, 0.0);
        let (mut x, mut y) = (x, y);
        for octave in 0..octaves {
            sum += weight * Self(self.0.wrapping_add(octave.wrapping_mul(0x51ed_270b))).value(x, y);
            total += weight;
            weight *= 0.5;
            (x, y) = (x * 2.03, y * 2.03);
        }
        sum / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_smooth_and_spread_out() {
        let noise = Noise(7);
        let values: Vec<f32> =
            (0..4000).map(|i| noise.fractal(i as f32 * 0.37, i as f32 * 0.11, 3)).collect();
        let mean = values.iter().sum::<f32>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        for i in 0..1000 {
            let x = i as f32 * 0.013 - 5.0;
            assert!((noise.value(x, 2.5) - noise.value(x + 0.001, 2.5)).abs() < 0.01);
        }
    }
}
