//! Products of f32 with numbers that are decoded in registers: for every processor, for f16, and for few rows of
//! what is quantised.

use pulp::{Simd, WithSimd};

use super::code::Code;
use super::tiles::{BLOCK, Block, DEPTH, ROWS, WideTile};
use crate::ops::isa::Isa;

/// out += (or =) a bᵀ for `rows` rows of two row blocks of `a` and two row blocks of `b`.
pub fn multiply<C: Code>(
    isa: Isa,
    a: [&[WideTile]; 2],
    b: [&[C::Tile]; 2],
    rows: usize,
    out: &mut Block,
    add: bool,
) {
    isa.dispatch(Multiply::<C> { a, b, rows, out, add });
}

struct Multiply<'a, C: Code> {
    a: [&'a [WideTile]; 2],
    b: [&'a [C::Tile]; 2],
    rows: usize,
    out: &'a mut Block,
    add: bool,
}

impl<C: Code> WithSimd for Multiply<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, rows, out, add } = self;
        for part in 0..ROWS / S::F32_LANES {
            let mut row = 0;
            while row < rows {
                let (left, first) = (a[row / ROWS], row % ROWS);
                let out = &mut out.0[row * BLOCK + part * S::F32_LANES..];
                row += match rows - row {
                    // Sums of 8 rows fill the 32 registers of AVX-512; elsewhere there are 16.
                    8.. if S::F32_LANES == 16 => rows_of::<8, C, S>(simd, left, first, b, part, out, add),
                    4.. => rows_of::<4, C, S>(simd, left, first, b, part, out, add),
                    2.. => rows_of::<2, C, S>(simd, left, first, b, part, out, add),
                    _ => rows_of::<1, C, S>(simd, left, first, b, part, out, add),
                };
            }
        }
    }
}

/// `R` rows of one row block, from row `first`, times a vector of columns of each block of `b`. -> R.
#[inline(always)]
fn rows_of<const R: usize, C: Code, S: Simd>(
    simd: S,
    a: &[WideTile],
    first: usize,
    b: [&[C::Tile]; 2],
    part: usize,
    out: &mut [f32],
    add: bool,
) -> usize {
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for ((a, b0), b1) in a.iter().zip(b[0]).zip(b[1]) {
        let heads = [C::head(simd, b0, part), C::head(simd, b1, part)];
        let a = a.0.as_chunks::<DEPTH>().0;
        let a: &[[f32; DEPTH]; R] = a[first..].first_chunk().expect("a tile has 16 rows");
        for pair in 0..ROWS {
            let (even0, odd0) = C::pair(simd, heads[0], b0, pair, part);
            let (even1, odd1) = C::pair(simd, heads[1], b1, pair, part);
            for r in 0..R {
                let (even, odd) = (simd.splat_f32s(a[r][2 * pair]), simd.splat_f32s(a[r][2 * pair + 1]));
                sums[r][0] = simd.mul_add_e_f32s(even, even0, sums[r][0]);
                sums[r][1] = simd.mul_add_e_f32s(even, even1, sums[r][1]);
                sums[r][0] = simd.mul_add_e_f32s(odd, odd0, sums[r][0]);
                sums[r][1] = simd.mul_add_e_f32s(odd, odd1, sums[r][1]);
            }
        }
    }
    for (out, sums) in out.chunks_mut(BLOCK).zip(sums) {
        for (half, sum) in sums.into_iter().enumerate() {
            let out = &mut S::as_mut_simd_f32s(&mut out[half * ROWS..][..S::F32_LANES]).0[0];
            *out = if add { simd.add_f32s(*out, sum) } else { sum };
        }
    }
    R
}
