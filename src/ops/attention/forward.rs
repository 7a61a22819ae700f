//! The forward pass on the CPU.

use bytemuck::zeroed_vec;
use rayon::prelude::*;

use super::geometry::{Geometry, RowMask};
use super::{Plan, Segment};
use crate::error::Result;
use crate::ops::element::Element;
use crate::ops::matmul::dense::{self, Threads};
use crate::ops::matmul::packed::{Format, Matrix, Packed};
use crate::ops::matmul::tiles::{BLOCK as TILE_BLOCK, Half};
use crate::ops::matmul::{Left, multiply, write_row};
use crate::ops::shared::Shared;

/// Fewer queries than this are taken one by one: a step of decoding.
const FEW_QUERIES: usize = 4;

/// A stretch of queries of one segment.
struct Task<'a> {
    segment: &'a Segment,
    place: usize,
    /// Counted from the segment's first query.
    queries: std::ops::Range<usize>,
}

fn tasks(segments: &[Segment], block: usize) -> Vec<Task<'_>> {
    let block = block.max(1);
    let mut all = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        let len = segment.queries.len();
        all.extend((0..len).step_by(block).map(|start| Task {
            segment,
            place,
            queries: start..len.min(start + block),
        }));
    }
    // What looks at most keys is begun first, so that threads end together.
    all.sort_by_key(|task| {
        std::cmp::Reverse(task.queries.len() * (task.segment.keys.len() + task.queries.end))
    });
    all
}

/// q: [T, H, d], k and v: [S, Hkv, d] -> [T, H, d]. `check` is asked between pieces of well under a second.
pub(super) fn attend<T: Element>(
    g: Geometry,
    q: &[T],
    k: &[T],
    v: &[T],
    segments: &[Segment],
    plan: Plan,
    check: &dyn Fn() -> Result<()>,
) -> Result<Vec<T>> {
    // Two segments on one query would be two threads on its row.
    let follow = segments.windows(2).all(|pair| pair[0].queries.end <= pair[1].queries.start);
    let end = segments.last().map_or(0, |segment| segment.queries.end);
    assert!(follow && end * g.q_width() <= q.len(), "segments follow one another, within the queries");
    let mut out = zeroed_vec::<T>(q.len());
    if q.is_empty() || g.dim == 0 {
        return Ok(out);
    }
    let few = segments.iter().all(|segment| segment.queries.len() < FEW_QUERIES);
    let sides = if few {
        Sides::AsTheyAre
    } else if T::IS_BF16 && plan.isa.multiplies_bf16() {
        Sides::packed(g, k, v, segments)
    } else {
        let wide = |values: &[T]| values.iter().map(|value| value.wide()).collect();
        Sides::Wide { q: wide(q), k: wide(k), v: wide(v) }
    };
    let penalties: Vec<_> =
        segments.iter().map(|s| s.mask.as_ref().map(|mask| (mask, mask.penalties()))).collect();
    let shared = Shared::new(&mut out);
    let one = |task: &Task<'_>| {
        let first = task.segment.queries.start + task.queries.start;
        let range = first * g.q_width()..(first + task.queries.len()) * g.q_width();
        #[expect(unsafe_code, reason = "tasks write rows of one tensor")]
        // SAFETY: every query belongs to one task.
        let out = unsafe { shared.range(range.clone()) };
        let mask = RowMask {
            mask: penalties[task.place].as_ref().map(|(mask, penalties)| (*mask, penalties)),
            num_keys: task.segment.keys.len(),
        };
        match &sides {
            Sides::AsTheyAre => few_queries(g, &q[range], (k, v), task, mask, plan, out),
            Sides::Wide { q, k, v } => wide_block(g, q, k, v, task, mask, plan, out),
            Sides::Packed(heads) => packed_block(g, &q[range], &heads[task.place], task, mask, plan, out),
        }
    };
    let all = tasks(segments, plan.block);
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        check()?;
        let mut products = 0;
        let fits = |task: &&Task<'_>| {
            products += 2 * task.queries.len() * task.segment.keys.len() * g.q_width();
            products <= plan.products_at_once
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, after) = rest.split_at(count);
        now.par_iter().for_each(one);
        rest = after;
    }
    Ok(out)
}

/// q, k and v as a block of queries reads them.
enum Sides {
    /// As they are.
    AsTheyAre,
    /// As f32.
    Wide { q: Vec<f32>, k: Vec<f32>, v: Vec<f32> },
    /// Of each segment and key-value head: k [S, d] and v turned over [d, S], as tiles of bf16.
    Packed(Vec<Vec<(Packed, Packed)>>),
}

impl Sides {
    fn packed<T: Element>(g: Geometry, k: &[T], v: &[T], segments: &[Segment]) -> Self {
        let format = Format::Half(Half::Bf16);
        let of = |segment: &Segment, head: usize| {
            let start = segment.keys.start * g.kv_width() + head * g.dim;
            let (len, across) = (segment.keys.len(), g.kv_width());
            let keys = Matrix { data: &k[start..], dims: [len, g.dim], strides: [across, 1] };
            let turned = Matrix { data: &v[start..], dims: [g.dim, len], strides: [1, across] };
            (Packed::new(keys, format), Packed::new(turned, format))
        };
        let heads =
            |segment: &Segment| (0..g.kv_heads).into_par_iter().map(|head| of(segment, head)).collect();
        Self::Packed(segments.par_iter().map(heads).collect())
    }
}

/// A block of queries by products of f32.
#[expect(clippy::too_many_arguments, reason = "one call, all of it needed")]
fn wide_block<T: Element>(
    g: Geometry,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    task: &Task<'_>,
    mask: RowMask<'_>,
    plan: Plan,
    out: &mut [T],
) {
    let (rows, num_keys) = (task.queries.len(), mask.keys_of_block(task.queries.end));
    let (first_query, first_key) = (task.segment.queries.start + task.queries.start, task.segment.keys.start);
    let mut scores = vec![0f32; rows * num_keys];
    let mut mixed = vec![0f32; rows * g.dim];
    for head in 0..g.heads {
        if num_keys > 0 {
            let (q, kv) = (g.q_rows(q, first_query, head), head / g.group());
            let (k, v) = (g.kv_rows(k, first_key, kv), g.kv_rows(v, first_key, kv));
            dense::multiply(
                [rows, g.dim, num_keys],
                q,
                k.t(),
                plan.scale,
                &mut scores,
                num_keys,
                false,
                Threads::One,
            );
            softmax_rows(task, mask, plan, &mut scores, num_keys);
            let p = dense::MatrixView::rows(&scores, num_keys);
            dense::multiply([rows, num_keys, g.dim], p, v, 1.0, &mut mixed, g.dim, false, Threads::One);
        }
        for (out, mixed) in out.chunks_exact_mut(g.q_width()).zip(mixed.chunks_exact(g.dim)) {
            let out = &mut out[head * g.dim..][..g.dim];
            for (out, value) in out.iter_mut().zip(mixed) {
                *out = T::narrow(*value);
            }
        }
    }
}

/// A block of queries by products of bf16.
fn packed_block<T: Element>(
    g: Geometry,
    q: &[T],
    heads: &[(Packed, Packed)],
    task: &Task<'_>,
    mask: RowMask<'_>,
    plan: Plan,
    out: &mut [T],
) {
    let (rows, num_keys) = (task.queries.len(), mask.keys_of_block(task.queries.end));
    if num_keys == 0 {
        return;
    }
    let row_blocks = || 0..rows.div_ceil(TILE_BLOCK);
    let mut scores = vec![0f32; rows * num_keys];
    for head in 0..g.heads {
        let (keys, turned) = &heads[head / g.group()];
        let q = Matrix { data: &q[head * g.dim..], dims: [rows, g.dim], strides: [g.q_width(), 1] };
        let left = Left::alone(q, keys, plan.isa);
        multiply(
            &left,
            row_blocks(),
            keys,
            0..num_keys.div_ceil(TILE_BLOCK),
            plan.isa,
            |row_block, col_block, block| {
                let (first, left) = (col_block * TILE_BLOCK, row_block * TILE_BLOCK);
                let width = TILE_BLOCK.min(num_keys - first);
                plan.isa.run(
                    #[inline(always)]
                    || {
                        for (row, sums) in (left..rows).zip(block.0.as_chunks().0) {
                            let out = &mut scores[row * num_keys + first..][..width];
                            write_row(sums, out, |_, sum| sum * plan.scale);
                        }
                    },
                );
            },
        );
        softmax_rows(task, mask, plan, &mut scores, num_keys);
        let left = Left::alone(Matrix::new(&scores, rows, num_keys), turned, plan.isa);
        multiply(
            &left,
            row_blocks(),
            turned,
            0..g.dim.div_ceil(TILE_BLOCK),
            plan.isa,
            |row_block, col_block, block| {
                let (first, left) = (col_block * TILE_BLOCK, row_block * TILE_BLOCK);
                let width = TILE_BLOCK.min(g.dim - first);
                plan.isa.run(
                    #[inline(always)]
                    || {
                        for (row, sums) in (left..rows).zip(block.0.as_chunks().0) {
                            let out = &mut out[row * g.q_width() + head * g.dim + first..][..width];
                            write_row(sums, out, |_, sum| T::narrow(sum));
                        }
                    },
                );
            },
        );
    }
}

fn softmax_rows(task: &Task<'_>, mask: RowMask<'_>, plan: Plan, scores: &mut [f32], num_keys: usize) {
    for (query, row) in task.queries.clone().zip(scores.chunks_exact_mut(num_keys)) {
        plan.isa.run(
            #[inline(always)]
            || mask.softmax(query, row),
        );
    }
}

/// Few queries, each with all heads of a group as the rows of its products: a step of decoding. On all threads, a
/// key-value head each.
fn few_queries<T: Element>(
    g: Geometry,
    q: &[T],
    (k, v): (&[T], &[T]),
    task: &Task<'_>,
    mask: RowMask<'_>,
    plan: Plan,
    out: &mut [T],
) {
    let group = g.group() * g.dim;
    out.par_chunks_mut(group).zip(q.par_chunks(group)).enumerate().for_each(|(place, (out, q))| {
        let (query, kv) = (task.queries.start + place / g.kv_heads, place % g.kv_heads);
        let num_keys = mask.keys(query);
        if num_keys == 0 {
            return;
        }
        let start = task.segment.keys.start * g.kv_width() + kv * g.dim;
        // One head's rows, widened side by side.
        let widen = |values: &[T]| {
            let mut wide = vec![0f32; num_keys * g.dim];
            plan.isa.run(
                #[inline(always)]
                || {
                    let rows = values[start..].chunks(g.kv_width());
                    for (out, row) in wide.chunks_exact_mut(g.dim).zip(rows) {
                        for (out, value) in out.iter_mut().zip(row) {
                            *out = value.wide();
                        }
                    }
                },
            );
            wide
        };
        let (q, k, v) = (q.iter().map(|q| q.wide()).collect::<Vec<f32>>(), widen(k), widen(v));
        let rows = |values| dense::MatrixView::rows(values, g.dim);
        let (mut scores, mut mixed) = (vec![0f32; g.group() * num_keys], vec![0f32; group]);
        let sizes = [g.group(), g.dim, num_keys];
        dense::multiply(
            sizes,
            rows(&q),
            rows(&k).t(),
            plan.scale,
            &mut scores,
            num_keys,
            false,
            Threads::One,
        );
        for row in scores.chunks_exact_mut(num_keys) {
            plan.isa.run(
                #[inline(always)]
                || mask.softmax(query, row),
            );
        }
        let p = dense::MatrixView::rows(&scores, num_keys);
        let sizes = [g.group(), num_keys, g.dim];
        dense::multiply(sizes, p, rows(&v), 1.0, &mut mixed, g.dim, false, Threads::One);
        for (out, value) in out.iter_mut().zip(mixed) {
            *out = T::narrow(value);
        }
    });
}

/// q: [R, H, d] of the wanted queries, k: [S, Hkv, d] of the segment -> [H, R, S].
pub(super) fn rows(
    g: Geometry,
    q: &[f32],
    k: &[f32],
    segment: &Segment,
    wanted: &[usize],
    plan: Plan,
) -> Vec<f32> {
    let num_keys = segment.keys.len();
    let mut out = vec![0f32; g.heads * wanted.len() * num_keys];
    if out.is_empty() {
        return out;
    }
    let penalties = segment.mask.as_ref().map(|mask| (mask, mask.penalties()));
    let mask = RowMask { mask: penalties.as_ref().map(|(mask, penalties)| (*mask, penalties)), num_keys };
    out.par_chunks_mut(wanted.len() * num_keys).enumerate().for_each(|(head, out)| {
        let (q, k) = (g.q_rows(q, 0, head), g.kv_rows(k, 0, head / g.group()));
        dense::multiply(
            [wanted.len(), g.dim, num_keys],
            q,
            k.t(),
            plan.scale,
            out,
            num_keys,
            false,
            Threads::One,
        );
        for (query, row) in wanted.iter().zip(out.chunks_exact_mut(num_keys)) {
            plan.isa.run(
                #[inline(always)]
                || mask.softmax(*query, row),
            );
        }
    });
    out
}
