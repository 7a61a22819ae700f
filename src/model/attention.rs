//! Scaled dot-product attention in blocks of queries, with every probability reachable as it passes.
//!
//! The whole [H, T, S] tensor of probabilities never exists: a block of queries is computed, shown to
//! whoever asked for rows, used and dropped.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::layers::{Math, softmax};
use super::mask::Mask;
use crate::error::Result;

/// Probabilities held at once, in elements; 128 MiB as f32.
const BLOCK_ELEMENTS: usize = 1 << 25;

/// softmax(q kᵀ · scale + mask) v, for `G` query heads per key-value head (Vaswani et al., 2017).
///
/// q: [B*G, T, d], k and v: [B, S, d] -> [B*G, T, d]. `see` gets each block of queries with its
/// probabilities [B*G, t, S], rows summing to 1.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    mask: Option<&Mask>,
    math: Math,
    mut see: impl FnMut(Range<usize>, &Tensor) -> Result<()>,
) -> Result<Tensor> {
    let (num_heads, num_queries, head_dim) = q.dims3()?;
    let (num_kv_heads, num_keys, _) = k.dims3()?;
    let groups = num_heads / num_kv_heads;
    let keys = k.t()?;
    let block = (BLOCK_ELEMENTS / (num_heads * num_keys)).clamp(1, num_queries.max(1));
    let mut outputs = Vec::new();
    for start in (0..num_queries).step_by(block) {
        let len = block.min(num_queries - start);
        // Query heads of one key-value head are neighbours: folding them into the rows saves a copy of k and v.
        let queries = (q.narrow(1, start, len)?.contiguous()? * scale)?.reshape((
            num_kv_heads,
            groups * len,
            head_dim,
        ))?;
        let mut scores = queries.matmul(&keys)?.reshape((num_heads, len, num_keys))?;
        if let Some(mask) = mask {
            scores = scores.to_dtype(DType::F32)?.broadcast_add(&mask.rows(start..start + len)?)?;
        }
        let probs = softmax(&scores, math)?;
        see(start..start + len, &probs)?;
        let mixed = probs.to_dtype(v.dtype())?.reshape((num_kv_heads, groups * len, num_keys))?.matmul(v)?;
        outputs.push(mixed.reshape((num_heads, len, head_dim))?);
    }
    Ok(if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(&outputs, 1)? })
}

/// Attention within consecutive segments (windows, frames), no mask.
///
/// q, k, v: [P, H, d] -> [P, H * d]. Neighbouring segments of equal length go through as one batch.
pub fn attend_segments(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    lengths: &[usize],
    scale: f64,
    math: Math,
) -> Result<Tensor> {
    let (num_patches, num_heads, head_dim) = q.dims3()?;
    let mut outputs = Vec::new();
    let mut start = 0;
    for run in lengths.chunk_by(|a, b| a == b) {
        let (count, len) = (run.len(), run[0]);
        let fold = |x: &Tensor| -> Result<Tensor> {
            let x = x.narrow(0, start, count * len)?.reshape((count, len, num_heads, head_dim))?;
            Ok(x.transpose(1, 2)?.contiguous()?.reshape((count * num_heads, len, head_dim))?)
        };
        let mixed = attend(&fold(q)?, &fold(k)?, &fold(v)?, scale, None, math, |_, _| Ok(()))?;
        let mixed = mixed.reshape((count, num_heads, len, head_dim))?.transpose(1, 2)?;
        outputs.push(mixed.contiguous()?.reshape((count * len, num_heads * head_dim))?);
        start += count * len;
    }
    debug_assert_eq!(start, num_patches);
    Ok(if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(&outputs, 0)? })
}
