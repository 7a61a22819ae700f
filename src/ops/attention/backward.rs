//! The backward pass on the CPU: probabilities are computed again, a block of queries at a time.

use rayon::prelude::*;

use super::geometry::{Geometry, RowMask};
use super::{Plan, Segment};
use crate::ops::lanes;
use crate::ops::matmul::dense::{self, MatrixView, Threads};

/// What the forward pass had and gave, and the gradient of that.
pub(super) struct Given<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a [f32],
    pub grad: &'a [f32],
}

/// Gradients of one key-value head of one segment, [tokens, d] each, and [group, tokens, d] of its query heads.
struct Part {
    place: usize,
    kv: usize,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

/// -> gradients of q [T, H, d], of k and v [S, Hkv, d]. Sums over queries are taken in their order, so that the
/// number of threads changes nothing.
pub(super) fn attend(
    g: Geometry,
    given: &Given<'_>,
    segments: &[Segment],
    plan: Plan,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut dq = vec![0f32; given.q.len()];
    let (mut dk, mut dv) = (vec![0f32; given.k.len()], vec![0f32; given.v.len()]);
    let work: Vec<(usize, usize)> =
        (0..segments.len()).flat_map(|place| (0..g.kv_heads).map(move |kv| (place, kv))).collect();
    let parts: Vec<Part> =
        work.into_par_iter().map(|(place, kv)| part(g, given, segments, place, kv, plan)).collect();
    for part in parts {
        let segment = &segments[part.place];
        for (i, of_head) in part.dq.chunks_exact((segment.queries.len() * g.dim).max(1)).enumerate() {
            let head = part.kv * g.group() + i;
            for (token, row) in segment.queries.clone().zip(of_head.chunks_exact(g.dim)) {
                dq[token * g.q_width() + head * g.dim..][..g.dim].copy_from_slice(row);
            }
        }
        for (all, own) in [(&mut dk, &part.dk), (&mut dv, &part.dv)] {
            for (token, row) in segment.keys.clone().zip(own.chunks_exact(g.dim)) {
                let place = &mut all[token * g.kv_width() + part.kv * g.dim..][..g.dim];
                for (sum, value) in place.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
    }
    (dq, dk, dv)
}

/// With P the probabilities: dv = Pᵀ grad; dP = grad vᵀ; dS = P (dP - rowsum(grad · out)); dq = dS k scale;
/// dk = dSᵀ q scale (Dao et al. 2022, appendix B.2).
fn part(g: Geometry, given: &Given<'_>, segments: &[Segment], place: usize, kv: usize, plan: Plan) -> Part {
    let segment = &segments[place];
    let (num_queries, num_keys) = (segment.queries.len(), segment.keys.len());
    let penalties = segment.mask.as_ref().map(|mask| (mask, mask.penalties()));
    let mask = RowMask { mask: penalties.as_ref().map(|(mask, penalties)| (*mask, penalties)), num_keys };
    let mut part = Part {
        place,
        kv,
        dq: vec![0.0; g.group() * num_queries * g.dim],
        dk: vec![0.0; num_keys * g.dim],
        dv: vec![0.0; num_keys * g.dim],
    };
    let (k, v) = (g.kv_rows(given.k, segment.keys.start, kv), g.kv_rows(given.v, segment.keys.start, kv));
    let block = plan.block.max(1);
    for head in kv * g.group()..(kv + 1) * g.group() {
        for start in (0..num_queries).step_by(block) {
            let rows = block.min(num_queries - start);
            let seen = mask.keys_of_block(start + rows);
            if seen == 0 {
                continue;
            }
            let token = segment.queries.start + start;
            let (q, grad) = (g.q_rows(given.q, token, head), g.q_rows(given.grad, token, head));
            let mut p = vec![0f32; rows * seen];
            product([rows, g.dim, seen], q, k.t(), plan.scale, &mut p, false);
            let mut ds = vec![0f32; rows * seen];
            product([rows, g.dim, seen], grad, v.t(), 1.0, &mut ds, false);
            let rows_of_both = p.chunks_exact_mut(seen).zip(ds.chunks_exact_mut(seen)).enumerate();
            for (row, (p, ds)) in rows_of_both {
                let at = (token + row) * g.q_width() + head * g.dim
                    ..(token + row) * g.q_width() + (head + 1) * g.dim;
                let (grad, out) = (&given.grad[at.clone()], &given.out[at]);
                plan.isa.run(
                    #[inline(always)]
                    || {
                        mask.softmax(start + row, p);
                        let mean = lanes::sum2(grad, out, |g, o| g * o);
                        for (ds, p) in ds.iter_mut().zip(&*p) {
                            *ds = p * (*ds - mean);
                        }
                    },
                );
            }
            let (p, ds) = (MatrixView::rows(&p, seen), MatrixView::rows(&ds, seen));
            let first = (head - kv * g.group()) * num_queries + start;
            let dq = &mut part.dq[first * g.dim..(first + rows) * g.dim];
            product([rows, seen, g.dim], ds, k, plan.scale, dq, false);
            product([seen, rows, g.dim], ds.t(), q, plan.scale, &mut part.dk, true);
            product([seen, rows, g.dim], p.t(), grad, 1.0, &mut part.dv, true);
        }
    }
    part
}

fn product(dims: [usize; 3], a: MatrixView<'_>, b: MatrixView<'_>, scale: f32, out: &mut [f32], add: bool) {
    dense::multiply(dims, a, b, scale, out, dims[2], add, Threads::One);
}
