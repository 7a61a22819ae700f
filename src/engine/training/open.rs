//! Opens what a recipe names: the model with what is trained on it, and the data.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Var};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::super::need::ModelNeed;
use super::super::session::{auto_max_pixels, parameters};
use super::super::{demo, device};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::livr::LivrConfig;
use crate::checkpoint::safetensors::{Safetensors, TensorEntry};
use crate::checkpoint::source::WeightSource;
use crate::data::record::Record;
use crate::digest;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::memory;
use crate::model::Model;
use crate::model::informed::{Heads, Informed};
use crate::model::loader::{Loader, Random, Variables};
use crate::ops::weight::Precision;
use crate::progress::Observer;
use crate::settings::{DeviceChoice, DtypeChoice};
use crate::train::{
    Examples, Recipe, Trained, Trainer, Updates, read_records, save_adapter, save_checkpoint,
};
use crate::units::human_bytes;

/// What the trainer takes over.
struct Beginning {
    model: Model,
    weights: Vec<(String, Var)>,
    records: Vec<Record>,
}

/// A recipe with everything it needs.
pub(super) struct OpenedRun {
    pub(super) recipe: Recipe,
    pub(super) processor: Processor,
    pub(super) validation: Vec<Record>,
    pub(super) max_pixels: usize,
    /// Tokens of the longest answer.
    pub(super) longest_answer: usize,
    /// Of all data.
    pub(super) data_hash: String,
    /// Of the checkpoint's config and tensors.
    pub(super) model_hash: String,
    pub(super) device: Device,
    pub(super) precision: Precision,
    folder: Folder,
    source: Option<Safetensors>,
    livr: Option<LivrConfig>,
    begin: Option<Adapter>,
    /// Until the trainer takes them.
    begun: Option<Beginning>,
}

impl OpenedRun {
    pub(super) fn open(recipe: &Recipe, choice: DeviceChoice, observer: &dyn Observer) -> Result<Self> {
        let (train, validation) = read_records(recipe)?;
        let tasks: BTreeSet<&str> = train.iter().map(|record| record.task.as_str()).collect();
        let recipe = recipe.resolved(tasks.len());
        let data_hash = hash_of_data(&train, &validation, observer)?;

        check_groups(&recipe, &train)?;
        let folder = recipe.model.as_ref().map_or_else(|| Ok(demo::model()), Folder::open)?;
        let begin = recipe.adapter.as_deref().map(Adapter::read).transpose()?;
        let config = ModelConfig::read(&folder)?;
        check_layers(&recipe, &config)?;
        // A folder of random weights has none of its own.
        let source = match recipe.random_weights {
            Some(_) => None,
            None => Some(Safetensors::open(&folder)?),
        };
        let device = device::open(choice)?;
        let precision = precision(&recipe, &device, source.as_ref())?;
        if let Some(source) = &source {
            check_memory(&folder, &config, source, precision, &recipe)?;
        }
        let mut processor = Processor::read(&folder, &config)?;
        let begin = begin.map(|adapter| to_begin_from(&processor, adapter)).transpose()?;
        let livr = latents(&recipe);
        if let Some(livr) = &livr {
            processor = processor.with_latents(livr)?;
        }
        let selects = selects(&recipe);
        let random = recipe
            .random_weights
            .map(|seed| Random { seed, informed: recipe.informed_weights.then(|| informed(&config)) });
        let all: &dyn WeightSource = match (&source, &random) {
            (Some(source), _) => source,
            (None, random) => random.as_ref().expect("weights of a checkpoint, or random ones"),
        };
        let variables = Variables::new(all, &selects);
        let model = Model::load(&Loader::new(&variables, precision, &device, observer), &config)?;
        let weights = variables.into_vars();
        let num_parameters = match &source {
            Some(source) => parameters(source),
            None => weights.iter().map(|(_, var)| var.elem_count()).sum(),
        };
        let max_pixels = recipe.data.max_pixels;
        let max_pixels = max_pixels.unwrap_or_else(|| auto_max_pixels(&model, &processor, num_parameters));
        Ok(Self {
            max_pixels: check_pixels(&recipe, &processor, max_pixels)?,
            longest_answer: longest(&processor, &train, &validation)?,
            model_hash: hash_of_model(&folder, source.as_ref(), observer)?,
            begun: Some(Beginning { model, weights, records: train }),
            recipe,
            processor,
            validation,
            data_hash,
            device,
            precision,
            folder,
            source,
            livr,
            begin,
        })
    }

    /// The trainer, once.
    pub(super) fn trainer(&mut self) -> Result<Trainer> {
        let Beginning { mut model, weights, records } = self.begun.take().expect("taken once");
        let token_ids = if self.livr.is_some() { &self.processor.latents().token_ids[..] } else { &[] };
        let trained = Trained::attach(&mut model, &self.recipe, token_ids, weights, self.begin.as_ref())?;
        let limit = match self.recipe.data.cache_mib {
            Some(mib) => mib << 20,
            None => memory::free_bytes().map_or(1 << 30, |free| free / 2),
        };
        let examples = Examples::new(records, &self.processor, &self.recipe, self.max_pixels, limit)?;
        Ok(Trainer::new(self.recipe.clone(), model, trained, examples))
    }

    /// Writes what was trained as it is after a stage.
    pub(super) fn save(&self, folder: &std::path::Path, trained: &Trained, stage: usize) -> Result<()> {
        let livr = self.livr.clone().map(|livr| LivrConfig { stage: Some(stage.min(2) as u8), ..livr });
        if self.makes_checkpoints() {
            let source = self.source.as_ref();
            return save_checkpoint(
                folder,
                trained,
                &self.folder,
                source,
                &self.processor,
                livr.as_ref(),
                self.recipe.store,
            );
        }
        save_adapter(folder, trained, &self.recipe, livr.as_ref(), self.processor.vocab_size())
    }

    /// Name of the base.
    pub(super) fn base_name(&self) -> String {
        self.folder.name()
    }
}

/// The heads of a model, for weights that know of them.
fn informed(config: &ModelConfig) -> Informed {
    let (text, vision) = (&config.text, &config.vision);
    Informed {
        text: Heads { num_heads: text.num_heads, num_kv_heads: text.num_kv_heads, head_dim: text.head_dim },
        vision: Heads {
            num_heads: vision.num_heads,
            num_kv_heads: vision.num_heads,
            head_dim: vision.hidden_size / vision.num_heads,
        },
        tied: text.tied != Some(false),
    }
}

fn precision(recipe: &Recipe, device: &Device, source: Option<&Safetensors>) -> Result<Precision> {
    let trains_weights = matches!(recipe.updates, Some(Updates::Full | Updates::Everything));
    if trains_weights {
        // Updates of a small rate would be lost in sixteen bits.
        let mixed = recipe.dtype == DtypeChoice::Bf16 && device.is_cpu();
        return Ok(Precision { mixed, ..DType::F32.into() });
    }
    device::resolve(recipe.dtype, device, source.map_or(DType::F32, Safetensors::stored_dtype))
}

fn check_memory(
    folder: &Folder,
    config: &ModelConfig,
    source: &Safetensors,
    precision: Precision,
    recipe: &Recipe,
) -> Result<()> {
    let need = ModelNeed::new(config, source, precision);
    // Weights that are trained have a gradient and two moments each.
    let copies = if matches!(recipe.updates, Some(Updates::Full | Updates::Everything)) { 4 } else { 1 };
    let total = need.total() + need.weights * (copies - 1);
    match memory::free_bytes() {
        Some(free) if total > free => Err(Error::Request(format!(
            "training {} needs {}, {} are free: train low-rank updates (updates = \"lora\") or a smaller model",
            folder.name(),
            human_bytes(total),
            human_bytes(free)
        ))),
        _ => Ok(()),
    }
}

fn latents(recipe: &Recipe) -> Option<LivrConfig> {
    let options = &recipe.latents;
    (options.count > 0).then(|| LivrConfig {
        placement: options.placement,
        separator: options.separator.clone(),
        ..LivrConfig::default_for(options.count)
    })
}

fn selects(recipe: &Recipe) -> impl Fn(&str) -> bool + use<> {
    let updates = recipe.updates;
    move |name| match updates {
        Some(Updates::Everything) => true,
        Some(Updates::Full) => !name.starts_with("visual."),
        _ => false,
    }
}

fn check_pixels(recipe: &Recipe, processor: &Processor, max_pixels: usize) -> Result<usize> {
    let least = (processor.images().patch_size * processor.images().merge_size).pow(2);
    if max_pixels >= least {
        return Ok(max_pixels);
    }
    let path = recipe.data.train[0].clone();
    let expected = format!("at least {least}, one visual token");
    Err(Error::field(path, "data.max_pixels", expected, max_pixels.to_string()))
}

fn longest(processor: &Processor, train: &[Record], validation: &[Record]) -> Result<usize> {
    let mut longest = 1;
    for record in train.iter().chain(validation) {
        let named = |e: Error| Error::Request(format!("the answer of sample {:?}: {e}", record.id));
        longest = longest.max(processor.answer(&record.target).map_err(named)?.len());
    }
    Ok(longest)
}

/// An adapter as the processor knows its rows; of latents only, since no others are trained on.
fn to_begin_from(processor: &Processor, adapter: Adapter) -> Result<Adapter> {
    let adapter = processor.sorted(adapter)?;
    if adapter.token_rows.is_none() && adapter.head_rows.is_none() {
        return Ok(adapter);
    }
    let (expected, found) =
        ("low-rank updates and rows of latents", "rows of other tokens, which are not trained on");
    Err(Error::field(adapter.folder.root(), "the adapter to begin from", expected, found))
}

/// Of all that is learned from.
fn hash_of_data(train: &[Record], validation: &[Record], observer: &dyn Observer) -> Result<String> {
    let mut hash = Sha256::new();
    for (i, record) in train.iter().chain(validation).enumerate() {
        if i % 64 == 0 {
            observer.check()?;
        }
        hash.update([u8::from(i < train.len())]);
        record.hash_into(&mut hash)?;
    }
    Ok(digest::finished(hash))
}

/// Of the config and of every tensor.
fn hash_of_model(folder: &Folder, source: Option<&Safetensors>, observer: &dyn Observer) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(folder.bytes("config.json")?);
    let Some(source) = source else { return Ok(digest::finished(hash)) };
    let entries: Vec<_> = source.entries().collect();
    let line = |(name, entry): &(&str, &TensorEntry)| {
        let (bytes, _) = source.raw(name)?.expect("one of its entries");
        let shape: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
        let (shape, dtype) = (shape.join(", "), entry.dtype);
        Ok(format!("{name} [{shape}] {dtype} {}\0", digest::of_bytes(&bytes)))
    };
    for some in entries.chunks(rayon::current_num_threads()) {
        observer.check()?;
        for line in some.par_iter().map(line).collect::<Result<Vec<_>>>()? {
            hash.update(line);
        }
    }
    Ok(digest::finished(hash))
}

/// Words are learned of groups that the data has.
fn check_groups(recipe: &Recipe, train: &[Record]) -> Result<()> {
    let groups = &recipe.grounding;
    let has_words =
        |group: &&String| train.iter().any(|record| record.grounding.words_of(group).next().is_some());
    match groups.tower.iter().chain(&groups.model).find(|group| !has_words(group)) {
        Some(group) => Err(Error::Request(format!(
            "grounding: expected groups that the training data has words of, found {group:?}"
        ))),
        None => Ok(()),
    }
}

/// After layers that there are.
fn check_layers(recipe: &Recipe, config: &ModelConfig) -> Result<()> {
    let (groups, layers) = (&recipe.grounding, config.text.num_layers);
    match groups.layers.values().chain(&groups.layer).find(|layer| **layer >= layers) {
        Some(layer) => Err(Error::Request(format!(
            "grounding.layer: expected a decoder layer below {layers}, found {layer}"
        ))),
        None => Ok(()),
    }
}
