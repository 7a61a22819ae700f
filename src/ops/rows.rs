//! Rows of a matrix on all threads, and sums over rows that do not depend on how many threads there are.

use rayon::prelude::*;

/// Fewer values are done by the thread that asks: waking another costs more.
const ALONE: usize = 1 << 14;
/// Values of one task.
const TASK: usize = 1 << 13;

/// Rows of one task.
fn rows_at_once(width: usize) -> usize {
    (TASK / width.max(1)).max(1)
}

/// Fills `out` in pieces of whole rows of `width`; `fill` gets a piece and the number of its first row.
pub fn fill<T: Send>(out: &mut [T], width: usize, fill: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    if out.len() < ALONE {
        return fill(0, out);
    }
    let rows = rows_at_once(width);
    out.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(i, piece)| fill(i * rows, piece));
}

/// Sums [width] over rows: `add` adds rows of a range to the sums it is given. Ranges are the same on any number
/// of threads, and are added in their order.
pub fn sum(
    num_rows: usize,
    width: usize,
    add: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let rows = rows_at_once(width).max(64);
    let partial = |start: usize| {
        let mut sums = vec![0f32; width];
        add(start..num_rows.min(start + rows), &mut sums);
        sums
    };
    let starts: Vec<usize> = (0..num_rows).step_by(rows).collect();
    let parts: Vec<Vec<f32>> = if num_rows * width < ALONE {
        starts.into_iter().map(partial).collect()
    } else {
        starts.into_par_iter().map(partial).collect()
    };
    let mut parts = parts.into_iter();
    let Some(mut total) = parts.next() else { return vec![0.0; width] };
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    total
}
