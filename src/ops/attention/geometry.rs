//! Where the values of a head lie in tensors [T, H, d], and the softmax of a row.

use super::mask::{Mask, Penalties};
use crate::ops::lanes;
use crate::ops::matmul::dense::MatrixView;

/// Sizes of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
}

impl Geometry {
    /// # Panics
    /// Where key-value heads do not divide the heads evenly, or head sizes differ.
    pub fn new((_, heads, dim): (usize, usize, usize), (_, kv_heads, kv_dim): (usize, usize, usize)) -> Self {
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} heads over {kv_heads}");
        assert_eq!(dim, kv_dim, "sizes of heads of q and k");
        Self { heads, kv_heads, dim }
    }

    /// Query heads to a key-value head.
    pub fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Values of a token of q.
    pub fn q_width(self) -> usize {
        self.heads * self.dim
    }

    /// Values of a token of k or v.
    pub fn kv_width(self) -> usize {
        self.kv_heads * self.dim
    }

    /// A query head's rows from a token on: [.., d].
    pub fn q_rows(self, q: &[f32], token: usize, head: usize) -> MatrixView<'_> {
        MatrixView::new(&q[token * self.q_width() + head * self.dim..], [self.q_width(), 1])
    }

    /// A key-value head's rows from a token on: [.., d].
    pub fn kv_rows(self, k: &[f32], token: usize, head: usize) -> MatrixView<'_> {
        MatrixView::new(&k[token * self.kv_width() + head * self.dim..], [self.kv_width(), 1])
    }
}

/// What a row of scores needs to become probabilities.
#[derive(Clone, Copy)]
pub(super) struct RowMask<'a> {
    pub mask: Option<(&'a Mask, &'a Penalties)>,
    pub num_keys: usize,
}

impl RowMask<'_> {
    /// Keys a query may look at are among the first so many.
    pub fn keys(self, query: usize) -> usize {
        self.mask.map_or(self.num_keys, |(mask, _)| mask.keys_behind(query))
    }

    /// Keys that any of the queries before `end` may look at are among the first so many.
    pub fn keys_of_block(self, end: usize) -> usize {
        if end == 0 { 0 } else { self.keys(end - 1) }
    }

    /// Turns scores, scaled already, into probabilities; what the query may not look at gets 0.
    #[inline(always)]
    pub fn softmax(self, query: usize, row: &mut [f32]) {
        let limit = self.keys(query).min(row.len());
        let (seen, ahead) = row.split_at_mut(limit);
        ahead.fill(0.0);
        if let Some((mask, penalties)) = self.mask
            && let Some(penalty) = penalties.of(mask.group_of_query(query))
        {
            // Its own key is the last behind it, and is seen whatever the mask says of its group.
            let itself = mask.keys_behind(query) - 1;
            let own = seen.get(itself).copied();
            for (score, penalty) in seen.iter_mut().zip(penalty) {
                *score += penalty;
            }
            if let Some(own) = own {
                seen[itself] = own;
            }
        }
        let most = lanes::max(seen);
        if most == f32::NEG_INFINITY && !seen.iter().any(|score| score.is_nan()) {
            return seen.fill(0.0);
        }
        for score in seen.iter_mut() {
            *score = lanes::exp(*score - most);
        }
        let inverse = 1.0 / lanes::sum(seen, |p| p);
        for p in seen.iter_mut() {
            *p *= inverse;
        }
    }
}
