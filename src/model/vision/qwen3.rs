//! The Qwen3-VL vision tower: learned positions resampled to the image's grid, and `DeepStack`, which hands
//! features of early blocks to the first decoder layers (arXiv 2406.04334).

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
use crate::model::norm::{Norm, activate};
use crate::model::parts::{Part, Visit};
use crate::model::rotary::Rotary;
use crate::ops::attention::Segment;
use crate::ops::elementwise::add;
use crate::ops::gelu::{Form, gelu};
use crate::ops::tape;
use crate::progress::{Phase, Progress};
use crate::units::GridThw;

const EPS: f32 = 1e-6;

#[derive(Debug, Clone)]
struct Block {
    norm1: Norm,
    attn: VisionAttention,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Block {
    fn load(loader: &Loader<'_>, name: &str, c: &VisionConfig) -> Result<Self> {
        let (d, m) = (c.hidden_size, c.intermediate_size);
        Ok(Self {
            norm1: Norm::layer(loader, &format!("{name}.norm1"), d, EPS)?,
            attn: VisionAttention::load(loader, &format!("{name}.attn"), c)?,
            norm2: Norm::layer(loader, &format!("{name}.norm2"), d, EPS)?,
            fc1: Linear::load(loader, &format!("{name}.mlp.linear_fc1"), d, m, true)?,
            fc2: Linear::load(loader, &format!("{name}.mlp.linear_fc2"), m, d, true)?,
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
        self.fc2.forward(&activate(&self.fc1.forward(x, compute)?, self.activation, compute)?, compute)
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.attn.each_part(visit)?;
        visit(Part::Linear(&mut self.fc1))?;
        visit(Part::Linear(&mut self.fc2))?;
        visit(Part::Norm(&mut self.norm1))?;
        visit(Part::Norm(&mut self.norm2))
    }
}

/// `merge_size`² neighbouring patches to one visual token.
#[derive(Debug, Clone)]
struct Merger {
    norm: Norm,
    /// Normalise the merged row (`DeepStack`) rather than each patch.
    norm_after_merge: bool,
    fc1: Linear,
    fc2: Linear,
    merged: usize,
}

impl Merger {
    fn load(loader: &Loader<'_>, name: &str, c: &VisionConfig, norm_after_merge: bool) -> Result<Self> {
        let merged = c.hidden_size * c.merge_size * c.merge_size;
        let norm_dim = if norm_after_merge { merged } else { c.hidden_size };
        Ok(Self {
            norm: Norm::layer(loader, &format!("{name}.norm"), norm_dim, EPS)?,
            norm_after_merge,
            fc1: Linear::load(loader, &format!("{name}.linear_fc1"), merged, merged, true)?,
            fc2: Linear::load(loader, &format!("{name}.linear_fc2"), merged, c.out_hidden_size, true)?,
            merged,
        })
    }

    /// x: [P, D] -> [P / `merge_size`², D'].
    fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let rows = x.elem_count() / self.merged;
        let x = if self.norm_after_merge {
            self.norm.forward(&tape::reshape(x, (rows, self.merged))?, compute)?
        } else {
            tape::reshape(&self.norm.forward(x, compute)?, (rows, self.merged))?
        };
        self.fc2.forward(&gelu(&self.fc1.forward(&x, compute)?, Form::Erf, compute.isa)?, compute)
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Norm(&mut self.norm))?;
        visit(Part::Linear(&mut self.fc1))?;
        visit(Part::Linear(&mut self.fc2))
    }
}

/// Patches in, visual tokens and `DeepStack` features out.
#[derive(Debug, Clone)]
pub struct Tower {
    config: VisionConfig,
    positions_per_side: usize,
    deepstack_blocks: Vec<usize>,
    patch_embed: Linear,
    pos_embed: Tensor,
    blocks: Vec<Block>,
    merger: Merger,
    deepstack_mergers: Vec<Merger>,
}

impl Tower {
    /// `visual.*`.
    pub fn load(
        loader: &Loader<'_>,
        c: &VisionConfig,
        positions_per_side: usize,
        deepstack_blocks: &[usize],
    ) -> Result<Self> {
        let blocks = (0..c.depth)
            .map(|i| Block::load(loader, &format!("visual.blocks.{i}"), c))
            .collect::<Result<_>>()?;
        let deepstack_mergers = (0..deepstack_blocks.len())
            .map(|i| Merger::load(loader, &format!("visual.deepstack_merger_list.{i}"), c, true))
            .collect::<Result<_>>()?;
        let positions = positions_per_side * positions_per_side;
        Ok(Self {
            config: c.clone(),
            positions_per_side,
            deepstack_blocks: deepstack_blocks.to_vec(),
            patch_embed: load_patch_embed(loader, c, true)?,
            pos_embed: loader.tensor("visual.pos_embed.weight", &[positions, c.hidden_size])?,
            blocks,
            merger: Merger::load(loader, "visual.merger", c, false)?,
            deepstack_mergers,
        })
    }

    /// The square table of learned positions, bilinearly resampled to each grid with corners aligned: [P, D].
    fn position_embeddings(&self, grids: &[GridThw]) -> Result<Tensor> {
        let side = self.positions_per_side;
        let (mut index, mut weight) = (Vec::new(), Vec::new());
        for grid in grids {
            for [row, col] in patch_positions(&[*grid], self.config.merge_size) {
                let (rows, cols) = (taps(row, grid.h, side), taps(col, grid.w, side));
                for (r, row_weight) in rows {
                    for (c, col_weight) in cols {
                        index.push((r * side + c) as u32);
                        weight.push(row_weight * col_weight);
                    }
                }
            }
        }
        let num_patches = index.len() / 4;
        let device = self.pos_embed.device();
        if weight.as_chunks::<4>().0.iter().all(|corners| *corners == [1.0, 0.0, 0.0, 0.0]) {
            // A grid as large as the table: nothing is between its entries.
            let index: Vec<u32> = index.iter().step_by(4).copied().collect();
            return Ok(self.pos_embed.index_select(&Tensor::new(index, device)?, 0)?);
        }
        let corners = self.pos_embed.index_select(&Tensor::new(index, device)?, 0)?;
        let corners = corners.reshape((num_patches, 4, self.config.hidden_size))?;
        let weight = Tensor::from_vec(weight, (num_patches, 4, 1), device)?.to_dtype(corners.dtype())?;
        Ok(corners.broadcast_mul(&weight)?.sum(1)?)
    }
}

impl VisionTower for Tower {
    fn forward(&self, patches: &Tensor, grids: &[GridThw], compute: &Compute<'_>) -> Result<VisualFeatures> {
        let c = &self.config;
        let device = patches.device();
        let x = self.patch_embed.forward(patches, compute)?;
        let mut x = (&x + self.position_embeddings(grids)?.to_dtype(x.dtype())?)?;
        let rotary = axial_rotary(
            &patch_positions(grids, c.merge_size),
            c.hidden_size / c.num_heads,
            c.rope_theta,
            device,
        )?;
        let frames = Segment::consecutive(&frame_lengths(grids));
        let mut deepstack = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            let progress = Progress { phase: Phase::Vision, done: i, total: self.blocks.len() };
            compute.observer.progress(progress)?;
            x = tape::stretch(&x, |x| block.forward(x, &rotary, &frames, compute))?;
            if let Some(place) = self.deepstack_blocks.iter().position(|block| *block == i) {
                deepstack.push(tape::stretch(&x, |x| self.deepstack_mergers[place].forward(x, compute))?);
            }
        }
        let tokens = tape::stretch(&x, |x| self.merger.forward(x, compute))?;
        Ok(VisualFeatures { tokens, deepstack })
    }

    fn each_part(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        visit(Part::Linear(&mut self.patch_embed))?;
        self.blocks.iter_mut().try_for_each(|block| block.each_part(visit))?;
        self.deepstack_mergers.iter_mut().try_for_each(|merger| merger.each_part(visit))?;
        self.merger.each_part(visit)
    }

    fn boxed_clone(&self) -> Box<dyn VisionTower> {
        Box::new(self.clone())
    }
}

/// The two entries of a table of `side` that position `index` of `size` falls between, and their weights.
fn taps(index: usize, size: usize, side: usize) -> [(usize, f32); 2] {
    let source = index as f32 * (side - 1) as f32 / (size.max(2) - 1) as f32;
    let low = source.floor();
    let share = source - low;
    let low = low as usize;
    [(low.min(side - 1), 1.0 - share), ((low + 1).min(side - 1), share)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_of_the_grid_are_corners_of_the_table() {
        assert_eq!(taps(0, 5, 48), [(0, 1.0), (1, 0.0)]);
        assert_eq!(taps(4, 5, 48)[0], (47, 1.0));
        assert_eq!(taps(0, 1, 48)[0], (0, 1.0));
    }
}
