//! Negative log-likelihood of target tokens, from hidden states: the scores of all positions over the whole
//! vocabulary never exist at once.

#[cfg(feature = "cuda")]
mod on_gpu;
mod table;

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use self::table::Table;
use super::host::slice;
use super::isa::Isa;
use super::lanes;
use super::matmul::dense::{MatrixView, Threads, multiply};
use super::matmul::packed::Packed;
use super::values::values;
use super::weight::Weight;
use crate::error::{Error, Result};

/// Scores held at once.
const SCORES_AT_ONCE: usize = 1 << 24;

/// Output rows of latents: they replace those of the table where their ids are within it, and come after it where
/// not.
#[derive(Debug, Clone, Copy)]
pub struct LatentHead<'a> {
    /// [K, D] in f32.
    pub rows: &'a Tensor,
    /// K of them.
    pub ids: &'a [u32],
}

/// hidden: [M, D] after the final norm at the positions that predict the M targets; table: [V, D] ->
/// -log p(target), [M] in f32.
///
/// # Errors
/// A target that has no output row.
pub fn cross_entropy(
    hidden: &Tensor,
    table: &Weight,
    latents: Option<LatentHead<'_>>,
    targets: &[u32],
    isa: Isa,
) -> Result<Tensor> {
    cross_entropy_in_blocks(hidden, table, latents, targets, isa, SCORES_AT_ONCE)
}

/// The same with so many scores held at once, but those of one position at least.
pub fn cross_entropy_in_blocks(
    hidden: &Tensor,
    table: &Weight,
    latents: Option<LatentHead<'_>>,
    targets: &[u32],
    isa: Isa,
    scores_at_once: usize,
) -> Result<Tensor> {
    let (vocab, width) = table.dims()?;
    let ids = latents.map_or(&[][..], |latents| latents.ids);
    if let Some(id) = targets.iter().find(|id| **id as usize >= vocab && !ids.contains(id)) {
        return Err(Error::Tensor(format!("target {id} is no token of a vocabulary of {vocab}")));
    }
    let none = Tensor::zeros((0, width), DType::F32, hidden.device())?;
    let rows = latents.map_or(&none, |latents| latents.rows);
    let op = Losses { targets: targets.to_vec(), ids: ids.to_vec(), vocab, isa, scores_at_once };
    let wide = hidden.to_dtype(DType::F32)?.contiguous()?;
    match table {
        Weight::Packed(packed) => {
            let op = OfPacked { losses: op, table: packed.clone() };
            Ok(wide.apply_op2(&rows.contiguous()?, op)?)
        }
        Weight::Dense(table) | Weight::Mixed(table)
            if table.device().is_cpu() && table.dtype() == DType::F32 =>
        {
            Ok(wide.apply_op3(&table.contiguous()?, &rows.contiguous()?, op)?)
        }
        Weight::Dense(table) | Weight::Mixed(table) => plain(&wide, table, rows, ids, targets),
    }
}

/// The same in candle's operations, all scores at once.
pub fn plain(hidden: &Tensor, table: &Tensor, rows: &Tensor, ids: &[u32], targets: &[u32]) -> Result<Tensor> {
    let vocab = table.dim(0)?;
    let mut scores = hidden.matmul(&table.to_dtype(DType::F32)?.t()?)?;
    let mut place: Vec<u32> = (0..vocab as u32).collect();
    if !ids.is_empty() {
        scores = Tensor::cat(&[&scores, &hidden.matmul(&rows.t()?)?], 1)?;
    }
    let mut extra = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        match place.get_mut(*id as usize) {
            Some(place) => *place = (vocab + i) as u32,
            None => extra.push((vocab + i) as u32),
        }
    }
    let beyond: Vec<u32> = ids.iter().copied().filter(|id| *id as usize >= vocab).collect();
    place.extend(extra);
    let count = place.len();
    let scores = scores.index_select(&Tensor::from_vec(place, count, hidden.device())?, 1)?;
    let column = |id: &u32| beyond.iter().position(|b| b == id).map_or(*id, |i| (vocab + i) as u32);
    let targets: Vec<u32> = targets.iter().map(column).collect();
    of_scores(&scores, &targets)
}

/// -log softmax(scores)[target] of each row: [M, V] in f32 -> [M].
fn of_scores(scores: &Tensor, targets: &[u32]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if scores.device().is_cuda() {
        return Ok(scores.contiguous()?.apply_op1(on_gpu::OfScores { targets: targets.to_vec() })?);
    }
    let most = scores.max_keepdim(D::Minus1)?.detach();
    let total = scores.broadcast_sub(&most)?.exp()?.sum_keepdim(D::Minus1)?.log()?.broadcast_add(&most)?;
    let wanted = Tensor::from_slice(targets, (targets.len(), 1), scores.device())?;
    Ok((total - scores.gather(&wanted, 1)?)?.squeeze(1)?)
}

struct Losses {
    targets: Vec<u32>,
    ids: Vec<u32>,
    vocab: usize,
    isa: Isa,
    scores_at_once: usize,
}

/// Scores of some positions: over the table, latents in place, then those of latents past it.
struct Scores {
    vocab: usize,
    values: Vec<f32>,
    beyond: Vec<f32>,
}

impl Losses {
    /// Latents whose ids are past the table, in order.
    fn beyond(&self) -> Vec<usize> {
        (0..self.ids.len()).filter(|i| self.ids[*i] as usize >= self.vocab).collect()
    }

    fn scores(&self, table: &Table<'_>, hidden: &[f32], latents: &[f32], width: usize) -> Scores {
        let rows = hidden.len() / width.max(1);
        let mut values = table.multiply(hidden, width, self.vocab, self.isa);
        let count = self.ids.len();
        let mut own = vec![0f32; rows * count];
        multiply(
            [rows, width, count],
            MatrixView::rows(hidden, width),
            MatrixView::rows(latents, width).t(),
            1.0,
            &mut own,
            count.max(1),
            false,
            Threads::One,
        );
        let past = self.beyond();
        let mut beyond = vec![0f32; rows * past.len()];
        for row in 0..rows {
            for (i, id) in self.ids.iter().enumerate().filter(|(_, id)| (**id as usize) < self.vocab) {
                values[row * self.vocab + *id as usize] = own[row * count + i];
            }
            for (place, i) in past.iter().enumerate() {
                beyond[row * past.len() + place] = own[row * count + i];
            }
        }
        Scores { vocab: self.vocab, values, beyond }
    }

    /// The place of a target: in the table, or among those past it.
    fn place(&self, target: u32) -> Result<usize, usize> {
        if (target as usize) < self.vocab {
            return Ok(target as usize);
        }
        Err(self.beyond().iter().position(|i| self.ids[*i] == target).unwrap_or(0))
    }

    fn rows_at_once(&self) -> usize {
        (self.scores_at_once / self.vocab.max(1)).max(1)
    }

    fn forward(
        &self,
        table: &Table<'_>,
        hidden: &[f32],
        latents: &[f32],
        width: usize,
    ) -> (CpuStorage, Shape) {
        let mut losses = Vec::with_capacity(self.targets.len());
        let block = self.rows_at_once();
        for (hidden, targets) in hidden.chunks(block * width.max(1)).zip(self.targets.chunks(block)) {
            let scores = self.scores(table, hidden, latents, width);
            losses.par_extend(targets.par_iter().enumerate().map(|(row, target)| {
                let (values, beyond) = scores.row(row);
                let (most, total) = self.total(values, beyond);
                let score = match self.place(*target) {
                    Ok(place) => values[place],
                    Err(place) => beyond[place],
                };
                most + total.ln() - score
            }));
        }
        (f32::to_cpu_storage_owned(losses), self.targets.len().into())
    }

    /// The largest score, and the sum of the others' powers relative to it.
    fn total(&self, values: &[f32], beyond: &[f32]) -> (f32, f32) {
        self.isa.run(
            #[inline(always)]
            || {
                let most = lanes::max(values).max(lanes::max(beyond));
                let power = |score: f32| lanes::exp(score - most);
                (most, lanes::sum(values, power) + lanes::sum(beyond, power))
            },
        )
    }

    /// Turns scores into their gradients, (softmax - target) · grad.
    fn to_slopes(&self, scores: &mut Scores, targets: &[u32], grad: &[f32]) {
        scores.each_row(|row, values, beyond| {
            let (most, total) = self.total(values, beyond);
            let factor = grad[row] / total;
            self.isa.run(
                #[inline(always)]
                || {
                    for score in &mut *values {
                        *score = lanes::exp(*score - most) * factor;
                    }
                    for score in &mut *beyond {
                        *score = lanes::exp(*score - most) * factor;
                    }
                },
            );
            match self.place(targets[row]) {
                Ok(place) => values[place] -= grad[row],
                Err(place) => beyond[place] -= grad[row],
            }
        });
    }

    /// Takes the columns of latents out, [M, K]; zeros stay in the table's.
    fn take_latents(&self, scores: &mut Scores, rows: usize) -> Vec<f32> {
        let (count, past) = (self.ids.len(), self.beyond());
        let mut own = vec![0f32; rows * count];
        for (row, own) in own.chunks_exact_mut(count.max(1)).enumerate() {
            for (own, id) in own.iter_mut().zip(&self.ids).filter(|(_, id)| (**id as usize) < self.vocab) {
                *own = std::mem::take(&mut scores.values[row * self.vocab + *id as usize]);
            }
            for (place, k) in past.iter().enumerate() {
                own[*k] = scores.beyond[row * past.len() + place];
            }
        }
        own
    }

    /// With d = (softmax - target) · grad: dhidden = d W, dW = dᵀ hidden, columns of latents going to their rows.
    fn backward(&self, table: &Table<'_>, given: &Given<'_>, wants_table: bool) -> Grads {
        let (width, count) = (given.width, self.ids.len());
        let mut grads = Grads {
            hidden: vec![0f32; given.hidden.len()],
            table: vec![0f32; if wants_table { self.vocab * width } else { 0 }],
            latents: vec![0f32; count * width],
        };
        let block = self.rows_at_once();
        let pieces =
            given.hidden.chunks(block * width.max(1)).zip(grads.hidden.chunks_mut(block * width.max(1)));
        for (i, (hidden, dhidden)) in pieces.enumerate() {
            let (targets, grad) = (&self.targets[i * block..], &given.grad[i * block..]);
            let mut scores = self.scores(table, hidden, given.latents, width);
            let rows = hidden.len() / width.max(1);
            self.to_slopes(&mut scores, targets, grad);
            let own = self.take_latents(&mut scores, rows);
            table.multiply_back(&scores.values, width, dhidden);
            let (own, hidden) = (MatrixView::rows(&own, count.max(1)), MatrixView::rows(hidden, width));
            let latents = MatrixView::rows(given.latents, width);
            multiply([rows, count, width], own, latents, 1.0, dhidden, width, true, Threads::All);
            multiply(
                [count, rows, width],
                own.t(),
                hidden,
                1.0,
                &mut grads.latents,
                width,
                true,
                Threads::All,
            );
            if wants_table {
                let d = MatrixView::rows(&scores.values, self.vocab).t();
                multiply(
                    [self.vocab, rows, width],
                    d,
                    hidden,
                    1.0,
                    &mut grads.table,
                    width,
                    true,
                    Threads::All,
                );
            }
        }
        grads
    }
}

impl Scores {
    fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let past = self.beyond.len() * self.vocab / self.values.len().max(1);
        (&self.values[row * self.vocab..][..self.vocab], &self.beyond[row * past..][..past])
    }

    fn each_row(&mut self, change: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) {
        let rows = self.values.len() / self.vocab.max(1);
        let past = self.beyond.len().checked_div(rows).unwrap_or(0);
        let mut empty: Vec<[f32; 0]> = vec![[]; rows];
        let values = self.values.par_chunks_mut(self.vocab.max(1)).enumerate();
        if past == 0 {
            values.zip(&mut empty).for_each(|((row, values), beyond)| change(row, values, beyond));
        } else {
            values
                .zip(self.beyond.par_chunks_mut(past))
                .for_each(|((row, values), beyond)| change(row, values, beyond));
        }
    }
}

struct Given<'a> {
    hidden: &'a [f32],
    latents: &'a [f32],
    grad: &'a [f32],
    width: usize,
}

struct Grads {
    hidden: Vec<f32>,
    table: Vec<f32>,
    latents: Vec<f32>,
}

impl CustomOp3 for Losses {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
        latents: &CpuStorage,
        latents_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = hidden_layout.shape().dims2()?.1;
        let table = Table::Dense(slice(table, table_layout)?);
        Ok(self.forward(&table, slice(hidden, hidden_layout)?, slice(latents, latents_layout)?, width))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        table: &Tensor,
        latents: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grads = {
            values!(hs = hidden, ts = table, ls = latents, gs = grad);
            let given = Given { hidden: hs, latents: ls, grad: gs, width: hidden.dim(1)? };
            self.backward(&Table::Dense(ts), &given, table.track_op())
        };
        let like = |values: Vec<f32>, like: &Tensor| {
            like.track_op().then(|| Tensor::from_vec(values, like.shape(), like.device())).transpose()
        };
        Ok((like(grads.hidden, hidden)?, like(grads.table, table)?, like(grads.latents, latents)?))
    }
}

struct OfPacked {
    losses: Losses,
    table: Arc<Packed>,
}

impl CustomOp2 for OfPacked {
    fn name(&self) -> &'static str {
        "cross-entropy-packed"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        latents: &CpuStorage,
        latents_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = hidden_layout.shape().dims2()?.1;
        let (hidden, latents) = (slice(hidden, hidden_layout)?, slice(latents, latents_layout)?);
        Ok(self.losses.forward(&Table::Packed(&self.table), hidden, latents, width))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        latents: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grads = {
            values!(hs = hidden, ls = latents, gs = grad);
            let given = Given { hidden: hs, latents: ls, grad: gs, width: hidden.dim(1)? };
            self.losses.backward(&Table::Packed(&self.table), &given, false)
        };
        let like = |values: Vec<f32>, like: &Tensor| {
            like.track_op().then(|| Tensor::from_vec(values, like.shape(), like.device())).transpose()
        };
        Ok((like(grads.hidden, hidden)?, like(grads.latents, latents)?))
    }
}
