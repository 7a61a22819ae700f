//! Products of bf16 by AVX-512's dot product of pairs.

#[cfg(target_arch = "x86_64")]
use super::tiles::{BLOCK, ROWS};
use super::tiles::{Block, Tile};

/// out += (or =) a bᵀ for `rows` rows of two row blocks of `a` and two row blocks of `b`.
///
/// # Panics
/// Where the processor lacks the instruction.
#[cfg(target_arch = "x86_64")]
pub fn multiply(a: [&[Tile]; 2], b: [&[Tile]; 2], rows: usize, out: &mut Block, add: bool) {
    assert!(super::Isa::best() >= super::Isa::Avx512Bf16, "needs AVX-512 BF16");
    let mut row = 0;
    while row < rows {
        let (tiles, within) = (a[row / ROWS], row % ROWS);
        let step = match rows - row {
            8.. => 8,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        #[expect(unsafe_code, reason = "instructions chosen at run time")]
        // SAFETY: the processor has them, as asserted.
        unsafe {
            match step {
                8 => rows_of::<8>(tiles, within, b, &mut out.0[row * BLOCK..], add),
                4 => rows_of::<4>(tiles, within, b, &mut out.0[row * BLOCK..], add),
                2 => rows_of::<2>(tiles, within, b, &mut out.0[row * BLOCK..], add),
                _ => rows_of::<1>(tiles, within, b, &mut out.0[row * BLOCK..], add),
            }
        }
        row += step;
    }
}

/// `R` rows of one row block, from row `first`; `out` has rows of [`BLOCK`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rows_of<const R: usize>(a: &[Tile], first: usize, b: [&[Tile]; 2], out: &mut [f32], add: bool) {
    use std::arch::x86_64::{__m512bh, __m512i, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_setzero_ps};
    #[expect(unsafe_code, reason = "vectors as arrays")]
    // SAFETY: a vector and an array of the same 64 bytes.
    let load = |line: &[u32; 16]| unsafe { std::mem::transmute::<[u32; 16], __m512bh>(*line) };
    #[expect(unsafe_code, reason = "vectors as arrays")]
    // SAFETY: as above.
    let pairs = |v: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(v) };
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for ((a, b0), b1) in a.iter().zip(b[0]).zip(b[1]) {
        let a: &[[u32; ROWS]; R] = a.0.as_chunks().0[first..].first_chunk().expect("a tile has 16 rows");
        #[expect(clippy::needless_range_loop, reason = "an index reaches all rows at once")]
        for pair in 0..ROWS {
            let (left, right) = (load(b0.line(pair)), load(b1.line(pair)));
            for r in 0..R {
                let value = pairs(_mm512_set1_epi32(a[r][pair].cast_signed()));
                sums[r][0] = _mm512_dpbf16_ps(sums[r][0], value, left);
                sums[r][1] = _mm512_dpbf16_ps(sums[r][1], value, right);
            }
        }
    }
    for (row, sums) in out.chunks_exact_mut(BLOCK).zip(sums) {
        #[expect(unsafe_code, reason = "vectors as arrays")]
        // SAFETY: two vectors are 32 numbers.
        let sums = unsafe { std::mem::transmute::<[std::arch::x86_64::__m512; 2], [f32; BLOCK]>(sums) };
        for (out, sum) in row.iter_mut().zip(sums) {
            *out = if add { *out + sum } else { sum };
        }
    }
}

/// Other processors are never asked.
///
/// # Panics
/// Always.
#[cfg(not(target_arch = "x86_64"))]
pub fn multiply(_a: [&[Tile]; 2], _b: [&[Tile]; 2], _rows: usize, _out: &mut Block, _add: bool) {
    unreachable!("only x86-64 has AVX-512, and `Isa` says so");
}
