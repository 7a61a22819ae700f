//! The Qwen2.5-VL vision tower: attention inside windows of the image, over the whole image in some blocks
//! (Qwen2.5-VL technical report, section 2.1).

use candle_core::Tensor;

use super::{
    VisionAttention, VisionTower, VisualFeatures, axial_rotary, frame_lengths, load_patch_embed,
    patch_positions,
};
use crate::checkpoint::config::{Activation, VisionConfig};
use crate::error::Result;
use crate::model::compute::Compute;
use crate::model::linear::Linear;
use crate::model::loader::Loader;
use crate::model::norm::{Norm, gate};
use crate::model::parts::{Part, Visit};
use crate::model::rotary::Rotary;
use crate::ops::attention::Segment;
use crate::ops::elementwise::add;
use crate::ops::gelu::{Form, gelu};
use crate::ops::tape;
use crate::progress::{Phase, Progress};
use crate::units::GridThw;

const EPS: f64 = 1e-6;

#[derive(Debug, Clone)]
struct Block {
    norm1: Norm,
    attn: VisionAttention,
    norm2: Norm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    activation: Activation,
}

impl Block {
    fn load(loader: &Loader<'_>, name: &str, c: &VisionConfig) -> Result<Self> {
        let (d, m) = (c.hidden_size, c.intermediate_size);
        Ok(Self {
            norm1: Norm::rms(loader, &format!("{name}.norm1"), d, EPS)?,
            attn: VisionAttention::load(loader, &format!("{name}.attn"), c)?,
            norm2: Norm::rms(loader, &format!("{name}.norm2"), d, EPS)?,
            gate_proj: Linear::load(loader, &format!("{name}.mlp.gate_proj"), d, m, true)?,
            up_proj: Linear::load(loader, &format!("{name}.mlp.up_proj"), d, m, true)?,
            down_proj: Linear::load(loader, &format!("{name}.mlp.down_proj"), m, d, true)?,
            activation: c.activation,
        })
    }

    /// x: [P, D] -> [P, D], attention within each of the segments.
    fn forward(
        &self,
        x: &Tensor,
        rotary: &Rotary,
        segments: &[Segment],
        compute: &Compute<'_>,
    ) -> Result<Tensor> {
        let normed = self.norm1.forward(x, compute)?;
        let x = add(x, &self.attn.forward(&normed, rotary, segments, compute)?, compute.isa)?;
        add(&x, &self.mlp(&self.norm2.forward(&x, compute)?, compute)?, compute.isa)
    }

    fn mlp(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let gated = self.gate_proj.forward(x, compute)?;
        let gated = gate(&gated, &self.up_proj.forward(x, compute)?, self.activation, compute)?;
        self.down_proj.forward(&gated, compute)
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.attn.each_part(visit)?;
        for linear in [&mut self.gate_proj, &mut self.up_proj, &mut self.down_proj] {
            visit(Part::Linear(linear))?;
        }
        visit(Part::Norm(&mut self.norm1))?;
        visit(Part::Norm(&mut self.norm2))
    }
}

/// Patches in, visual tokens out.
#[derive(Debug, Clone)]
pub struct Tower {
    config: VisionConfig,
    window_size: usize,
    full_attention_blocks: Vec<usize>,
    patch_embed: Linear,
    blocks: Vec<Block>,
    ln_q: Norm,
    merge_in: Linear,
    merge_out: Linear,
}

impl Tower {
    /// `visual.*`.
    pub fn load(
        loader: &Loader<'_>,
        c: &VisionConfig,
        window_size: usize,
        full_attention_blocks: &[usize],
    ) -> Result<Self> {
        let merged = c.hidden_size * c.merge_size * c.merge_size;
        let blocks = (0..c.depth)
            .map(|i| Block::load(loader, &format!("visual.blocks.{i}"), c))
            .collect::<Result<_>>()?;
        Ok(Self {
            config: c.clone(),
            window_size,
            full_attention_blocks: full_attention_blocks.to_vec(),
            patch_embed: load_patch_embed(loader, c, false)?,
            blocks,
            ln_q: Norm::rms(loader, "visual.merger.ln_q", c.hidden_size, EPS)?,
            merge_in: Linear::load(loader, "visual.merger.mlp.0", merged, merged, true)?,
            merge_out: Linear::load(loader, "visual.merger.mlp.2", merged, c.out_hidden_size, true)?,
        })
    }
}

impl VisionTower for Tower {
    fn forward(&self, patches: &Tensor, grids: &[GridThw], compute: &Compute<'_>) -> Result<VisualFeatures> {
        let c = &self.config;
        let per_token = c.merge_size * c.merge_size;
        let windows = Windows::new(grids, c.merge_size, self.window_size / c.merge_size / c.patch_size);
        let order: Vec<u32> = windows
            .order
            .iter()
            .flat_map(|token| (0..per_token).map(move |i| (token * per_token + i) as u32))
            .collect();
        let positions = patch_positions(grids, c.merge_size);
        let positions: Vec<[usize; 2]> = order.iter().map(|patch| positions[*patch as usize]).collect();
        let device = patches.device();
        let mut x =
            self.patch_embed.forward(patches, compute)?.index_select(&Tensor::new(order, device)?, 0)?;
        let rotary = axial_rotary(&positions, c.hidden_size / c.num_heads, c.rope_theta, device)?;
        let window_lengths: Vec<usize> = windows.lengths.iter().map(|tokens| tokens * per_token).collect();
        let windowed = Segment::consecutive(&window_lengths);
        let frames = Segment::consecutive(&frame_lengths(grids));
        for (i, block) in self.blocks.iter().enumerate() {
            let progress = Progress { phase: Phase::Vision, done: i, total: self.blocks.len() };
            compute.observer.progress(progress)?;
            let segments = if self.full_attention_blocks.contains(&i) { &frames } else { &windowed };
            x = tape::stretch(&x, |x| block.forward(x, &rotary, segments, compute))?;
        }
        let merged = self.ln_q.forward(&x, compute)?;
        let merged = merged.reshape((windows.order.len(), per_token * c.hidden_size))?;
        let inner = self.merge_in.forward(&merged, compute)?;
        let inner = gelu(&inner, Form::Erf, compute.isa)?;
        let merged = self.merge_out.forward(&inner, compute)?;
        let mut back = vec![0u32; windows.order.len()];
        for (place, token) in windows.order.iter().enumerate() {
            back[*token] = place as u32;
        }
        let tokens = merged.index_select(&Tensor::new(back, device)?, 0)?;
        Ok(VisualFeatures { tokens, deepstack: Vec::new() })
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Linear(&mut self.patch_embed))?;
        self.blocks.iter_mut().try_for_each(|block| block.each_part(visit))?;
        visit(Part::Norm(&mut self.ln_q))?;
        visit(Part::Linear(&mut self.merge_in))?;
        visit(Part::Linear(&mut self.merge_out))
    }

    fn boxed_clone(&self) -> Box<dyn VisionTower> {
        Box::new(self.clone())
    }
}

/// Visual tokens in window order, and how many each window has.
struct Windows {
    order: Vec<usize>,
    lengths: Vec<usize>,
}

impl Windows {
    /// Windows of `side` x `side` visual tokens from the top left; those at the far edges are smaller.
    fn new(grids: &[GridThw], merge_size: usize, side: usize) -> Self {
        let (mut order, mut lengths, mut first) = (Vec::new(), Vec::new(), 0);
        for grid in grids {
            let (rows, cols) = grid.merged(merge_size);
            for _frame in 0..grid.t {
                for top in (0..rows).step_by(side) {
                    for left in (0..cols).step_by(side) {
                        let before = order.len();
                        for row in top..(top + side).min(rows) {
                            order.extend((left..(left + side).min(cols)).map(|col| first + row * cols + col));
                        }
                        lengths.push(order.len() - before);
                    }
                }
                first += rows * cols;
            }
        }
        Self { order, lengths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_token_once_and_are_ragged_at_the_edge() {
        let windows = Windows::new(&[GridThw { t: 1, h: 6, w: 10 }], 2, 2);
        assert_eq!(windows.order, [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]);
        assert_eq!(windows.lengths, [4, 4, 2, 2, 2, 1]);
    }
}
