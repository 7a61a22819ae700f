//! Rotary positions: their frequencies, and their application to queries and keys.

use candle_core::{DType, Device, Tensor};

use super::compute::Compute;
use crate::checkpoint::config::{RotaryAxes, RotaryConfig};
use crate::error::Result;
use crate::ops::rotary::{Pairing, rotate};

/// Cosines and sines of every position, half a head wide: the other half repeats them.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// [T, `head_dim` / 2].
    cos: Tensor,
    /// [T, `head_dim` / 2].
    sin: Tensor,
}

impl Rotary {
    /// From angles, [T, `head_dim` / 2] in row order.
    pub fn from_angles(angles: &[f32], half: usize, dtype: DType, device: &Device) -> Result<Self> {
        let rows = angles.len() / half;
        let table = |f: fn(f32) -> f32| -> Result<Tensor> {
            let values: Vec<f32> = angles.iter().map(|a| f(*a)).collect();
            Ok(Tensor::from_vec(values, (rows, half), device)?.to_dtype(dtype)?)
        };
        Ok(Self { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }

    /// Of some of the positions.
    pub fn rows(&self, places: &[usize]) -> Result<Self> {
        let index: Vec<u32> = places.iter().map(|place| *place as u32).collect();
        let index = Tensor::new(index, self.cos.device())?;
        Ok(Self { cos: self.cos.index_select(&index, 0)?, sin: self.sin.index_select(&index, 0)? })
    }

    /// Rotates the halves of each head against each other (`rotate_half`); x: [T, H, `head_dim`].
    pub fn apply(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        rotate(x, &self.cos, &self.sin, Pairing::Halves, compute.isa)
    }
}

/// 1 / base^(2i / dim) for i in 0..dim/2, the frequencies of rotary positions (Su et al., 2021).
///
/// Every step in f32 as in the reference: at position 16,000 one more correct digit is an angle off by 1e-3.
pub fn inverse_frequencies(dim: usize, base: f64) -> Vec<f32> {
    let base = base as f32;
    (0..dim).step_by(2).map(|i| 1.0 / base.powf(i as f32 / dim as f32)).collect()
}

/// Angles of each token of a text: every frequency turns with the axis its place gives it.
///
/// Sectioned (Qwen2-VL, section 2.1): frequencies in three blocks, temporal, height, width.
/// Interleaved (Qwen3-VL): height and width take every third frequency, temporal the rest.
/// -> [T, `head_dim` / 2] in row order.
pub fn text_angles(positions: &[[i64; 3]], frequencies: &[f32], rotary: &RotaryConfig) -> Vec<f32> {
    let axis_of = |i: usize| -> usize {
        match rotary.axes {
            RotaryAxes::Single => 0,
            RotaryAxes::Sectioned(section) => {
                (i >= section[0]) as usize + (i >= section[0] + section[1]) as usize
            }
            RotaryAxes::Interleaved(section) => match i % 3 {
                axis @ (1 | 2) if i < section[axis] * 3 => axis,
                _ => 0,
            },
        }
    };
    let axes: Vec<usize> = (0..frequencies.len()).map(axis_of).collect();
    positions
        .iter()
        .flat_map(|position| axes.iter().zip(frequencies).map(|(axis, f)| position[*axis] as f32 * f))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1 / theta ** (arange(0, dim, 2).float() / dim)` in torch 2.15, whose power is off by a bit here and there.
    #[test]
    fn frequencies_are_the_references() {
        const FAR: f32 = 16_384.0;
        let recorded: Vec<(usize, f64, Vec<u32>)> =
            serde_json::from_str(include_str!("../../tests/fixtures/rotary_frequencies.json")).unwrap();
        assert!(recorded.len() >= 5);
        for (dim, base, bits) in recorded {
            let ours = inverse_frequencies(dim, base);
            assert_eq!(ours.len(), bits.len());
            for (ours, bits) in ours.iter().zip(bits) {
                let reference = f32::from_bits(bits);
                assert!(ours.to_bits().abs_diff(bits) <= 1, "dim {dim}, base {base}");
                // Far along the angle is still the same (in double precision it was off by 1e-3).
                assert!((ours - reference).abs() * FAR < 2e-5, "dim {dim}, base {base}: {ours}");
            }
        }
    }

    #[test]
    fn axes_share_the_frequencies() {
        let turn = |axes| {
            let config = RotaryConfig { axes, theta: 1e4 };
            text_angles(&[[1, 10, 100]], &[1.0; 6], &config)
        };
        assert_eq!(turn(RotaryAxes::Single), [1.0; 6]);
        assert_eq!(turn(RotaryAxes::Sectioned([2, 3, 1])), [1.0, 1.0, 10.0, 10.0, 10.0, 100.0]);
        assert_eq!(turn(RotaryAxes::Interleaved([3, 2, 1])), [1.0, 10.0, 100.0, 1.0, 10.0, 1.0]);
    }
}
