//! What training leaves: an adapter folder as PEFT writes it, or a whole checkpoint. A folder appears whole or not
//! at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use serde_json::json;

use super::params::Trained;
use super::recipe::Recipe;
use crate::atomic;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::latent_rows::LatentRows;
use crate::checkpoint::livr::LivrConfig;
use crate::checkpoint::names::published_name;
use crate::checkpoint::safetensors::Safetensors;
use crate::checkpoint::source::WeightSource;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::settings::DtypeChoice;

/// A tensor's values on the host, as little-endian bytes.
pub(super) struct Stored {
    name: String,
    shape: Vec<usize>,
    dtype: safetensors::Dtype,
    bytes: Vec<u8>,
}

impl Stored {
    pub(super) fn floats(name: impl Into<String>, tensor: &Tensor) -> Result<Self> {
        let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Self::of(name, tensor.dims(), &values))
    }

    pub(super) fn of(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.into(), shape: shape.to_vec(), dtype: safetensors::Dtype::F32, bytes }
    }

    /// The same values in a type, rounded to the nearest.
    fn stored_as(mut self, dtype: DtypeChoice) -> Self {
        if dtype == DtypeChoice::Bf16 && self.dtype == safetensors::Dtype::F32 {
            let (values, _) = self.bytes.as_chunks::<4>();
            let narrow = |v: &[u8; 4]| half::bf16::from_f32(f32::from_le_bytes(*v)).to_le_bytes();
            self.bytes = values.iter().flat_map(narrow).collect();
            self.dtype = safetensors::Dtype::BF16;
        }
        self
    }

    fn ids(name: &str, ids: &[u32]) -> Self {
        let bytes = ids.iter().flat_map(|id| i64::from(*id).to_le_bytes()).collect();
        Self { name: name.to_owned(), shape: vec![ids.len()], dtype: safetensors::Dtype::I64, bytes }
    }
}

/// Writes a safetensors file.
pub(super) fn write_tensors(
    path: &Path,
    tensors: &[Stored],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let views = tensors.iter().map(|t| {
        let view =
            TensorView::new(t.dtype, t.shape.clone(), &t.bytes).expect("as many bytes as the shape says");
        (t.name.as_str(), view)
    });
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|e| Error::format(path, "cannot write the tensors", e))?;
    atomic::write(path, |out| out.write_all(&bytes))
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain data serialises");
    atomic::write(path, |out| out.write_all(text.as_bytes()))
}

/// Fills a folder beside its place and then moves it there; what was there goes only after that.
pub(super) fn write_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let beside = |ending: &str| {
        let mut name = folder.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        folder.with_file_name(name)
    };
    let (part, old) = (beside(".part"), beside(".old"));
    clear(&part)?;
    std::fs::create_dir_all(&part).map_err(|e| Error::io("make the folder", &part, e))?;
    fill(&part)?;
    clear(&old)?;
    let renamed =
        |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|e| Error::io("move the folder", from, e));
    if folder.exists() {
        renamed(folder, &old)?;
    }
    renamed(&part, folder)?;
    clear(&old)
}

/// Where a move was cut off, puts back what was there before.
pub fn mend_folder(folder: &Path) -> Result<()> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    let old = folder.with_file_name(name);
    if !folder.exists() && old.exists() {
        std::fs::rename(&old, folder).map_err(|e| Error::io("move the folder", &old, e))?;
    }
    Ok(())
}

fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("remove the folder", folder, e)),
    }
}

/// Writes what was trained as an adapter: `adapter_config.json` and `adapter_model.safetensors` for PEFT,
/// `latent_rows.safetensors` and `livr.json` for the latents. Where the base has `vocab_size` rows for them, PEFT gets
/// the latents' rows too, as trained tokens.
pub fn save_adapter(
    folder: &Path,
    trained: &Trained,
    recipe: &Recipe,
    livr: Option<&LivrConfig>,
    vocab_size: usize,
) -> Result<()> {
    let rows = trained.latent_rows()?;
    write_folder(folder, |dir| {
        let mut tensors: Vec<Stored> = Vec::new();
        for (module, a, b) in trained.lora() {
            let name = format!("base_model.model.{}", published_name(module));
            for (half, values) in [("lora_A", a), ("lora_B", b)] {
                let stored = Stored::floats(format!("{name}.{half}.weight"), values)?;
                tensors.push(stored.stored_as(recipe.store));
            }
        }
        let within = rows.as_ref().filter(|rows| rows.token_ids.iter().all(|id| (*id as usize) < vocab_size));
        if !tensors.is_empty() {
            if let Some(rows) = within {
                let name =
                    "base_model.model.model.language_model.embed_tokens.token_adapter.trainable_tokens_delta";
                // As exact as beside, where this program reads them.
                tensors.push(Stored::floats(name, &rows.rows)?);
            }
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            write_tensors(&dir.join("adapter_model.safetensors"), &tensors, metadata)?;
            write_json(&dir.join("adapter_config.json"), &peft_config(recipe, within))?;
        }
        if let Some(rows) = &rows {
            write_rows(dir, rows)?;
        }
        if let Some(livr) = livr {
            write_json(&dir.join("livr.json"), &serde_json::to_value(livr).expect("plain data serialises"))?;
        }
        Ok(())
    })
}

fn write_rows(dir: &Path, rows: &LatentRows) -> Result<()> {
    let tensors = [Stored::floats("latent_rows", &rows.rows)?, Stored::ids("token_ids", &rows.token_ids)];
    write_tensors(&dir.join("latent_rows.safetensors"), &tensors, HashMap::new())
}

fn peft_config(recipe: &Recipe, rows: Option<&LatentRows>) -> serde_json::Value {
    let lora = &recipe.lora;
    // Only the language model: vision towers have layers of the same last names.
    let modules =
        format!(r"(?:.*\.)?language_model\.layers\.\d+\.(?:self_attn|mlp)\.(?:{})", lora.modules.join("|"));
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": recipe.model,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "trainable_token_indices": rows.map(|rows| json!({ "embed_tokens": rows.token_ids })),
    })
}

/// Files of a checkpoint folder besides weights, tokenizer and config.
const BESIDE: [&str; 7] = [
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "special_tokens_map.json",
];

/// Writes a whole checkpoint in the layout hubs use: the base's tensors with those that were trained in their
/// places, the latents among the embedding's rows.
pub fn save_checkpoint(
    folder: &Path,
    trained: &Trained,
    base: &Folder,
    source: Option<&Safetensors>,
    processor: &Processor,
    livr: Option<&LivrConfig>,
    store: DtypeChoice,
) -> Result<()> {
    write_folder(folder, |dir| {
        let mut tensors: Vec<(String, Stored)> = Vec::new();
        for value in trained.values.iter().filter(|value| value.name != "latent_rows") {
            let stored = Stored::floats(published_name(&value.name), value.var.as_tensor())?;
            tensors.push((value.name.clone(), stored));
        }
        if let Some(source) = source {
            let is_trained = |name: &str| trained.values.iter().any(|value| value.name == name);
            for (name, entry) in source.entries().filter(|(name, _)| !is_trained(name)) {
                let tensor = source.read(name, &entry.shape, DType::F32, &Device::Cpu)?;
                tensors.push((name.to_owned(), Stored::floats(published_name(name), &tensor)?));
            }
        }
        let mut vocabulary = 0;
        if let Some(rows) = trained.latent_rows()? {
            let count = rows.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0);
            for (name, table) in &mut tensors {
                let is_embedding = name == "language_model.embed_tokens.weight";
                if is_embedding || name == "lm_head.weight" {
                    grow(table, count);
                    vocabulary = table.shape[0];
                }
                if is_embedding {
                    put_rows(table, &Stored::floats("rows", &rows.rows)?, &rows.token_ids);
                }
            }
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let tensors: Vec<Stored> = tensors.into_iter().map(|(_, stored)| stored.stored_as(store)).collect();
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        write_tensors(&dir.join("model.safetensors"), &tensors, metadata)?;
        write_json(&dir.join("config.json"), &config_of(base, vocabulary, store)?)?;
        for name in BESIDE {
            if base.has(name) {
                copy(base, name, dir)?;
            }
        }
        let tokenizer = processor.tokenizer_json()?;
        atomic::write(&dir.join("tokenizer.json"), |out| out.write_all(tokenizer.as_bytes()))?;
        match livr {
            Some(livr) => write_json(
                &dir.join("livr.json"),
                &serde_json::to_value(livr).expect("plain data serialises"),
            ),
            None => Ok(()),
        }
    })
}

/// Gives a table, [V, D], at least `count` rows: those it lacks are the mean of the rows there, as transformers adds
/// rows to a vocabulary.
fn grow(table: &mut Stored, count: usize) {
    let (rows, width) = (table.shape[0], table.shape[1]);
    if count <= rows {
        return;
    }
    let mut mean = vec![0f64; width];
    let (values, _) = table.bytes.as_chunks::<4>();
    for (i, value) in values.iter().enumerate() {
        mean[i % width] += f64::from(f32::from_le_bytes(*value)) / rows as f64;
    }
    let row: Vec<u8> = mean.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
    table.bytes.extend(row.repeat(count - rows));
    table.shape[0] = count;
}

/// The base's `config.json`, of the type that the tensors are stored in and with at least so many rows of the
/// vocabulary.
fn config_of(base: &Folder, vocabulary: usize, store: DtypeChoice) -> Result<serde_json::Value> {
    let mut config = base.json("config.json")?.value().clone();
    let dtype = if store == DtypeChoice::Bf16 { "bfloat16" } else { "float32" };
    let fit = |fields: &mut serde_json::Value| {
        if let Some(rows) = fields.get_mut("vocab_size") {
            *rows = json!(rows.as_u64().unwrap_or(0).max(vocabulary as u64));
        }
        for key in ["dtype", "torch_dtype"] {
            if let Some(named) = fields.get_mut(key) {
                *named = json!(dtype);
            }
        }
    };
    // Published configs have these at the top, in the parts, or in both.
    fit(&mut config);
    for part in ["text_config", "vision_config"] {
        if let Some(fields) = config.get_mut(part) {
            fit(fields);
        }
    }
    Ok(config)
}

/// Overwrites rows of a table.
fn put_rows(table: &mut Stored, rows: &Stored, ids: &[u32]) {
    let width = rows.shape[1] * 4;
    for (row, id) in rows.bytes.chunks_exact(width).zip(ids) {
        let start = *id as usize * width;
        table.bytes[start..start + width].copy_from_slice(row);
    }
}

fn copy(base: &Folder, name: &str, dir: &Path) -> Result<()> {
    let bytes = base.bytes(name)?;
    let path: PathBuf = dir.join(name);
    atomic::write(&path, |out| out.write_all(&bytes))
}
