//! Adapters: PEFT `LoRA` and what it saves beside it, latent rows, `livr.json`.

mod peft;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use super::folder::Folder;
use super::latent_rows::{self, LatentRows};
use super::livr::LivrConfig;
use crate::error::{Error, Result};

/// The low-rank update of one layer: y += scale * (x Aᵀ) Bᵀ, in the precision it was saved in.
#[derive(Debug, Clone)]
pub struct LoraPair {
    /// [r, in]; of an embedding [r, V].
    pub a: Tensor,
    /// [out, r]; of an embedding [D, r].
    pub b: Tensor,
    /// alpha / r, or alpha / sqrt(r) for rank-stabilised adapters.
    pub scale: f64,
    /// [out]: the rows' lengths that `DoRA` trains.
    pub magnitude: Option<Tensor>,
}

/// An adapter as read, on the CPU, not yet fitted to a model.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// Name of its folder.
    pub name: String,
    /// Where it is.
    pub folder: Folder,
    /// Canonical module name -> its update.
    pub lora: BTreeMap<String, LoraPair>,
    /// Canonical tensor name -> what takes its place (`modules_to_save`, embeddings saved whole).
    pub replaced: BTreeMap<String, Tensor>,
    /// The embedding was saved because the vocabulary grew, so it is the base's own, tied output included;
    /// not a copy trained beside it.
    pub replaces_base: bool,
    /// Rows of the latent tokens.
    pub latent_rows: Option<LatentRows>,
    /// Rows of the embedding of other tokens; of latents too until the processor has told which are
    /// ([`crate::input::processor::Processor::sorted`]).
    pub token_rows: Option<LatentRows>,
    /// Rows of the output, where they are saved apart from the embedding's.
    pub head_rows: Option<LatentRows>,
    /// How the latents are placed; `None` without `livr.json`.
    pub livr: Option<LivrConfig>,
}

impl Adapter {
    /// Reads an adapter folder: `LoRA`, latent rows, `livr.json`; at least one of the first two.
    ///
    /// # Errors
    /// A path that is no folder, one without an adapter, files that are damaged or ask for something that is not done
    /// here.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_folder(&Folder::open(path)?)
    }

    /// The same, from any folder.
    ///
    /// # Errors
    /// A folder without an adapter, files that are damaged or ask for something that is not done here.
    pub fn read_folder(folder: &Folder) -> Result<Self> {
        let livr = LivrConfig::read(folder)?;
        let peft = peft::read(folder)?;
        let latent_rows = latent_rows::read(folder)?;
        // What stands in a file of its own stands in PEFT's too, for PEFT.
        let is_new = |id: u32| latent_rows.as_ref().is_none_or(|rows| !rows.token_ids.contains(&id));
        let token_rows = peft.token_rows.map(|rows| rows.of(is_new)).transpose()?.flatten();
        let has_rows = latent_rows.is_some() || token_rows.is_some() || peft.head_rows.is_some();
        if peft.lora.is_empty() && peft.replaced.is_empty() && !has_rows {
            return Err(Error::Missing {
                what: format!("{} (or latent_rows.safetensors)", peft::CONFIG),
                path: folder.root().to_owned(),
            });
        }
        let adapter = Self {
            name: folder.name(),
            folder: folder.clone(),
            lora: peft.lora,
            replaced: peft.replaced,
            replaces_base: peft.replaces_base,
            latent_rows,
            token_rows,
            head_rows: peft.head_rows,
            livr,
        };
        // Of those that PEFT saved it is known only with a tokenizer which are latents.
        if adapter.latent_rows.is_some() {
            adapter.check_latents()?;
        }
        Ok(adapter)
    }

    /// Are there as many rows as `livr.json` says?
    ///
    /// # Errors
    /// More or fewer.
    pub fn check_latents(&self) -> Result<()> {
        let (Some(livr), Some(rows)) = (&self.livr, &self.latent_rows) else { return Ok(()) };
        if livr.num_latents == rows.len() {
            return Ok(());
        }
        let expected = format!("{}, the number of latent rows", rows.len());
        Err(Error::field(
            self.folder.path("livr.json"),
            "num_latents",
            expected,
            livr.num_latents.to_string(),
        ))
    }

    /// Does it change the vision tower?
    pub fn is_in_tower(&self) -> bool {
        self.lora.keys().chain(self.replaced.keys()).any(|name| name.starts_with("visual."))
    }

    /// The same with no work left in putting it on, for a look at whether it fits.
    #[must_use]
    pub fn shapes_only(&self) -> Self {
        let mut shapes = self.clone();
        shapes.lora.values_mut().for_each(|pair| pair.magnitude = None);
        shapes
    }

    /// Rows of the embedding this adapter brings whole, if it does.
    pub fn vocab_size(&self) -> Option<usize> {
        self.replaced.get("language_model.embed_tokens.weight").and_then(|rows| rows.dim(0).ok())
    }

    /// K, the latents this adapter was trained with.
    pub fn num_latents(&self) -> usize {
        self.latent_rows.as_ref().map_or(0, LatentRows::len)
    }
}
