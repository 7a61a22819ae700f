//! Rows of a table by id, with the rows of latents in the places of theirs.

use bytemuck::zeroed_vec;
use std::sync::Arc;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice};
use super::matmul::packed::Packed;
use super::rows;
use super::values::{tensor_like, values};
use super::weight::Weight;
use crate::error::Result;

/// Where a token's row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPlace {
    /// In the table.
    Table(u32),
    /// Among the latents.
    Latent(u32),
}

/// table: [V, D], latents: [K, D] in f32 -> [T, D] in `dtype`.
///
/// # Errors
/// A place that is in neither.
pub fn embed(places: &[RowPlace], table: &Weight, latents: Option<&Tensor>, dtype: DType) -> Result<Tensor> {
    let (vocab, width) = table.dims()?;
    let none = || Tensor::zeros((0, width), DType::F32, table.device());
    let latents = latents.map_or_else(none, |latents| latents.to_dtype(DType::F32))?;
    let count = latents.dim(0)?;
    let here = |place: &RowPlace| match place {
        RowPlace::Table(id) => (*id as usize) < vocab,
        RowPlace::Latent(row) => (*row as usize) < count,
    };
    if let Some(place) = places.iter().find(|place| !here(place)) {
        let found = format!("{place:?} of {vocab} rows and {count} latents");
        return Err(crate::error::Error::Tensor(format!("a token has no embedding: {found}")));
    }
    let op = Embed { places: places.to_vec(), dtype };
    Ok(match table {
        Weight::Packed(packed) => {
            latents.contiguous()?.apply_op1(FromPacked { embed: op, table: packed.clone() })?
        }
        Weight::Dense(table) | Weight::Mixed(table) if table.device().is_cpu() => {
            table.contiguous()?.apply_op2(&latents.contiguous()?, op)?
        }
        Weight::Dense(table) | Weight::Mixed(table) => plain(places, table, &latents)?.to_dtype(dtype)?,
    })
}

/// The same in candle's operations.
pub fn plain(places: &[RowPlace], table: &Tensor, latents: &Tensor) -> Result<Tensor> {
    let mut parts = Vec::new();
    for run in places.chunk_by(|a, b| matches!(a, RowPlace::Table(_)) == matches!(b, RowPlace::Table(_))) {
        let rows: Vec<u32> = run
            .iter()
            .map(|place| match place {
                RowPlace::Table(id) | RowPlace::Latent(id) => *id,
            })
            .collect();
        let from = if matches!(run[0], RowPlace::Table(_)) { table } else { latents };
        let index = Tensor::from_vec(rows, run.len(), table.device())?;
        parts.push(from.index_select(&index, 0)?.to_dtype(table.dtype())?);
    }
    if parts.is_empty() {
        return Ok(table.narrow(0, 0, 0)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}

struct Embed {
    places: Vec<RowPlace>,
    dtype: DType,
}

impl Embed {
    /// Rows by a function that writes one of the table's.
    fn forward(
        &self,
        width: usize,
        latents: &[f32],
        table_row: impl Fn(usize, &mut [f32]) + Sync,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        for_element!(self.dtype, T => {
            let mut out = zeroed_vec::<T>(self.places.len() * width);
            rows::fill(&mut out, width, |first, piece| {
                let mut row = vec![0f32; width];
                for (out, place) in piece.chunks_exact_mut(width.max(1)).zip(&self.places[first..]) {
                    match place {
                        RowPlace::Table(id) => table_row(*id as usize, &mut row),
                        RowPlace::Latent(i) => row.copy_from_slice(&latents[*i as usize * width..][..width]),
                    }
                    for (out, value) in out.iter_mut().zip(&row) { *out = T::narrow(*value); }
                }
            });
            Ok((T::to_cpu_storage_owned(out), (self.places.len(), width).into()))
        })
    }

    /// Adds each token's gradient to its row, in the order of tokens.
    fn scatter(
        &self,
        grad: &Tensor,
        like: &Tensor,
        row: impl Fn(RowPlace) -> Option<u32>,
    ) -> candle_core::Result<Tensor> {
        let width = like.dim(1)?;
        let mut sums = vec![0f32; like.elem_count()];
        values!(gs = grad);
        for (place, g) in self.places.iter().zip(gs.chunks_exact(width.max(1))) {
            if let Some(row) = row(*place) {
                let sums = &mut sums[row as usize * width..][..width];
                for (sum, g) in sums.iter_mut().zip(g) {
                    *sum += g;
                }
            }
        }
        tensor_like(sums, like)
    }

    fn to_latents(&self, grad: &Tensor, latents: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let row = |place| match place {
            RowPlace::Latent(row) => Some(row),
            RowPlace::Table(_) => None,
        };
        latents.track_op().then(|| self.scatter(grad, latents, row)).transpose()
    }
}

impl CustomOp2 for Embed {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        latents: &CpuStorage,
        latents_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = table_layout.shape().dims2()?.1;
        let latents = slice::<f32>(latents, latents_layout)?;
        for_element!(table.dtype(), T => {
            let table = slice::<T>(table, table_layout)?;
            self.forward(width, latents, |id, row| {
                for (out, value) in row.iter_mut().zip(&table[id * width..]) { *out = value.wide(); }
            })
        })
    }

    fn bwd(
        &self,
        table: &Tensor,
        latents: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let row = |place| match place {
            RowPlace::Table(id) => Some(id),
            RowPlace::Latent(_) => None,
        };
        let to_table = table.track_op().then(|| self.scatter(grad, table, row)).transpose()?;
        Ok((to_table, self.to_latents(grad, latents)?))
    }
}

struct FromPacked {
    embed: Embed,
    table: Arc<Packed>,
}

impl CustomOp1 for FromPacked {
    fn name(&self) -> &'static str {
        "embedding-packed"
    }

    fn cpu_fwd(&self, latents: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = self.table.dims().1;
        self.embed.forward(width, slice::<f32>(latents, layout)?, |id, row| self.table.read_row(id, row))
    }

    fn bwd(&self, latents: &Tensor, _res: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.embed.to_latents(grad, latents)
    }
}
