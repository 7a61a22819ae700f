//! The definition, in candle's operations: the yardstick, and what devices without a kernel run.

use candle_core::{D, DType, Tensor};

use super::Segment;
use crate::error::Result;

/// q: [T, H, d], k and v: [S, Hkv, d] -> [T, H, d].
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment], scale: f32) -> Result<Tensor> {
    let mut outputs = Vec::new();
    for segment in segments {
        let probs = probabilities(&part(q, segment, true)?, k, segment, scale)?;
        let v = grouped(v, segment, q.dim(1)?)?;
        outputs.push(probs.to_dtype(v.dtype())?.matmul(&v)?.transpose(0, 1)?.contiguous()?);
    }
    if outputs.is_empty() { Ok(q.zeros_like()?) } else { Ok(Tensor::cat(&outputs, 0)?) }
}

/// Probabilities of some queries of a segment, [H, R, S].
pub fn rows(q: &Tensor, k: &Tensor, segment: &Segment, wanted: &[usize], scale: f32) -> Result<Tensor> {
    let index = Tensor::new(wanted.iter().map(|row| *row as u32).collect::<Vec<_>>(), q.device())?;
    // A few queries at a time: the whole tensor of probabilities might not fit.
    let block = 64;
    let mut found = Vec::new();
    for start in (0..wanted.len()).step_by(block) {
        let count = block.min(wanted.len() - start);
        let own = index.narrow(0, start, count)?;
        let picked = part(q, segment, true)?.index_select(&own, 0)?;
        let scores = scores(&picked, k, segment, scale)?;
        let scores = match &segment.mask {
            Some(mask) => scores.broadcast_add(&mask.tensor(q.device())?.index_select(&own, 0)?)?,
            None => scores,
        };
        found.push(softmax(&scores)?);
    }
    Ok(Tensor::cat(&found, 1)?)
}

fn part(x: &Tensor, segment: &Segment, queries: bool) -> Result<Tensor> {
    let range = if queries { &segment.queries } else { &segment.keys };
    Ok(x.narrow(0, range.start, range.len())?)
}

/// [S, Hkv, d] -> [H, S, d]: each key-value head as often as heads share it.
fn grouped(x: &Tensor, segment: &Segment, heads: usize) -> Result<Tensor> {
    let x = part(x, segment, false)?.transpose(0, 1)?;
    let (kv_heads, keys, dim) = x.dims3()?;
    let shape = (kv_heads, heads / kv_heads, keys, dim);
    Ok(x.unsqueeze(1)?.broadcast_as(shape)?.contiguous()?.reshape((heads, keys, dim))?)
}

/// [T, H, d] -> [H, T, S] in f32.
fn scores(q: &Tensor, k: &Tensor, segment: &Segment, scale: f32) -> Result<Tensor> {
    let keys = grouped(k, segment, q.dim(1)?)?;
    let scores = q.transpose(0, 1)?.contiguous()?.matmul(&keys.t()?)?;
    Ok((scores.to_dtype(DType::F32)? * f64::from(scale))?)
}

fn probabilities(q: &Tensor, k: &Tensor, segment: &Segment, scale: f32) -> Result<Tensor> {
    let scores = scores(q, k, segment, scale)?;
    match &segment.mask {
        Some(mask) => softmax(&scores.broadcast_add(&mask.tensor(q.device())?)?),
        None => softmax(&scores),
    }
}

/// Over the last dimension; zeros where every score is minus infinity.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let most = scores.max_keepdim(D::Minus1)?.detach();
    let nothing = most.eq(f64::NEG_INFINITY)?;
    let most = nothing.where_cond(&most.zeros_like()?, &most)?;
    let powers = scores.broadcast_sub(&most)?.exp()?;
    let total = powers.sum_keepdim(D::Minus1)?;
    let total = nothing.where_cond(&total.ones_like()?, &total)?;
    Ok(powers.broadcast_div(&total)?)
}
