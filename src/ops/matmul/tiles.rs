//! The layout in which 16-bit numbers meet the matrix kernels.
//!
//! A tile is 16 rows of 32 numbers along the inner axis, as AMX reads its operands. Of the left side a line is one
//! row; of the right side a line is one *pair* of inner numbers for all 16 rows, so that a vector kernel takes a
//! line against one broadcast pair, and a one-row product streams through memory.

use half::f16;

/// Rows of a tile.
pub const ROWS: usize = 16;
/// Numbers along the inner axis of a tile.
pub const DEPTH: usize = 32;
/// Rows and columns of an output block: two tiles by two.
pub const BLOCK: usize = 2 * ROWS;

/// 16 lines of 16 pairs of 16-bit numbers; the even one of a pair is in the low half.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Tile(pub [u32; 256]);

impl Tile {
    /// All zero.
    pub const ZERO: Self = Self([0; 256]);

    /// Line `i`.
    #[inline(always)]
    pub fn line(&self, i: usize) -> &[u32; 16] {
        self.0.as_chunks::<16>().0.get(i).expect("a tile has 16 lines")
    }
}

/// 16 rows of 32 f32: the left side where products are in f32.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct WideTile(pub [f32; ROWS * DEPTH]);

/// A block of the output, 32 x 32.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Block(pub [f32; BLOCK * BLOCK]);

/// The two 16-bit types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// 8 bits of exponent, as f32.
    Bf16,
    /// 5 bits of exponent, 10 of mantissa.
    F16,
}

impl Half {
    /// The nearest number of this type, as its bits.
    #[inline(always)]
    pub fn narrow(self, value: f32) -> u16 {
        match self {
            Self::Bf16 => narrow_bf16(value),
            Self::F16 => f16::from_f32(value).to_bits(),
        }
    }

    /// The number of these bits.
    #[inline(always)]
    pub fn widen(self, bits: u16) -> f32 {
        match self {
            Self::Bf16 => f32::from_bits(u32::from(bits) << 16),
            Self::F16 => widen_f16(u32::from(bits)),
        }
    }
}

/// The nearest bf16, ties to even, in operations every vector unit has.
#[inline(always)]
pub fn narrow_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // Rounding could carry a NaN into infinity: it stays one.
    let quiet = bits >> 16 | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

/// The f16 in the low 16 bits, in operations every vector unit has: its exponent is put right by a product, which
/// also makes its subnormal numbers normal (infinity and NaN need a second look, since they become 65,536 and up).
#[inline(always)]
pub fn widen_f16(bits: u32) -> f32 {
    const SCALE: f32 = f32::from_bits(0x7780_0000);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * SCALE;
    let special = f32::from_bits(magnitude.to_bits() | 0x7f80_0000);
    let magnitude = if magnitude >= 65536.0 { special } else { magnitude };
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn narrowing_to_bf16_rounds_as_it_should() {
        for i in 0..1 << 20 {
            let value = f32::from_bits((i as u32).wrapping_mul(4_093));
            let (ours, exact) = (narrow_bf16(value), bf16::from_f32(value));
            assert!(ours == exact.to_bits() || exact.is_nan() && bf16::from_bits(ours).is_nan(), "{value}");
        }
    }

    #[test]
    fn every_f16_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (ours, exact) = (Half::F16.widen(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == exact.to_bits() || ours.is_nan() && exact.is_nan(), "{bits:x}: {ours}");
        }
    }
}
