//! How the numbers of a tile are decoded in registers, a pair of inner numbers for as many rows as a vector has.

use pulp::{Simd, WithSimd};

use super::quant::{Q4Tile, Q8Tile};
use super::tiles::{ROWS, Tile};
use crate::ops::isa::Isa;

/// Decodes tiles of one kind. `part` counts the vectors that 16 rows make.
pub trait Code {
    /// What holds the numbers.
    type Tile: Sync;
    /// What all pairs of a tile share.
    type Head<S: Simd>: Copy;

    /// Reads what is shared.
    fn head<S: Simd>(simd: S, tile: &Self::Tile, part: usize) -> Self::Head<S>;

    /// Inner numbers 2 * `pair` and 2 * `pair` + 1 of the rows of a part.
    fn pair<S: Simd>(
        simd: S,
        head: Self::Head<S>,
        tile: &Self::Tile,
        pair: usize,
        part: usize,
    ) -> (S::f32s, S::f32s);
}

#[inline(always)]
pub(super) fn words<S: Simd>(line: &[u32; ROWS], part: usize) -> S::u32s {
    S::as_simd_u32s(line).0[part]
}

/// bf16 pairs.
pub struct AsBf16;

impl Code for AsBf16 {
    type Tile = Tile;
    type Head<S: Simd> = ();

    #[inline(always)]
    fn head<S: Simd>(_simd: S, _tile: &Tile, _part: usize) {}

    #[inline(always)]
    fn pair<S: Simd>(simd: S, (): (), tile: &Tile, pair: usize, part: usize) -> (S::f32s, S::f32s) {
        let both = words::<S>(tile.line(pair), part);
        let even = simd.wrapping_dyn_shl_u32s(both, simd.splat_u32s(16));
        let odd = simd.and_u32s(both, simd.splat_u32s(0xffff_0000));
        (simd.transmute_f32s_u32s(even), simd.transmute_f32s_u32s(odd))
    }
}

/// f16 pairs; finite ones, as weights are when they are read.
pub struct AsF16;

/// The f16 in the low half of each word: its exponent is put right by a product.
#[inline(always)]
fn widen<S: Simd>(simd: S, bits: S::u32s) -> S::f32s {
    let magnitude = simd.and_u32s(bits, simd.splat_u32s(0x7fff));
    let magnitude = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(magnitude, simd.splat_u32s(13)));
    let magnitude = simd.mul_f32s(magnitude, simd.splat_f32s(f32::from_bits(0x7780_0000)));
    let sign = simd.and_u32s(bits, simd.splat_u32s(0x8000));
    let sign = simd.wrapping_dyn_shl_u32s(sign, simd.splat_u32s(16));
    simd.transmute_f32s_u32s(simd.or_u32s(simd.transmute_u32s_f32s(magnitude), sign))
}

#[inline(always)]
fn high<S: Simd>(simd: S, words: S::u32s) -> S::u32s {
    simd.wrapping_dyn_shr_u32s(words, simd.splat_u32s(16))
}

impl Code for AsF16 {
    type Tile = Tile;
    type Head<S: Simd> = ();

    #[inline(always)]
    fn head<S: Simd>(_simd: S, _tile: &Tile, _part: usize) {}

    #[inline(always)]
    fn pair<S: Simd>(simd: S, (): (), tile: &Tile, pair: usize, part: usize) -> (S::f32s, S::f32s) {
        let both = words::<S>(tile.line(pair), part);
        (widen(simd, both), widen(simd, high(simd, both)))
    }
}

/// The number of `bits` bits at `shift`, as f32: put into the mantissa of 2^23, which is then taken off.
#[inline(always)]
fn steps<S: Simd>(simd: S, words: S::u32s, shift: usize, mask: u32) -> S::f32s {
    const TWO_TO_23: f32 = 8_388_608.0;
    let bits = simd.wrapping_dyn_shr_u32s(words, simd.splat_u32s(shift as u32));
    let bits = simd.and_u32s(bits, simd.splat_u32s(mask));
    let biased = simd.or_u32s(bits, simd.splat_u32s(TWO_TO_23.to_bits()));
    simd.sub_f32s(simd.transmute_f32s_u32s(biased), simd.splat_f32s(TWO_TO_23))
}

/// 8 bits and a scale.
pub struct AsQ8;

impl Code for AsQ8 {
    type Tile = Q8Tile;
    type Head<S: Simd> = (S::f32s, S::f32s);

    #[inline(always)]
    fn head<S: Simd>(simd: S, tile: &Q8Tile, part: usize) -> (S::f32s, S::f32s) {
        let scale = S::as_simd_f32s(&tile.scales).0[part];
        (scale, simd.mul_f32s(scale, simd.splat_f32s(-f32::from(Q8Tile::ZERO_STEP))))
    }

    #[inline(always)]
    fn pair<S: Simd>(
        simd: S,
        (scale, lowest): (S::f32s, S::f32s),
        tile: &Q8Tile,
        pair: usize,
        part: usize,
    ) -> (S::f32s, S::f32s) {
        let (words, shift) = (words::<S>(&tile.words[pair / 2], part), pair % 2 * 16);
        let value = |shift| simd.mul_add_e_f32s(steps(simd, words, shift, 255), scale, lowest);
        (value(shift), value(shift + 8))
    }
}

/// 4 bits, a scale and a lowest value.
pub struct AsQ4;

impl Code for AsQ4 {
    type Tile = Q4Tile;
    type Head<S: Simd> = (S::f32s, S::f32s);

    #[inline(always)]
    fn head<S: Simd>(simd: S, tile: &Q4Tile, part: usize) -> (S::f32s, S::f32s) {
        let both = words::<S>(&tile.scales_and_lowest, part);
        (widen(simd, both), widen(simd, high(simd, both)))
    }

    #[inline(always)]
    fn pair<S: Simd>(
        simd: S,
        (scale, lowest): (S::f32s, S::f32s),
        tile: &Q4Tile,
        pair: usize,
        part: usize,
    ) -> (S::f32s, S::f32s) {
        let (words, shift) = (words::<S>(&tile.words[pair / 4], part), pair % 4 * 8);
        let value = |shift| simd.mul_add_e_f32s(steps(simd, words, shift, 15), scale, lowest);
        (value(shift), value(shift + 4))
    }
}

/// Tiles as bf16 pairs, appended to `out`.
pub fn decode<C: Code>(tiles: &[C::Tile], out: &mut Vec<Tile>, isa: Isa) {
    isa.dispatch(Decode::<C> { tiles, out });
}

struct Decode<'a, C: Code> {
    tiles: &'a [C::Tile],
    out: &'a mut Vec<Tile>,
}

impl<C: Code> WithSimd for Decode<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Half an ulp more, then the upper half: ties go away from zero.
        let round = |value| simd.add_u32s(simd.transmute_u32s_f32s(value), simd.splat_u32s(0x8000));
        let (low_half, upper) = (simd.splat_u32s(16), simd.splat_u32s(0xffff_0000));
        for tile in self.tiles {
            let mut decoded = Tile::ZERO;
            for part in 0..ROWS / S::F32_LANES {
                let head = C::head(simd, tile, part);
                for (pair, line) in decoded.0.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                    let (even, odd) = C::pair(simd, head, tile, pair, part);
                    let even = simd.wrapping_dyn_shr_u32s(round(even), low_half);
                    let odd = simd.and_u32s(round(odd), upper);
                    S::as_mut_simd_u32s(line).0[part] = simd.or_u32s(even, odd);
                }
            }
            self.out.push(decoded);
        }
    }
}
