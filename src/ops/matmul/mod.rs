//! Matrix products: f32 by the `gemm` crate, 16 bits and fewer by kernels of our own on packed tiles.

pub mod amx;
mod avx512;
mod code;
pub mod dense;
mod kernel;
pub mod packed;
pub mod quant;
pub mod tiles;
mod widening;

use std::mem::MaybeUninit;

use rayon::prelude::*;

pub use self::kernel::{Left, multiply};
use self::packed::{Matrix, Packed};
use self::tiles::{BLOCK, Block};
use super::element::Element;
use super::isa::Isa;
use super::shared::{Shared, written};

/// Blocks of 32 rows that share what they read of the right side, and the same the other way.
const TASK_BLOCKS: usize = 8;
/// More rows share it where reading it means decoding it.
const QUANTISED_TASK_BLOCKS: usize = 32;

/// Whose rows the left side of a product has. It decides the kernel, and how many rows there are does not: a row has the same
/// bits alone and among others, so that an answer hangs on nobody who is asked with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowsOf {
    /// Of whole sequences, of images, of training: many.
    #[default]
    Whole,
    /// Of steps of answers: few.
    Steps,
}

/// x [m, k] Wᵀ + bias for W [n, k] -> [m, n]; sums in f32, on all threads.
///
/// Each sum is taken in the order of k, whatever the number of threads and of rows.
pub fn product<T: Element>(
    x: Matrix<'_, T>,
    weight: &Packed,
    bias: Option<&[f32]>,
    of: RowsOf,
    isa: Isa,
) -> Vec<T> {
    let ([rows, depth], (cols, inner)) = (x.dims, weight.dims());
    assert_eq!(depth, inner, "inner sizes of a product");
    if rows == 0 || cols == 0 || depth == 0 {
        let bias = bias.map_or_else(|| vec![0.0; cols], <[f32]>::to_vec);
        return (0..rows).flat_map(|_| bias.iter().map(|b| T::narrow(*b))).collect();
    }
    #[expect(unsafe_code, reason = "an output that is written once")]
    // SAFETY: the blocks of a product cover all of it.
    unsafe {
        written(rows * cols, |out| fill_product(x, weight, bias, out, of, isa))
    }
}

fn fill_product<T: Element>(
    x: Matrix<'_, T>,
    weight: &Packed,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<T>],
    of: RowsOf,
    isa: Isa,
) {
    let (rows, cols) = (x.dims[0], weight.dims().0);
    let left = Left::new(x, weight, of, isa);
    let (row_blocks, col_blocks) = (rows.div_ceil(BLOCK), cols.div_ceil(BLOCK));
    let tall =
        if matches!(weight.format(), packed::Format::Half(_)) { TASK_BLOCKS } else { QUANTISED_TASK_BLOCKS };
    let tall = tall.min(row_blocks);
    let tasks_per_thread = 4;
    let mut wide = TASK_BLOCKS;
    while wide > 1
        && row_blocks.div_ceil(tall) * col_blocks.div_ceil(wide)
            < tasks_per_thread * rayon::current_num_threads()
    {
        wide /= 2;
    }
    let across = col_blocks.div_ceil(wide);
    let out = Shared::new(out);
    (0..row_blocks.div_ceil(tall) * across).into_par_iter().for_each(|task| {
        let (top, side) = (task / across * tall, task % across * wide);
        let (row_range, col_range) = (top..row_blocks.min(top + tall), side..col_blocks.min(side + wide));
        multiply(&left, row_range, weight, col_range, isa, |row_block, col_block, block: &Block| {
            let (first_row, first_col) = (row_block * BLOCK, col_block * BLOCK);
            let width = BLOCK.min(cols - first_col);
            let mut added = [0f32; BLOCK];
            if let Some(bias) = bias {
                added[..width].copy_from_slice(&bias[first_col..first_col + width]);
            }
            isa.run(
                #[inline(always)]
                || {
                    for (row, sums) in (first_row..rows.min(first_row + BLOCK)).zip(block.0.as_chunks().0) {
                        let place = row * cols + first_col;
                        #[expect(unsafe_code, reason = "tasks write blocks of one matrix")]
                        // SAFETY: no two blocks of a product share a place of the output.
                        let out = unsafe { out.range(place..place + width) };
                        write_row(
                            sums,
                            out,
                            #[inline(always)]
                            |i, sum| MaybeUninit::new(T::narrow(sum + added[i])),
                        );
                    }
                },
            );
        });
    });
}

/// Puts what `finish` makes of a row of sums (place and sum) into as many places as `out` has.
#[inline(always)]
pub fn write_row<O>(sums: &[f32; BLOCK], out: &mut [O], finish: impl Fn(usize, f32) -> O) {
    if let Some(out) = out.first_chunk_mut::<BLOCK>() {
        for i in 0..BLOCK {
            out[i] = finish(i, sums[i]);
        }
    } else {
        for i in 0..out.len() {
            out[i] = finish(i, sums[i]);
        }
    }
}

/// out [m, k] = grad [m, n] W for W [n, k]: the gradient of [`product`]'s left side. A few rows of W are unpacked at
/// a time; sums over them are taken in their order.
pub fn product_back(grad: &[f32], weight: &Packed, out: &mut [f32]) {
    const ROWS_AT_ONCE: usize = 512;
    let (cols, inner) = weight.dims();
    if inner == 0 {
        return;
    }
    let rows = out.len() / inner;
    assert_eq!(grad.len(), rows * cols, "values of a gradient");
    let mut unpacked = vec![0f32; ROWS_AT_ONCE.min(cols) * inner];
    for start in (0..cols).step_by(ROWS_AT_ONCE) {
        let count = ROWS_AT_ONCE.min(cols - start);
        let unpacked = &mut unpacked[..count * inner];
        unpacked.par_chunks_mut(inner).enumerate().for_each(|(i, row)| weight.read_row(start + i, row));
        let (left, right) =
            (dense::MatrixView::new(&grad[start..], [cols, 1]), dense::MatrixView::rows(unpacked, inner));
        dense::multiply([rows, count, inner], left, right, 1.0, out, inner, start > 0, dense::Threads::All);
    }
}
