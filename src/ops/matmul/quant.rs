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

/// A matrix [rows, cols] that is whole numbers already: value = (code - zero) * scale, scale and zero shared by `group`
/// columns of a row.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    /// Of a code: 4 or 8.
    pub bits: u32,
    /// Columns that share a scale; they divide evenly.
    pub group: usize,
    /// [rows, cols].
    pub codes: &'a [u8],
    /// [rows, cols / group].
    pub scales: &'a [f32],
    /// [rows, cols / group], in steps.
    pub zeros: &'a [f32],
}

impl Codes<'_> {
    /// Do tiles of 8 bits hold it as it is?
    pub(super) fn fits_q8(&self) -> bool {
        let around_zero = self.zeros.iter().all(|zero| *zero == f32::from(Q8Tile::ZERO_STEP));
        self.bits == 8 && self.group.is_multiple_of(DEPTH) && around_zero
    }

    /// Do tiles of 4 bits? Their scales and lowest values are f16.
    pub(super) fn fits_q4(&self) -> bool {
        let is_f16 = |value: f32| f16::from_f32(value).to_f32() == value;
        let both = self.scales.iter().zip(self.zeros);
        self.bits == 4
            && self.group.is_multiple_of(DEPTH)
            && both.clone().all(|(scale, zero)| is_f16(*scale) && is_f16(-zero * scale))
    }

    /// Scale, zero and codes of 32 columns of a row.
    fn line(&self, cols: usize, row: usize, col: usize) -> (f32, f32, &[u8]) {
        let group = (row * cols + col) / self.group;
        (self.scales[group], self.zeros[group], &self.codes[row * cols + col..][..DEPTH])
    }
}

/// The step nearest to a value.
fn nearest(value: f32, scale: f32, most: f32) -> u32 {
    if scale > 0.0 { (value / scale).round_ties_even().clamp(0.0, most) as u32 } else { 0 }
}

impl Q8Tile {
    /// Of whole numbers that fit, of a matrix [rows, cols].
    pub(super) fn of_codes(codes: Codes<'_>, [rows, cols]: [usize; 2], row: usize, col: usize) -> Self {
        let mut tile = Self { scales: [0.0; ROWS], words: [[0; ROWS]; DEPTH / 4] };
        for r in 0..ROWS.min(rows - row) {
            let (scale, _, line) = codes.line(cols, row + r, col);
            tile.scales[r] = scale;
            for (i, code) in line.iter().enumerate() {
                tile.words[i / 4][r] |= u32::from(*code) << (8 * (i % 4));
            }
        }
        tile
    }

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
    /// Of whole numbers that fit, of a matrix [rows, cols].
    pub(super) fn of_codes(codes: Codes<'_>, [rows, cols]: [usize; 2], row: usize, col: usize) -> Self {
        let mut tile = Self { scales_and_lowest: [0; ROWS], words: [[0; ROWS]; DEPTH / 8] };
        for r in 0..ROWS.min(rows - row) {
            let (scale, zero, line) = codes.line(cols, row + r, col);
            let [scale, low] = [scale, -zero * scale].map(|value| u32::from(f16::from_f32(value).to_bits()));
            tile.scales_and_lowest[r] = scale | low << 16;
            for (i, code) in line.iter().enumerate() {
                tile.words[i / 8][r] |= u32::from(*code) << (4 * (i % 8));
            }
        }
        tile
    }

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
