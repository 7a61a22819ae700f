//! What training leaves: an adapter folder as PEFT writes it, or a whole checkpoint. A folder appears whole or not
//! at all.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::Dtype;
use serde_json::json;

use super::params::Trained;
use super::recipe::Recipe;
use crate::ask::DtypeChoice;
use crate::atomic;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::latent_rows::LatentRows;
use crate::checkpoint::livr::LivrConfig;
use crate::checkpoint::names::published_name;
use crate::checkpoint::source::WeightSource;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::tensor_file::{self, Entry};

/// A tensor's values in single precision, on the host.
pub(super) fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)
}

/// A tensor of a file, whose values are made when they are written, rounded to the nearest of the type it is stored in.
fn entry<'a>(
    name: impl Into<String>,
    shape: &[usize],
    store: DtypeChoice,
    values: impl Fn() -> Result<Vec<f32>> + 'a,
) -> Entry<'a> {
    let narrow = store == DtypeChoice::Bf16;
    let write = move |out: &mut dyn Write| {
        let values = values().map_err(std::io::Error::other)?;
        if narrow {
            let narrow: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
            return out.write_all(bytemuck::cast_slice(&narrow));
        }
        out.write_all(bytemuck::cast_slice(&values))
    };
    let dtype = if narrow { Dtype::BF16 } else { Dtype::F32 };
    Entry { name: name.into(), dtype, shape: shape.to_vec(), values: Box::new(write) }
}

/// A tensor as it is trained.
pub(super) fn plain(name: impl Into<String>, tensor: &Tensor) -> Entry<'_> {
    entry(name, tensor.dims(), DtypeChoice::F32, move || values_of(tensor))
}

fn format_of_torch() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
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
///
/// # Errors
/// A folder that cannot be moved.
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
///
/// # Errors
/// A place that cannot be written, a disk that is full.
pub fn save_adapter(
    folder: &Path,
    trained: &Trained,
    recipe: &Recipe,
    livr: Option<&LivrConfig>,
    vocab_size: usize,
) -> Result<()> {
    let rows = trained.latent_rows()?;
    write_folder(folder, |dir| {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for (module, a, b) in trained.lora() {
            let name = format!("base_model.model.{}", published_name(module));
            for (half, tensor) in [("lora_A", a), ("lora_B", b)] {
                let name = format!("{name}.{half}.weight");
                entries.push(entry(name, tensor.dims(), recipe.store, move || values_of(tensor)));
            }
        }
        let within = rows.as_ref().filter(|rows| rows.token_ids.iter().all(|id| (*id as usize) < vocab_size));
        if !entries.is_empty() {
            if let Some(rows) = within {
                let name =
                    "base_model.model.model.language_model.embed_tokens.token_adapter.trainable_tokens_delta";
                // As exact as beside, where this program reads them.
                entries.push(plain(name, &rows.rows));
            }
            tensor_file::write(&dir.join("adapter_model.safetensors"), entries, format_of_torch())?;
            atomic::write_json(&dir.join("adapter_config.json"), &peft_config(recipe, within))?;
        }
        if let Some(rows) = &rows {
            write_rows(dir, rows)?;
        }
        livr.map_or(Ok(()), |livr| atomic::write_json(&dir.join("livr.json"), livr))
    })
}

fn write_rows(dir: &Path, rows: &LatentRows) -> Result<()> {
    let ids = rows.token_ids.iter().map(|id| i64::from(*id));
    let ids = Entry::integers("token_ids", &[rows.token_ids.len()], ids);
    let entries = vec![plain("latent_rows", &rows.rows), ids];
    tensor_file::write(&dir.join("latent_rows.safetensors"), entries, HashMap::new())
}

fn peft_config(recipe: &Recipe, rows: Option<&LatentRows>) -> serde_json::Value {
    let lora = &recipe.lora;
    // Only the language model: vision towers have layers of the same last names.
    let modules =
        format!(r"(?:.*\.)?language_model\.layers\.\d+\.(?:self_attn|mlp)\.(?:{})", lora.modules.join("|"));
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": recipe.model.as_ref().map(|path| path.display().to_string()),
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

/// Tables with a row for each word of the vocabulary.
const EMBEDDING: &str = "language_model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";

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
///
/// # Errors
/// A file or tensor of the base that cannot be read, a place that cannot be written, a disk that is full.
pub fn save_checkpoint(
    folder: &Path,
    trained: &Trained,
    base: &Folder,
    source: Option<&dyn WeightSource>,
    processor: &Processor,
    livr: Option<&LivrConfig>,
    store: DtypeChoice,
) -> Result<()> {
    write_folder(folder, |dir| {
        let is_trained = |name: &str| trained.values.iter().any(|value| value.name == name);
        let mut shapes: BTreeMap<String, Vec<usize>> = trained
            .values
            .iter()
            .filter(|value| value.name != "latent_rows")
            .map(|value| (value.name.clone(), value.var.dims().to_vec()))
            .collect();
        let stored: BTreeMap<&str, &[usize]> = source
            .into_iter()
            .flat_map(WeightSource::tensors)
            .map(|tensor| (tensor.name, tensor.shape))
            .collect();
        for (name, shape) in stored.iter().filter(|(name, _)| !is_trained(name)) {
            shapes.insert((*name).to_owned(), shape.to_vec());
        }
        let rows = trained.latent_rows()?;
        // Tables of the vocabulary have rows for the latents too.
        let is_table = |name: &str| name == EMBEDDING || name == OUTPUT;
        let count = |rows: &LatentRows| rows.token_ids.iter().map(|id| *id as usize + 1).max().unwrap_or(0);
        let mut vocabulary = 0;
        if let Some(rows) = &rows {
            for (_, shape) in shapes.iter_mut().filter(|(name, _)| is_table(name)) {
                shape[0] = shape[0].max(count(rows));
                vocabulary = shape[0];
            }
        }
        let values = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let mut values = if let Some(value) = trained.values.iter().find(|value| value.name == name) {
                values_of(value.var.as_tensor())?
            } else {
                let source = source.expect("what is not trained is the checkpoint's");
                values_of(&source.read(name, stored[name], DType::F32, &Device::Cpu)?)?
            };
            if let (true, Some(rows)) = (is_table(name), &rows) {
                grow(&mut values, shape);
                if name == EMBEDDING {
                    put_rows(&mut values, &values_of(&rows.rows)?, &rows.token_ids, shape[1]);
                }
            }
            Ok(values)
        };
        let entries = shapes
            .iter()
            .map(|(name, shape)| entry(published_name(name), shape, store, || values(name, shape)));
        tensor_file::write(&dir.join("model.safetensors"), entries.collect(), format_of_torch())?;
        atomic::write_json(&dir.join("config.json"), &config_of(base, vocabulary, store)?)?;
        for name in BESIDE {
            if base.has(name) {
                copy(base, name, dir)?;
            }
        }
        let tokenizer = processor.tokenizer_json()?;
        atomic::write(&dir.join("tokenizer.json"), |out| out.write_all(tokenizer.as_bytes()))?;
        livr.map_or(Ok(()), |livr| atomic::write_json(&dir.join("livr.json"), livr))
    })
}

/// Gives a table as many rows as its shape, [V, D], says: those it lacks are the mean of the rows there, as transformers
/// adds rows to a vocabulary.
fn grow(values: &mut Vec<f32>, shape: &[usize]) {
    let width = shape[1];
    let rows = values.len() / width;
    let mut mean = vec![0f64; width];
    for (i, value) in values.iter().enumerate() {
        mean[i % width] += f64::from(*value) / rows as f64;
    }
    let row: Vec<f32> = mean.iter().map(|v| *v as f32).collect();
    values.extend(row.repeat(shape[0].saturating_sub(rows)));
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

/// Overwrites rows of a table of this width.
fn put_rows(table: &mut [f32], rows: &[f32], ids: &[u32], width: usize) {
    for (row, id) in rows.chunks_exact(width).zip(ids) {
        table[*id as usize * width..][..width].copy_from_slice(row);
    }
}

fn copy(base: &Folder, name: &str, dir: &Path) -> Result<()> {
    let bytes = base.bytes(name)?;
    let path: PathBuf = dir.join(name);
    atomic::write(&path, |out| out.write_all(&bytes))
}
