//! PEFT `LoRA` adapters with latent rows: every layout the field saves, read into one shape.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::folder::{Folder, Json};
use super::latent_rows::{self, LatentRows};
use super::livr::LivrConfig;
use super::weights::{Weights, canonical_name};
use crate::error::{Error, Result};

/// The low-rank update of one linear layer: y += scale * (x Aᵀ) Bᵀ.
#[derive(Debug, Clone)]
pub struct LoraPair {
    /// [r, in].
    pub a: Tensor,
    /// [out, r].
    pub b: Tensor,
    /// alpha / r, or alpha / sqrt(r) for rank-stabilised adapters.
    pub scale: f64,
}

/// An adapter as read, f32 on the CPU, not yet fitted to a model.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// Name of its folder.
    pub name: String,
    /// Where it is.
    pub folder: Folder,
    /// Canonical module name -> its update.
    pub lora: BTreeMap<String, LoraPair>,
    /// Rows of the latent tokens.
    pub latent_rows: Option<LatentRows>,
    /// How the latents are placed; `None` without `livr.json`.
    pub livr: Option<LivrConfig>,
}

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

impl Adapter {
    /// Reads an adapter folder: `LoRA`, latent rows, `livr.json`; at least one of the first two.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_folder(&Folder::open(path)?)
    }

    /// The same, from any folder.
    pub fn read_folder(folder: &Folder) -> Result<Self> {
        let livr = LivrConfig::read(folder)?;
        let mut lora = BTreeMap::new();
        let mut delta = None;
        if folder.has(CONFIG) || folder.has(WEIGHTS) {
            let config = folder.json(CONFIG)?;
            check_supported(&config)?;
            let weights = Weights::open_files(folder, &[WEIGHTS.to_owned()])?;
            (lora, delta) = read_tensors(&config, &weights)?;
        }
        let latent_rows = match (latent_rows::read(folder)?, delta) {
            (Some(rows), _) | (None, Some(rows)) => Some(rows),
            (None, None) => None,
        };
        if lora.is_empty() && latent_rows.is_none() {
            return Err(Error::Missing {
                what: format!("{CONFIG} (or latent_rows.safetensors)"),
                path: folder.root().to_owned(),
            });
        }
        if let (Some(livr), Some(rows)) = (&livr, &latent_rows)
            && livr.num_latents != rows.len()
        {
            return Err(Error::field(
                folder.path("livr.json"),
                "num_latents",
                format!("{}, the number of latent rows", rows.len()),
                livr.num_latents.to_string(),
            ));
        }
        Ok(Self { name: folder.name(), folder: folder.clone(), lora, latent_rows, livr })
    }

    /// K, the latents this adapter was trained with.
    pub fn num_latents(&self) -> usize {
        self.latent_rows.as_ref().map_or(0, LatentRows::len)
    }
}

fn check_supported(config: &Json) -> Result<()> {
    if config.string_or("peft_type", "LORA")? != "LORA" {
        return Err(config.wrong("peft_type", "LORA"));
    }
    for flag in ["use_dora", "fan_in_fan_out", "lora_bias"] {
        if config.flag_or(flag, false)? {
            return Err(config.wrong(flag, "false"));
        }
    }
    if config.string_or("bias", "none")? != "none" {
        return Err(config.wrong("bias", "none"));
    }
    Ok(())
}

/// Module name without PEFT's wrappers, however often it wrapped.
fn module_name(key: &str) -> String {
    let mut rest = key;
    while let Some(inner) =
        rest.strip_prefix("base_model.model.").or_else(|| rest.strip_prefix("base_model."))
    {
        rest = inner;
    }
    canonical_name(rest)
}

type Tensors = (BTreeMap<String, LoraPair>, Option<LatentRows>);

fn read_tensors(config: &Json, weights: &Weights) -> Result<Tensors> {
    let mut halves: BTreeMap<String, [Option<Tensor>; 2]> = BTreeMap::new();
    let mut delta = None;
    for (name, entry) in weights.entries() {
        let read = || weights.read(name, &entry.shape, DType::F32, &Device::Cpu);
        let module_and_half = [".lora_A", ".lora_B"].iter().enumerate().find_map(|(half, tag)| {
            let (module, rest) = name.split_once(tag)?;
            matches!(rest, ".weight" | ".default.weight").then(|| (module_name(module), half))
        });
        if let Some((module, half)) = module_and_half {
            if entry.shape.len() != 2 {
                return Err(Error::field(
                    weights.path_of(entry),
                    name,
                    "a matrix",
                    format!("shape {:?}", entry.shape),
                ));
            }
            halves.entry(module).or_default()[half] = Some(read()?);
        } else if name.contains("token_adapter.trainable_tokens_delta") {
            // PEFT stores whole rows here, despite the name; tied models repeat them for the output.
            if module_name(name).contains("embed_tokens") || delta.is_none() {
                delta = Some(LatentRows { rows: read()?, token_ids: trainable_ids(config)? });
            }
        } else {
            return Err(Error::field(
                weights.path_of(entry),
                name,
                "lora_A, lora_B or token_adapter weights",
                "a tensor of another kind",
            ));
        }
    }
    if let Some(rows) = &delta {
        rows.check(config.path(), "trainable_token_indices")?;
    }
    let alphas = alpha_pattern(config, &halves.keys().collect::<Vec<_>>())?;
    let mut lora = BTreeMap::new();
    for (module, [a, b]) in halves {
        let (Some(a), Some(b)) = (a, b) else {
            return Err(Error::Missing {
                what: format!("one half of the LoRA pair of {module}"),
                path: config.path().with_file_name(WEIGHTS),
            });
        };
        let rank = a.dim(0)?;
        if b.dim(1)? != rank {
            return Err(Error::field(
                config.path().with_file_name(WEIGHTS),
                format!("{module}.lora_B"),
                format!("rank {rank} as in lora_A"),
                b.dim(1)?.to_string(),
            ));
        }
        let ranks = config.get("rank_pattern").and_then(|ranks| ranks.as_object());
        let patterned = ranks.is_some_and(|ranks| !ranks.is_empty());
        if !patterned && config.has("r") && config.size("r")? != rank {
            return Err(config.wrong("r", &format!("{rank}, the rank of {module}")));
        }
        let scale = lora_scale(config, &alphas, &module, rank)?;
        lora.insert(module, LoraPair { a, b, scale });
    }
    Ok((lora, delta))
}

/// `alpha_pattern`, module name (or its end) -> alpha. PEFT takes regular expressions too; those, and names
/// that fit no module, are refused rather than passed over.
fn alpha_pattern(config: &Json, modules: &[&String]) -> Result<Vec<(String, f64)>> {
    let Some(pattern) = config.object("alpha_pattern") else { return Ok(Vec::new()) };
    let keys = config.get("alpha_pattern").and_then(|v| v.as_object()).into_iter().flat_map(|o| o.keys());
    keys.map(|key| {
        let plain = key.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
        let name = canonical_name(&plain);
        if !modules.iter().any(|module| fits(module, &name)) {
            return Err(pattern.wrong(key, "the name of a module of this adapter as key"));
        }
        Ok((name, pattern.number(key)?))
    })
    .collect()
}

fn fits(module: &str, name: &str) -> bool {
    module == name || module.ends_with(&format!(".{name}"))
}

/// alpha / r (`LoRA`), alpha / sqrt(r) (rank-stabilised), with per-module alphas.
fn lora_scale(config: &Json, alphas: &[(String, f64)], module: &str, rank: usize) -> Result<f64> {
    let own = alphas.iter().find(|(name, _)| fits(module, name));
    let alpha = match own {
        Some((_, alpha)) => *alpha,
        None => config.number("lora_alpha")?,
    };
    let rank = rank as f64;
    Ok(if config.flag_or("use_rslora", false)? { alpha / rank.sqrt() } else { alpha / rank })
}

/// `trainable_token_indices`: a list, or a list per embedding.
fn trainable_ids(config: &Json) -> Result<Vec<u32>> {
    const KEY: &str = "trainable_token_indices";
    if let Some(per_module) = config.object(KEY) {
        let first = config.get(KEY).and_then(|v| v.as_object()).and_then(|o| o.keys().next().cloned());
        return per_module.ids(&first.unwrap_or_default());
    }
    let ids = config.ids(KEY)?;
    if ids.is_empty() { Err(config.wrong(KEY, "the ids of the trained tokens")) } else { Ok(ids) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_and_prefixes_fall_away() {
        for key in [
            "base_model.model.model.language_model.layers.1.self_attn.q_proj",
            "base_model.model.base_model.model.model.language_model.layers.1.self_attn.q_proj",
            "base_model.model.model.layers.1.self_attn.q_proj",
            "base_model.model.language_model.layers.1.self_attn.q_proj",
            "base_model.model.layers.1.self_attn.q_proj",
        ] {
            assert_eq!(module_name(key), "language_model.layers.1.self_attn.q_proj");
        }
    }
}
