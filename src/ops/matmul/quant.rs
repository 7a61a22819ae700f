//! Weights in 8 or 4 bits: for each row, 32 numbers along the inner axis share a scale.

use half::f16;

use super::tiles::{DEPTH, ROWS};

/// 16 rows of 32 numbers in 8 bits: value = (q - 128) * scale; 9 bits a number in all.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Q8Tile {
    /// Of each row.
    pub(super) scales: [f32; ROWS],
    /// Four inner numbers of each row, the first in the lowest byte.
    pub(super) words: [[u32; ROWS]; DEPTH / 4],
}

/// 16 rows of 32 numbers in 4 bits: value = q * scale + lowest; 5 bits a number in all.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Q4Tile {
    /// Of each row, both f16, the scale in the low half.
    pub(super) scales_and_lowest: [u32; ROWS],
    /// Eight inner numbers of each row, the first in the lowest bits.
    pub(super) words: [[u32; ROWS]; DEPTH / 8],
}

/// The step nearest to a value.
fn nearest(value: f32, scale: f32, most: f32) -> u32 {
    if scale > 0.0 { (value / scale).round_ties_even().clamp(0.0, most) as u32 } else { 0 }
}

impl Q8Tile {
    /// The step that stands for zero.
    pub(super) const ZERO_STEP: u8 = 128;

    /// Symmetric: the largest magnitude is 127 steps.
    pub fn new(rows: &[[f32; DEPTH]; ROWS]) -> Self {
        let mut tile = Self { scales: [0.0; ROWS], words: [[0; ROWS]; DEPTH / 4] };
        for (r, row) in rows.iter().enumerate() {
            let scale = row.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
            tile.scales[r] = scale;
            for (i, value) in row.iter().enumerate() {
                let step = nearest(value + f32::from(Self::ZERO_STEP) * scale, scale, 255.0);
                tile.words[i / 4][r] |= step << (8 * (i % 4));
            }
        }
        tile
    }
}

impl Q4Tile {
    /// Asymmetric: 15 steps from the lowest to the highest.
    pub fn new(rows: &[[f32; DEPTH]; ROWS]) -> Self {
        let mut tile = Self { scales_and_lowest: [0; ROWS], words: [[0; ROWS]; DEPTH / 8] };
        for (r, row) in rows.iter().enumerate() {
            let low = f16::from_f32(row.iter().copied().fold(f32::INFINITY, f32::min));
            let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let scale = f16::from_f32((high - low.to_f32()) / 15.0);
            tile.scales_and_lowest[r] = u32::from(scale.to_bits()) | u32::from(low.to_bits()) << 16;
            for (i, value) in row.iter().enumerate() {
                let step = nearest(value - low.to_f32(), scale.to_f32(), 15.0);
                tile.words[i / 8][r] |= step << (4 * (i % 8));
            }
        }
        tile
    }
}
