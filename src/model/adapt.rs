//! Puts an adapter on a model: the result is another model that shares the base's weights.

use std::collections::BTreeSet;

use candle_core::Tensor;

use super::Model;
use super::embedding::Embedding;
use super::linear::Linear;
use super::param::Replace;
use super::parts::Part;
use crate::checkpoint::adapter::{Adapter, LoraPair};
use crate::checkpoint::latent_rows::LatentRows;
use crate::error::{Error, Result};

impl Model {
    /// This model with an adapter on. An adapter that does not fit changes nothing.
    pub fn with_adapter(&self, adapter: &Adapter) -> Result<Self> {
        let mut model = self.clone();
        let mut unused: BTreeSet<&str> =
            adapter.lora.keys().chain(adapter.replaced.keys()).map(String::as_str).collect();
        let tied = self.text.is_tied();
        // A tied model's rows may have been saved as the output's.
        let of_tokens = adapter.token_rows.as_ref().or(adapter.head_rows.as_ref().filter(|_| tied));
        let rows = match (&adapter.latent_rows, of_tokens) {
            (Some(latents), Some(others)) => Some(latents.and(others)?),
            (own, others) => own.as_ref().or(others).cloned(),
        };
        model.each_part(&mut |mut part| {
            let name = part.name().to_owned();
            for param in ["weight", "bias"] {
                let key = format!("{name}.{param}");
                let own = adapter.replaced.get_key_value(&key);
                // Rows saved because the vocabulary grew are the base's own, and a tied output's too.
                let shared = (tied && key == "lm_head.weight")
                    .then(|| adapter.replaced.get_key_value("language_model.embed_tokens.weight"))
                    .flatten()
                    .filter(|_| adapter.replaces_base);
                if let Some((key, tensor)) = own.or(shared) {
                    replace(adapter, key, part.param_mut(param), tensor)?;
                    unused.remove(key.as_str());
                }
            }
            if let Some((key, pair)) = adapter.lora.get_key_value(&name) {
                match &mut part {
                    Part::Linear(linear) => fit_linear(adapter, linear, pair)?,
                    Part::Embedding(embedding) => fit_embedding(adapter, embedding, pair)?,
                    Part::Norm(_) => return Ok(()),
                }
                unused.remove(key.as_str());
            }
            if let (Part::Embedding(embedding), Some(rows)) = (&mut part, &rows) {
                check_width(adapter, "latent_rows", rows, embedding.dims()?.1)?;
                embedding.set_rows(rows)?;
            }
            Ok(())
        })?;
        if let Some(rows) = adapter.head_rows.as_ref().filter(|_| !tied) {
            check_width(adapter, "lm_head.token_adapter", rows, model.text.embedding().dims()?.1)?;
            model.text.set_head_rows(rows)?;
        }
        match unused.first() {
            Some(name) => {
                Err(Error::field(weights(adapter), *name, "a layer of this model", "none of that name"))
            }
            None => Ok(model),
        }
    }
}

fn check_width(adapter: &Adapter, field: &str, rows: &LatentRows, expected: usize) -> Result<()> {
    let found = rows.rows.dim(1)?;
    if found == expected {
        return Ok(());
    }
    let expected = format!("rows of hidden_size {expected}");
    Err(Error::field(adapter.folder.root(), field, expected, found.to_string()))
}

fn weights(adapter: &Adapter) -> std::path::PathBuf {
    adapter.folder.path("adapter_model.safetensors")
}

/// The vocabulary may grow; every other size must be the base's.
fn replace(adapter: &Adapter, key: &str, param: Option<&mut dyn Replace>, tensor: &Tensor) -> Result<()> {
    let Some(param) = param else {
        return Err(Error::field(weights(adapter), key, "a weight of this model", "none of that name"));
    };
    let (expected, found) = (param.shape()?, tensor.dims());
    let grows = key.contains("embed_tokens") || key.contains("lm_head");
    // The patch embedding is saved as the convolution it is, and held as the matrix that it amounts to.
    let is_flat = expected.len() == 2 && found.len() > 2 && expected[0] == found[0];
    if is_flat && expected[1] == found[1..].iter().product::<usize>() {
        return param.replace(&tensor.flatten_from(1)?);
    }
    let fits = if grows { expected.len() == 2 && expected[1..] == found[1..] } else { expected == found };
    if !fits {
        let (expected, found) = (format!("shape {expected:?} as in this model"), format!("{found:?}"));
        return Err(Error::field(weights(adapter), key, expected, found));
    }
    param.replace(tensor)
}

fn fit_linear(adapter: &Adapter, linear: &mut Linear, pair: &LoraPair) -> Result<()> {
    let (out_dim, in_dim) = linear.dims()?;
    check_dim(adapter, linear.name(), "lora_A", &pair.a, 1, in_dim)?;
    check_dim(adapter, linear.name(), "lora_B", &pair.b, 0, out_dim)?;
    if let Some(magnitude) = &pair.magnitude {
        check_dim(adapter, linear.name(), "lora_magnitude_vector", magnitude, 0, out_dim)?;
    }
    linear.set_lora(pair)
}

fn fit_embedding(adapter: &Adapter, embedding: &mut Embedding, pair: &LoraPair) -> Result<()> {
    let (vocab_size, hidden_size) = embedding.dims()?;
    check_dim(adapter, super::embedding::NAME, "lora_embedding_A", &pair.a, 1, vocab_size)?;
    check_dim(adapter, super::embedding::NAME, "lora_embedding_B", &pair.b, 0, hidden_size)?;
    embedding.set_lora(pair)
}

fn check_dim(
    adapter: &Adapter,
    module: &str,
    half: &str,
    tensor: &Tensor,
    axis: usize,
    expected: usize,
) -> Result<()> {
    let found = tensor.dim(axis)?;
    if found == expected {
        return Ok(());
    }
    let expected = format!("{expected} as in this model (dimension {axis})");
    Err(Error::field(weights(adapter), format!("{module}.{half}"), expected, found.to_string()))
}
