//! Scaled dot-product attention in blocks of queries, with every wanted row of probabilities kept.
//!
//! The whole [H, T, S] tensor of probabilities never exists: a block of queries is computed, the wanted rows
//! are taken out of it, it is used and dropped.

use candle_core::{D, DType, Tensor};

use super::compute::{Compute, Math};
use super::mask::Mask;
use crate::error::Result;

/// What attention gives.
pub struct Attended {
    /// [B*G, T, d].
    pub output: Tensor,
    /// [B*G, R, S]: probabilities of the R wanted queries, in order, rows summing to 1; `None` for none.
    pub rows: Option<Tensor>,
}

/// softmax(q kᵀ · scale + mask) v, for `G` query heads per key-value head (Vaswani et al., 2017).
///
/// q: [B*G, T, d], k and v: [B, S, d]. `wanted` are queries, ascending, whose probabilities are kept.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    mask: Option<&Mask>,
    wanted: &[usize],
    compute: &Compute<'_>,
) -> Result<Attended> {
    let (num_heads, num_queries, head_dim) = q.dims3()?;
    let (num_kv_heads, num_keys, _) = k.dims3()?;
    let groups = num_heads / num_kv_heads;
    let keys = k.t()?;
    let block = compute.query_block(num_heads, num_keys);
    let (mut outputs, mut rows) = (Vec::new(), Vec::new());
    for start in (0..num_queries).step_by(block) {
        compute.check()?;
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
        let probs = softmax(&scores, compute.math)?;
        let in_block = wanted.iter().filter(|row| (start..start + len).contains(*row));
        let in_block: Vec<u32> = in_block.map(|row| (row - start) as u32).collect();
        if !in_block.is_empty() {
            rows.push(probs.index_select(&Tensor::new(in_block, probs.device())?, 1)?);
        }
        let mixed = probs.to_dtype(v.dtype())?.reshape((num_kv_heads, groups * len, num_keys))?.matmul(v)?;
        outputs.push(mixed.reshape((num_heads, len, head_dim))?);
    }
    let rows = if rows.is_empty() { None } else { Some(join(rows, 1)?) };
    Ok(Attended { output: join(outputs, 1)?, rows })
}

fn join(mut parts: Vec<Tensor>, axis: usize) -> Result<Tensor> {
    Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, axis)? })
}

/// Softmax over the last dimension, in f32.
#[expect(clippy::disallowed_methods, reason = "the fused operation is for inference only")]
fn softmax(scores: &Tensor, math: Math) -> Result<Tensor> {
    let scores = scores.to_dtype(DType::F32)?;
    Ok(match math {
        Math::Fused => candle_nn::ops::softmax_last_dim(&scores.contiguous()?)?,
        Math::Differentiable => candle_nn::ops::softmax(&scores, D::Minus1)?,
    })
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
    compute: &Compute<'_>,
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
        let mixed = attend(&fold(q)?, &fold(k)?, &fold(v)?, scale, None, &[], compute)?.output;
        let mixed = mixed.reshape((count, num_heads, len, head_dim))?.transpose(1, 2)?;
        outputs.push(mixed.contiguous()?.reshape((count * len, num_heads * head_dim))?);
        start += count * len;
    }
    assert_eq!(start, num_patches, "segments cover all patches");
    join(outputs, 0)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::compute::Blocks;
    use super::*;
    use crate::settings::MaskKind;
    use crate::units::Role;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The definition, one query of one head at a time.
    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, scale: f32, mask: &Mask) -> (Vec<f32>, Vec<f32>) {
        let (q, k, v) =
            (q.to_vec3::<f32>().unwrap(), k.to_vec3::<f32>().unwrap(), v.to_vec3::<f32>().unwrap());
        let blocked = mask.rows(0..q[0].len()).unwrap().to_vec2::<f32>().unwrap();
        let (mut outputs, mut probs) = (Vec::new(), Vec::new());
        for (head, queries) in q.iter().enumerate() {
            let kv = head / (q.len() / k.len());
            for (query, blocked) in queries.iter().zip(&blocked) {
                let dot = |key: &Vec<f32>| query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>();
                let weights: Vec<f64> = k[kv]
                    .iter()
                    .zip(blocked)
                    .map(|(key, blocked)| f64::from(dot(key) * scale + blocked).exp())
                    .collect();
                let total: f64 = weights.iter().sum();
                let row: Vec<f32> = weights.iter().map(|w| (w / total) as f32).collect();
                for axis in 0..query.len() {
                    outputs.push(row.iter().zip(&v[kv]).map(|(p, value)| p * value[axis]).sum());
                }
                probs.extend(row);
            }
        }
        (outputs, probs)
    }

    #[test]
    fn blocks_of_any_size_give_the_unblocked_product() {
        let device = &Device::Cpu;
        let roles: Vec<Role> = (0..17).map(|i| Role::ALL[[0, 1, 1, 2, 3][i % 5]]).collect();
        let rand = |shape: (usize, usize, usize)| Tensor::randn(0f32, 1.0, shape, device).unwrap();
        // 3 tokens are in the cache already, 14 are queries.
        let (q, k, v) = (rand((4, 14, 8)), rand((2, 17, 8)), rand((2, 17, 8)));
        let mask = Mask::new(MaskKind::Bottleneck.rule(), &roles, 14, device).unwrap();
        let wanted = [0, 6, 7, 13];
        let (expected, all_rows) = plain(&q, &k, &v, 0.3, &mask);
        for block in [1, 7, 14] {
            for math in [Math::Fused, Math::Differentiable] {
                let blocks = Blocks { queries: Some(block), ..Blocks::default() };
                let compute = Compute { math, blocks, ..Compute::default() };
                let attended = attend(&q, &k, &v, 0.3, Some(&mask), &wanted, &compute).unwrap();
                for (a, b) in values(&attended.output).iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-5, "block of {block}: {a} is not {b}");
                }
                let rows = attended.rows.unwrap();
                assert_eq!(rows.dims(), [4, 4, 17]);
                for (head, rows) in rows.to_vec3::<f32>().unwrap().iter().enumerate() {
                    for (row, query) in rows.iter().zip(wanted) {
                        let reference = &all_rows[(head * 14 + query) * 17..][..17];
                        assert!(row.iter().zip(reference).all(|(a, b)| (a - b).abs() < 1e-6));
                    }
                }
            }
        }
        assert!(attend(&q, &k, &v, 0.3, Some(&mask), &[], &Compute::default()).unwrap().rows.is_none());
    }

    #[test]
    fn segments_attend_within_themselves_whatever_the_block() {
        let device = &Device::Cpu;
        let rand = || Tensor::randn(0f32, 1.0, (11, 2, 4), device).unwrap();
        let (q, k, v) = (rand(), rand(), rand());
        let lengths = [4, 4, 2, 1];
        let of = |block| {
            let blocks = Blocks { queries: block, ..Blocks::default() };
            let compute = Compute { blocks, ..Compute::default() };
            values(&attend_segments(&q, &k, &v, &lengths, 0.5, &compute).unwrap())
        };
        let whole = of(None);
        for block in [1, 3] {
            assert!(of(Some(block)).iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        // A segment of one patch sees only itself.
        assert!(values(&v)[80..].iter().zip(&whole[80..]).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
