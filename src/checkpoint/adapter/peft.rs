//! What PEFT saves: `adapter_config.json` and `adapter_model.safetensors`, in every layout the field uses.
//!
//! A setting that changes what is computed is either followed or refused by name; none is passed over.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use fancy_regex::Regex;

use super::LoraPair;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::json::Json;
use crate::checkpoint::latent_rows::LatentRows;
use crate::checkpoint::names::canonical_name;
use crate::checkpoint::safetensors::{Safetensors, TensorEntry};
use crate::checkpoint::source::WeightSource;
use crate::error::{Error, Result};

pub(super) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// As PEFT saved them before.
const PICKLED: &str = "adapter_model.bin";

/// What was found.
#[derive(Default)]
pub(super) struct Peft {
    pub(super) lora: BTreeMap<String, LoraPair>,
    pub(super) replaced: BTreeMap<String, Tensor>,
    pub(super) replaces_base: bool,
    /// Trained rows of the embedding, of whatever tokens.
    pub(super) token_rows: Option<LatentRows>,
    /// Trained rows of the output, where they are saved apart.
    pub(super) head_rows: Option<LatentRows>,
}

/// The tensors of one module's update.
#[derive(Default)]
struct Halves {
    /// As the model calls the module that was trained, for patterns.
    raw_name: String,
    a: Option<Tensor>,
    b: Option<Tensor>,
    magnitude: Option<Tensor>,
}

/// What a tensor of the file is.
enum Kind {
    A(String),
    B(String),
    Magnitude(String),
    TokenRows,
    HeadRows,
    Replacement(String),
    Unknown,
}

/// Reads an adapter folder's PEFT part; nothing where it has none.
pub(super) fn read(folder: &Folder) -> Result<Peft> {
    if !folder.has(CONFIG) && !folder.has(WEIGHTS) {
        return Ok(Peft::default());
    }
    let config = folder.json(CONFIG)?;
    check_supported(&config)?;
    if !folder.has(WEIGHTS) && folder.has(PICKLED) {
        let what = format!(
            "{WEIGHTS}; the folder has {PICKLED}, a pickle, which must be saved as safetensors first: {WEIGHTS}"
        );
        return Err(Error::Missing { what, path: folder.root().to_owned() });
    }
    let file = Safetensors::open_files(folder, &[WEIGHTS.to_owned()])?;
    let mut found = Peft::default();
    let mut modules: BTreeMap<String, Halves> = BTreeMap::new();
    for (name, entry) in file.entries() {
        // PEFT widens an adapter in half precision when it loads it.
        let read = || file.read(name, &entry.shape, DType::F32, &Device::Cpu);
        // The patch embedding's is a convolution whose kernel is one patch: a matrix, flattened.
        let matrix = || {
            if entry.shape.len() >= 2 {
                return Ok(read()?.flatten_from(1)?);
            }
            let found = format!("shape {:?}", entry.shape);
            Err(Error::field(file.path_of(entry), name, "a matrix", found))
        };
        match kind_of(&config, entry) {
            Kind::A(module) => halves_of(&mut modules, &module).a = Some(matrix()?),
            Kind::B(module) => halves_of(&mut modules, &module).b = Some(matrix()?),
            Kind::Magnitude(module) => halves_of(&mut modules, &module).magnitude = Some(read()?),
            // PEFT stores whole rows here, despite the name; tied models repeat them for the output.
            Kind::TokenRows => found.token_rows = Some(token_rows(&config, "embed_tokens", read()?)?),
            Kind::HeadRows => found.head_rows = Some(token_rows(&config, "lm_head", read()?)?),
            Kind::Replacement(tensor) => {
                found.replaced.insert(tensor, read()?);
            }
            Kind::Unknown => {
                let expected = "LoRA, DoRA, token_adapter or saved modules' weights";
                return Err(Error::field(file.path_of(entry), name, expected, "a tensor of another kind"));
            }
        }
    }
    let saved = config.get("modules_to_save").map_or_else(String::new, ToString::to_string);
    found.replaces_base = !saved.contains("embed_tokens");
    for (module, halves) in modules {
        let pair = pair_of(&config, &module, halves)?;
        found.lora.insert(module, pair);
    }
    Ok(found)
}

fn halves_of<'a>(modules: &'a mut BTreeMap<String, Halves>, module: &str) -> &'a mut Halves {
    let raw_name = unwrapped(module);
    let halves = modules.entry(canonical_name(raw_name)).or_default();
    raw_name.clone_into(&mut halves.raw_name);
    halves
}

fn kind_of(config: &Json, entry: &TensorEntry) -> Kind {
    let key = entry.key.as_str();
    let ends = |tag: &str| -> Option<String> {
        let (module, rest) = key.split_once(tag)?;
        matches!(rest, "" | ".weight" | ".default" | ".default.weight").then(|| module.to_owned())
    };
    if let Some((module, _)) = key.split_once(".token_adapter.trainable_tokens_delta") {
        let is_head = canonical_name(unwrapped(module)) == "lm_head";
        return if is_head { Kind::HeadRows } else { Kind::TokenRows };
    }
    if let Some(module) = ends(".lora_embedding_A").or_else(|| ends(".lora_A")) {
        return Kind::A(module);
    }
    if let Some(module) = ends(".lora_embedding_B").or_else(|| ends(".lora_B")) {
        return Kind::B(module);
    }
    if let Some(module) = ends(".lora_magnitude_vector") {
        return Kind::Magnitude(module);
    }
    // Modules of modules_to_save, and embeddings whose vocabulary grew, stand under their own names.
    let plain = key.replace(".modules_to_save.default.", ".").replace(".base_layer.", ".");
    let raw_name = unwrapped(&plain);
    let name = canonical_name(raw_name);
    let module_of = |name: &str| name.rsplit_once('.').map_or(String::new(), |(module, _)| module.to_owned());
    let (module, raw_module) = (module_of(&name), module_of(raw_name));
    let is_saved = config
        .get("modules_to_save")
        .and_then(|list| list.as_array())
        .is_some_and(|list| list.iter().filter_map(|v| v.as_str()).any(|saved| is_under(&raw_module, saved)));
    let is_end = matches!(module.as_str(), "language_model.embed_tokens" | "lm_head");
    if (is_saved || is_end) && matches!(name.rsplit('.').next(), Some("weight" | "bias")) {
        return Kind::Replacement(name);
    }
    Kind::Unknown
}

/// Does `saved` end the path of a module, or of one that holds it? As PEFT asks: "norm" means every norm.
fn is_under(module: &str, saved: &str) -> bool {
    let ends = module.match_indices('.').map(|(end, _)| &module[..end]).chain([module]);
    ends.into_iter().any(|path| path.ends_with(saved))
}

/// Initialisations that leave the base as it is. The others subtract from it what the update starts with, so
/// that the saved update alone is not the change.
const PLAIN_INITIALISATIONS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// Everything that would change what is computed and is not followed here.
fn check_supported(config: &Json) -> Result<()> {
    if config.string_or("peft_type", "LORA")? != "LORA" {
        return Err(config.wrong("peft_type", "LORA"));
    }
    for flag in ["fan_in_fan_out", "lora_bias", "use_qalora"] {
        if config.flag_or(flag, false)? {
            return Err(config.wrong(flag, "false"));
        }
    }
    if config.string_or("bias", "none")? != "none" {
        return Err(config.wrong("bias", "none"));
    }
    match config.get("init_lora_weights") {
        None | Some(serde_json::Value::Bool(_)) => {}
        Some(value) if value.as_str().is_some_and(|name| PLAIN_INITIALISATIONS.contains(&name)) => {}
        Some(_) => {
            let expected = "an initialisation that leaves the base as it is; \
                            save the adapter with path_initial_model_for_weight_conversion to make it plain LoRA,";
            return Err(config.wrong("init_lora_weights", expected));
        }
    }
    for key in [
        "alora_invocation_tokens",
        "layer_replication",
        "target_parameters",
        "arrow_config",
        "kasa_config",
        "monteclora_config",
        "use_bdlora",
        "velora_config",
    ] {
        let is_set = config.get(key).is_some_and(|value| {
            !matches!(value, serde_json::Value::Bool(false))
                && value.as_array().is_none_or(|list| !list.is_empty())
        });
        if is_set {
            return Err(config.wrong(key, "nothing, since this program does not compute it,"));
        }
    }
    Ok(())
}

/// Module name without PEFT's wrappers, however often it wrapped.
fn unwrapped(key: &str) -> &str {
    let mut rest = key;
    while let Some(inner) =
        rest.strip_prefix("base_model.model.").or_else(|| rest.strip_prefix("base_model."))
    {
        rest = inner;
    }
    rest
}

fn pair_of(config: &Json, module: &str, halves: Halves) -> Result<LoraPair> {
    let weights = || config.path().with_file_name(WEIGHTS);
    let (Some(a), Some(b)) = (halves.a, halves.b) else {
        return Err(Error::Missing {
            what: format!("one half of the LoRA pair of {module}"),
            path: weights(),
        });
    };
    let rank = a.dim(0)?;
    if b.dim(1)? != rank {
        let (expected, found) = (format!("rank {rank} as in lora_A"), b.dim(1)?.to_string());
        return Err(Error::field(weights(), format!("{module}.lora_B"), expected, found));
    }
    let own_rank = pattern(config, "rank_pattern", &halves.raw_name)?;
    let (field, said) = match own_rank {
        Some((key, rank)) => (format!("rank_pattern.{key}"), Some(rank)),
        None => ("r".to_owned(), config.has("r").then(|| config.number("r")).transpose()?),
    };
    if said.is_some_and(|said| said != rank as f64) {
        let expected = format!("{rank}, the rank of {module}");
        return Err(match own_rank {
            Some((_, found)) => Error::field(config.path(), field, expected, found.to_string()),
            None => config.wrong("r", &expected),
        });
    }
    let dora = config.flag_or("use_dora", false)?;
    if dora && halves.magnitude.is_none() {
        return Err(Error::Missing {
            what: format!("the DoRA magnitude (lora_magnitude_vector) of {module}"),
            path: weights(),
        });
    }
    let alpha = match pattern(config, "alpha_pattern", &halves.raw_name)? {
        Some((_, alpha)) => alpha,
        None => config.number("lora_alpha")?,
    };
    // alpha / r (LoRA), alpha / sqrt(r) (rank-stabilised, Kalajdzievski 2023).
    let rank = rank as f64;
    let scale = if config.flag_or("use_rslora", false)? { alpha / rank.sqrt() } else { alpha / rank };
    if dora && module == "language_model.embed_tokens" {
        return Err(config.wrong("use_dora", "false where the embedding is adapted"));
    }
    Ok(LoraPair { a, b, scale, magnitude: halves.magnitude.filter(|_| dora) })
}

/// The entry of `rank_pattern` or `alpha_pattern` for a module: the first whose regular expression fits the end
/// of its name, as PEFT chooses.
fn pattern<'a>(config: &'a Json, field: &str, raw_name: &str) -> Result<Option<(&'a str, f64)>> {
    let entries = config.get(field).and_then(|value| value.as_object());
    for (key, value) in entries.into_iter().flatten() {
        let wrong = |expected: &str, found: String| {
            Error::field(config.path(), format!("{field}.{key}"), expected, found)
        };
        let regex = Regex::new(&format!(r"^(?:(?:.*\.)?(?:{key})$)"))
            .map_err(|e| wrong("a regular expression as key", e.to_string()))?;
        // Names of any layout: the pattern was written for one of them.
        let canonical = canonical_name(raw_name);
        let names = [raw_name.to_owned(), format!("model.{canonical}"), canonical.clone()];
        for name in names {
            if regex.is_match(&name).map_err(|e| wrong("a regular expression as key", e.to_string()))? {
                let number = value.as_f64().ok_or_else(|| wrong("a number", value.to_string()))?;
                return Ok(Some((key, number)));
            }
        }
    }
    Ok(None)
}

/// Trained rows of a module with the ids they stand for: `trainable_token_indices`, a list, or a list for each module.
fn token_rows(config: &Json, module: &str, rows: Tensor) -> Result<LatentRows> {
    const KEY: &str = "trainable_token_indices";
    let token_ids = match config.object(KEY) {
        Some(per_module) => {
            let keys = per_module.value().as_object().map(|map| map.keys().collect::<Vec<_>>());
            let keys = keys.unwrap_or_default();
            // By the end of its path; a list for one module is for both of a tied model.
            let own = keys.iter().find(|key| key.rsplit('.').next() == Some(module)).or(keys.first());
            own.map_or_else(|| Ok(Vec::new()), |key| per_module.ids(key))?
        }
        None => config.ids(KEY)?,
    };
    if token_ids.is_empty() {
        return Err(config.wrong(KEY, "the ids of the trained tokens"));
    }
    let rows = LatentRows { rows, token_ids };
    rows.check_shape(config.path(), KEY)?;
    Ok(rows)
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
            assert_eq!(canonical_name(unwrapped(key)), "language_model.layers.1.self_attn.q_proj");
        }
    }

    #[test]
    fn patterns_are_regular_expressions_on_the_end_of_a_name() {
        let value = serde_json::json!({"alpha_pattern": {
            "layers\\.(0|1)\\.self_attn\\.q_proj": 3, "^model.language_model.layers.2.mlp.up_proj": 5, "v_proj": 7,
            "(?!.*q_proj).*layers.3.*": 9
        }});
        let config = Json::new(value, CONFIG.into());
        let alpha =
            |name: &str| pattern(&config, "alpha_pattern", name).unwrap().map(|(_, alpha)| alpha as i32);
        assert_eq!(alpha("model.language_model.layers.1.self_attn.q_proj"), Some(3));
        assert_eq!(alpha("model.language_model.layers.2.self_attn.q_proj"), None);
        assert_eq!(alpha("model.language_model.layers.2.mlp.up_proj"), Some(5));
        assert_eq!(alpha("model.layers.0.self_attn.v_proj"), Some(7));
        assert_eq!(alpha("model.layers.0.self_attn.vv_proj"), None);
        assert_eq!(alpha("model.layers.3.mlp.up_proj"), Some(9));
        let broken = Json::new(serde_json::json!({"alpha_pattern": {"(": 3}}), CONFIG.into());
        let problem = pattern(&broken, "alpha_pattern", "q_proj").unwrap_err().to_string();
        assert!(problem.contains("alpha_pattern.(: expected a regular expression"), "{problem}");
    }
}
