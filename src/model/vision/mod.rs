//! The vision towers, and what they share: patch embedding, rotary positions on the patch grid, a block of
//! attention. A family's tower is a file of its own.

mod qwen2_5;
mod qwen3;

use candle_core::{DType, Device, Tensor};

use super::compute::Compute;
use super::linear::Linear;
use super::loader::Loader;
use super::parts::{Part, Visit};
use super::rotary::{Rotary, inverse_frequencies};
use crate::checkpoint::config::{VisionConfig, VisionKind};
use crate::error::Result;
use crate::ops::attention::{Segment, attend_watched};
use crate::ops::tape;
use crate::units::GridThw;

/// What the language model reads of the images.
#[derive(Debug, Clone)]
pub struct VisualFeatures {
    /// Visual tokens of all images, [n, D].
    pub tokens: Tensor,
    /// For the first decoder layers, features added at the visual tokens, [n, D] each.
    pub deepstack: Vec<Tensor>,
}

impl VisualFeatures {
    /// Those of several inputs one after the other; nothing where there are none.
    pub fn together(all: &[&Self]) -> Result<Option<Self>> {
        let Some(first) = all.first() else { return Ok(None) };
        let joined = |of: &dyn Fn(&Self) -> Tensor| -> Result<Tensor> {
            let parts: Vec<Tensor> = all.iter().map(|features| of(features)).collect();
            Ok(Tensor::cat(&parts, 0)?)
        };
        let layers = 0..first.deepstack.len();
        Ok(Some(Self {
            tokens: joined(&|features| features.tokens.clone())?,
            deepstack: layers.map(|layer| joined(&|f| f.deepstack[layer].clone())).collect::<Result<_>>()?,
        }))
    }

    /// Cut off from the graph of what is trained.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { tokens: self.tokens.detach(), deepstack: self.deepstack.iter().map(Tensor::detach).collect() }
    }

    /// Memory its values take.
    pub fn size_bytes(&self) -> usize {
        let bytes = |x: &Tensor| x.elem_count() * x.dtype().size_in_bytes();
        bytes(&self.tokens) + self.deepstack.iter().map(bytes).sum::<usize>()
    }

    /// Those of a stretch of the visual tokens.
    pub fn narrow(&self, start: usize, len: usize) -> Result<Self> {
        let part = |x: &Tensor| Ok(x.narrow(0, start, len)?);
        Ok(Self {
            tokens: part(&self.tokens)?,
            deepstack: self.deepstack.iter().map(part).collect::<Result<_>>()?,
        })
    }
}

/// Patches in, visual tokens out.
pub trait VisionTower: Send + Sync {
    /// patches: [P, C*T*P*P] -> visual tokens and `DeepStack` features, [P / `merge_size`², D] each.
    fn forward(&self, patches: &Tensor, grids: &[GridThw], compute: &Compute<'_>) -> Result<VisualFeatures>;

    /// Every part an adapter can change, with its canonical name.
    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()>;

    /// A copy that shares the weights.
    fn boxed_clone(&self) -> Box<dyn VisionTower>;
}

impl Clone for Box<dyn VisionTower> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// The tower of a config, from `visual.*`.
pub fn load(loader: &Loader<'_>, config: &VisionConfig) -> Result<Box<dyn VisionTower>> {
    Ok(match &config.kind {
        VisionKind::Windowed { window_size, full_attention_blocks } => {
            Box::new(qwen2_5::Tower::load(loader, config, *window_size, full_attention_blocks)?)
        }
        VisionKind::DeepStack { positions_per_side, deepstack_blocks } => {
            Box::new(qwen3::Tower::load(loader, config, *positions_per_side, deepstack_blocks)?)
        }
    })
}

/// Row and column of every patch, in the order patches come: by visual token, then inside it.
pub fn patch_positions(grids: &[GridThw], merge_size: usize) -> Vec<[usize; 2]> {
    let mut positions = Vec::new();
    for grid in grids {
        let (rows, cols) = grid.merged(merge_size);
        for _frame in 0..grid.t {
            for token in 0..rows * cols {
                let (row, col) = (token / cols * merge_size, token % cols * merge_size);
                positions.extend(
                    (0..merge_size * merge_size).map(|i| [row + i / merge_size, col + i % merge_size]),
                );
            }
        }
    }
    positions
}

/// Patches of each frame: the segments of full attention.
pub fn frame_lengths(grids: &[GridThw]) -> Vec<usize> {
    grids.iter().flat_map(|grid| std::iter::repeat_n(grid.h * grid.w, grid.t)).collect()
}

/// Axial rotary positions, in f32 as in the reference: the first half of the frequencies turns with the row,
/// the second with the column.
pub fn axial_rotary(
    positions: &[[usize; 2]],
    head_dim: usize,
    theta: f64,
    device: &Device,
) -> Result<Rotary> {
    let frequencies = inverse_frequencies(head_dim / 2, theta);
    let angles: Vec<f32> = positions
        .iter()
        .flat_map(|position| position.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f32 * f)))
        .collect();
    Rotary::from_angles(&angles, head_dim / 2, DType::F32, device)
}

/// The patch embedding: a convolution whose kernel is one patch, so a linear layer on flattened patches.
pub fn load_patch_embed(loader: &Loader<'_>, c: &VisionConfig, bias: bool) -> Result<Linear> {
    let name = "visual.patch_embed.proj";
    let shape = [c.hidden_size, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size];
    let weight = loader.linear(&format!("{name}.weight"), &shape, [c.hidden_size, c.patch_dim()])?;
    let bias = bias.then(|| loader.tensor(&format!("{name}.bias"), &[c.hidden_size])).transpose()?;
    Ok(Linear::from_parts(name, weight, bias, loader.precision.dtype))
}

/// Self-attention of a vision block.
#[derive(Debug, Clone)]
pub struct VisionAttention {
    qkv: Linear,
    proj: Linear,
    num_heads: usize,
}

impl VisionAttention {
    /// `{name}.qkv` and `{name}.proj`.
    pub fn load(loader: &Loader<'_>, name: &str, c: &VisionConfig) -> Result<Self> {
        Ok(Self {
            qkv: Linear::load(loader, &format!("{name}.qkv"), c.hidden_size, 3 * c.hidden_size, true)?,
            proj: Linear::load(loader, &format!("{name}.proj"), c.hidden_size, c.hidden_size, true)?,
            num_heads: c.num_heads,
        })
    }

    /// x: [P, D] -> [P, D], attention within each of the segments.
    pub fn forward(
        &self,
        x: &Tensor,
        rotary: &Rotary,
        segments: &[Segment],
        compute: &Compute<'_>,
    ) -> Result<Tensor> {
        let (num_patches, width) = x.dims2()?;
        let head_dim = width / self.num_heads;
        let qkv = self.qkv.forward_split(x, 3, compute)?;
        let part = |i: usize| tape::reshape(&qkv[i], (num_patches, self.num_heads, head_dim));
        let (q, k) = (rotary.apply(&part(0)?, compute)?, rotary.apply(&part(1)?, compute)?);
        let (v, plan) = (part(2)?, compute.attention(head_dim));
        let mixed = attend_watched(&q, &k, &v, segments, plan, compute.observer)?;
        self.proj.forward(&tape::reshape(&mixed, (num_patches, width))?, compute)
    }

    /// Its linear layers.
    pub fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Linear(&mut self.qkv))?;
        visit(Part::Linear(&mut self.proj))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_by_visual_token() {
        let positions = patch_positions(&[GridThw { t: 1, h: 2, w: 4 }], 2);
        assert_eq!(positions, [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]);
    }
}
