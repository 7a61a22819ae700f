//! Token embeddings: the checkpoint's rows, an adapter's update of them, and the rows of the latents.

use candle_core::{DType, Device, Tensor};

use super::loader::Loader;
use super::param::{Param, Replace, WeightParam};
use crate::checkpoint::adapter::LoraPair;
use crate::checkpoint::config::TextConfig;
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::Result;
use crate::ops::embedding::{RowPlace, embed};
use crate::ops::weight::Weight;

/// Canonical module name.
pub const NAME: &str = "language_model.embed_tokens";

/// Canonical module name of the output.
pub const HEAD: &str = "lm_head";

/// Rows that stand in the place of a table's, or behind it: of latents and of other trained tokens, in their own precision.
#[derive(Debug, Clone)]
pub struct FittedRows {
    /// [K, D].
    pub rows: Tensor,
    /// The ids they stand for, K of them.
    pub token_ids: Vec<u32>,
}

impl FittedRows {
    /// Rows on a device.
    pub fn on(device: &Device, rows: &LatentRows) -> Result<Self> {
        Ok(Self { rows: rows.rows.to_device(device)?, token_ids: rows.token_ids.clone() })
    }
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

/// [V, D] rows, with trained rows in the place of theirs.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: WeightParam,
    lora: Option<EmbeddingLora>,
    trained: Option<FittedRows>,
}

impl Embedding {
    /// From its rows, [V, D], in a model that computes in `dtype`.
    pub fn from_rows(rows: Weight, dtype: DType) -> Self {
        Self { weight: Param::matrix(rows, dtype), lora: None, trained: None }
    }

    /// [V, D].
    pub fn rows(&self) -> &Weight {
        self.weight.get()
    }

    /// [V, D].
    pub fn dims(&self) -> Result<(usize, usize)> {
        self.weight.get().dims()
    }

    /// The parameter of that name, "weight", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut dyn Replace> {
        if name == "weight" { Some(&mut self.weight) } else { None }
    }

    /// Puts a low-rank update on: a [r, V], b [D, r] as PEFT stores them.
    pub fn set_lora(&mut self, pair: &LoraPair) -> Result<()> {
        let fit =
            |t: &Tensor| -> Result<Tensor> { Ok(t.to_device(self.rows().device())?.t()?.contiguous()?) };
        self.lora = Some(EmbeddingLora { a: fit(&pair.a)?, b: fit(&pair.b)?, scale: pair.scale });
        Ok(())
    }

    /// Puts trained rows in. They replace embedding rows, and output rows where tied.
    pub fn set_rows(&mut self, rows: &LatentRows) -> Result<()> {
        self.trained = Some(FittedRows::on(self.rows().device(), rows)?);
        Ok(())
    }

    /// Cuts it off from the graph of what is trained; values stay shared.
    pub fn detach(&mut self) {
        self.weight.detach();
        if let Some(trained) = &mut self.trained {
            trained.rows = trained.rows.detach();
        }
    }

    /// The trained rows, where there are any.
    pub fn trained_rows(&self) -> Option<&FittedRows> {
        self.trained.as_ref()
    }

    /// Rows of tokens: [T] ids -> [T, D].
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let trained: &[u32] = self.trained.as_ref().map_or(&[], |trained| &trained.token_ids);
        let place = |id: &u32| match trained.iter().position(|own| own == id) {
            Some(row) => RowPlace::Latent(row as u32),
            None => RowPlace::Table(*id),
        };
        let places: Vec<RowPlace> = ids.iter().map(place).collect();
        let rows = self.trained.as_ref().map(|trained| &trained.rows);
        let found = embed(&places, self.rows(), rows, self.weight.dtype())?;
        let Some(lora) = &self.lora else { return Ok(found) };
        // Trained rows are nobody's update: theirs is taken from nothing.
        let known: Vec<u32> =
            places.iter().map(|p| if let RowPlace::Table(id) = p { *id } else { 0 }).collect();
        let is_known: Vec<f32> =
            places.iter().map(|p| f32::from(u8::from(matches!(p, RowPlace::Table(_))))).collect();
        let count = known.len();
        let rows = lora.a.index_select(&Tensor::from_vec(known, count, lora.a.device())?, 0)?;
        let rows = rows.broadcast_mul(&Tensor::from_vec(is_known, (count, 1), lora.a.device())?)?;
        let update = (rows.matmul(&lora.b)? * lora.scale)?;
        Ok((found.to_dtype(update.dtype())? + update)?.to_dtype(found.dtype())?)
    }
}

/// The embedding, and the output weight where it is one of its own.
///
/// Tied or not by what the files hold, as transformers 5 decides: where the config ties and both are there,
/// they stay apart if they differ; where only one is there, it serves as both.
pub fn load_ends(loader: &Loader<'_>, config: &TextConfig) -> Result<(Embedding, Option<Weight>)> {
    let shape = [config.vocab_size, config.hidden_size];
    let (head_name, rows_name) = (format!("{HEAD}.weight"), format!("{NAME}.weight"));
    let has_head = loader.has(&head_name);
    let from_rows = |rows| -> Result<Embedding> {
        Ok(Embedding::from_rows(loader.weight(rows)?, loader.precision.dtype))
    };
    let ties = config.tied.unwrap_or(!has_head);
    if ties && has_head && !loader.has(&rows_name) {
        return Ok((from_rows(loader.tensor(&head_name, &shape)?)?, None));
    }
    if ties && !has_head {
        return Ok((from_rows(loader.tensor(&rows_name, &shape)?)?, None));
    }
    let head = loader.tensor(&head_name, &shape)?;
    let rows = loader.tensor(&rows_name, &shape)?;
    let same = ties && (!loader.reads_values() || !differ(&rows, &head)?);
    let rows = from_rows(rows)?;
    let head = if same { None } else { Some(loader.weight(head)?) };
    Ok((rows, head))
}

fn differ(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.ne(b)?.flatten_all()?.max(0)?.to_scalar::<u8>()? != 0)
}
