//! Token embeddings: the checkpoint's rows, an adapter's update of them, and the rows of the latents.

use candle_core::Tensor;

use super::loader::Loader;
use super::param::Param;
use crate::checkpoint::adapter::LoraPair;
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;

/// Canonical module name.
pub const NAME: &str = "language_model.embed_tokens";

/// The rows of the latents, in their own precision.
#[derive(Debug, Clone)]
pub struct FittedRows {
    /// [K, D].
    pub rows: Tensor,
    /// The ids they stand for, K of them.
    pub token_ids: Vec<u32>,
}

/// A low-rank update of the rows: row(id) += scale * A[:, id]ᵀ Bᵀ.
#[derive(Debug, Clone)]
struct EmbeddingLora {
    /// [V, r].
    a: Tensor,
    /// [r, D].
    b: Tensor,
    scale: f64,
}

/// [V, D] rows, with latent rows in place of theirs.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Param,
    lora: Option<EmbeddingLora>,
    latents: Option<FittedRows>,
}

impl Embedding {
    /// From its rows, [V, D].
    pub fn from_rows(rows: Tensor) -> Self {
        Self { weight: Param::new(rows), lora: None, latents: None }
    }

    /// `language_model.embed_tokens.weight`.
    pub fn load(loader: &Loader<'_>, vocab_size: usize, hidden_size: usize) -> Result<Self> {
        Ok(Self::from_rows(loader.tensor(&format!("{NAME}.weight"), &[vocab_size, hidden_size])?))
    }

    /// [V, D].
    pub fn rows(&self) -> &Tensor {
        self.weight.get()
    }

    /// [V, D].
    pub fn dims(&self) -> Result<(usize, usize)> {
        Ok(self.weight.get().dims2()?)
    }

    /// The parameter of that name, "weight", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut Param> {
        (name == "weight").then_some(&mut self.weight)
    }

    /// Puts a low-rank update on: a [r, V], b [D, r] as PEFT stores them.
    pub fn set_lora(&mut self, pair: &LoraPair) -> Result<()> {
        let fit =
            |t: &Tensor| -> Result<Tensor> { Ok(t.to_device(self.rows().device())?.t()?.contiguous()?) };
        self.lora = Some(EmbeddingLora { a: fit(&pair.a)?, b: fit(&pair.b)?, scale: pair.scale });
        Ok(())
    }

    /// Puts latent rows in. They replace embedding rows, and output rows where tied.
    pub fn set_latents(&mut self, latents: &LatentRows) -> Result<()> {
        let rows = latents.rows.to_device(self.rows().device())?;
        self.latents = Some(FittedRows { rows, token_ids: latents.token_ids.clone() });
        Ok(())
    }

    /// The latent rows, where there are any.
    pub fn latents(&self) -> Option<&FittedRows> {
        self.latents.as_ref()
    }

    /// Rows of tokens, in the element type of the table: [T] ids -> [T, D].
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let table = self.rows();
        let latents: &[u32] = self.latents.as_ref().map_or(&[], |latents| &latents.token_ids);
        let latent_row = |id: &u32| latents.iter().position(|latent| latent == id);
        let mut parts = Vec::new();
        for run in ids.chunk_by(|a, b| latent_row(a).is_some() == latent_row(b).is_some()) {
            parts.push(match (&self.latents, latent_row(&run[0])) {
                (Some(latents), Some(_)) => {
                    let rows = run.iter().filter_map(|id| latent_row(id).map(|row| row as u32)).collect();
                    select(&latents.rows, rows)?.to_dtype(table.dtype())?
                }
                _ => self.table_rows(run)?,
            });
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0)? })
    }

    fn table_rows(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = select(self.rows(), ids.to_vec())?;
        let Some(lora) = &self.lora else { return Ok(rows) };
        let update = (select(&lora.a, ids.to_vec())?.matmul(&lora.b)? * lora.scale)?;
        Ok((rows.to_dtype(update.dtype())? + update)?.to_dtype(rows.dtype())?)
    }
}

fn select(table: &Tensor, index: Vec<u32>) -> Result<Tensor> {
    let len = index.len();
    Ok(table.index_select(&Tensor::from_vec(index, len, table.device())?, 0)?)
}
