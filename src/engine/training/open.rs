//! Opens what a recipe names: the model with what is trained on it, and the data.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Var};
use sha2::{Digest, Sha256};

use super::super::need::{ModelNeed, StepNeed};
use super::super::opening::Described;
use super::super::session::auto_max_pixels;
use super::super::{demo, device};
use crate::ask::{DeviceChoice, DtypeChoice, LatentChoice};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::livr::LivrConfig;
use crate::checkpoint::source::{WeightSource, parameters};
use crate::data::dataset;
use crate::data::record::Record;
use crate::digest;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::memory;
use crate::model::Model;
use crate::model::informed::{Heads, Informed};
use crate::model::loader::{Random, Variables};
use crate::ops::weight::Precision;
use crate::progress::{Observer, Unobserved};
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
    described: Described,
    source: Option<Box<dyn WeightSource>>,
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
        let described = Described::open(folder)?;
        check_layers(&recipe, &described.config)?;
        // A folder of random weights has none of its own.
        let source = match recipe.random_weights {
            Some(_) => None,
            None => Some(described.weights()?),
        };
        let device = device::open(choice)?;
        let precision = precision(&recipe, &device, source.as_deref())?;
        if let Some(source) = &source {
            check_memory(&described, source.as_ref(), precision, &recipe)?;
        }
        let mut processor = described.processor()?;
        let begin = begin.map(|adapter| to_begin_from(&processor, adapter)).transpose()?;
        let livr = latents(&recipe);
        if let Some(livr) = &livr {
            processor = processor.with_latents(livr)?;
        }
        let selects = selects(&recipe);
        let random = recipe.random_weights.map(|seed| Random {
            seed,
            informed: recipe.informed_weights.then(|| informed(&described.config)),
        });
        let all: &dyn WeightSource = match (&source, &random) {
            (Some(source), _) => source.as_ref(),
            (None, random) => random.as_ref().expect("weights of a checkpoint, or random ones"),
        };
        let variables = Variables::new(all, &selects);
        let model = described.model(&variables, precision, &device, observer)?;
        let weights = variables.into_vars();
        let num_parameters = match &source {
            Some(source) => parameters(source.as_ref()),
            None => weights.iter().map(|(_, var)| var.elem_count()).sum(),
        };
        let max_pixels = recipe.data.max_pixels;
        let max_pixels = max_pixels.unwrap_or_else(|| auto_max_pixels(&model, &processor, num_parameters));
        Ok(Self {
            max_pixels: check_pixels(&recipe, &processor, max_pixels)?,
            longest_answer: longest(&processor, &train, &validation)?,
            model_hash: hash_of_model(&described.folder, source.as_deref(), observer)?,
            begun: Some(Beginning { model, weights, records: train }),
            recipe,
            processor,
            validation,
            data_hash,
            device,
            precision,
            described,
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
        self.check_step(&records, &trained)?;
        let limit = match self.recipe.data.cache_mib {
            Some(mib) => mib << 20,
            None => memory::free_bytes().map_or(1 << 30, |free| free / 2),
        };
        let examples = Examples::new(records, &self.processor, &self.recipe, self.max_pixels, limit)?;
        Ok(Trainer::new(self.recipe.clone(), model, trained, examples))
    }

    /// Refuses a batch whose way back would not fit beside the model, by the longest of the first samples of each task.
    fn check_step(&self, records: &[Record], trained: &Trained) -> Result<()> {
        let Some(free) = memory::free_bytes().filter(|_| self.device.is_cpu()) else { return Ok(()) };
        let latents = if self.livr.is_some() { LatentChoice::Auto } else { LatentChoice::Off };
        let mut longest = 0;
        for record in dataset::per_task(records.to_vec(), 1) {
            let sample = self.asked(&record)?;
            let input = self.processor.process(&sample, latents, self.max_pixels, &Unobserved)?;
            longest = longest.max(input.num_tokens() + self.longest_answer);
        }
        let batch = self.recipe.optimizer.batch_size;
        let low_rank = !matches!(self.recipe.updates, Some(Updates::Full | Updates::Everything));
        let need = StepNeed::new(
            &self.described.config.text,
            batch.saturating_mul(longest),
            trained.num_values(),
            low_rank,
        )
        .total();
        if need <= free {
            return Ok(());
        }
        Err(Error::Request(format!(
            "optimizer.batch_size: a batch of {batch} with {longest} tokens each takes {} beside the model, {} are free: take \
             fewer at once (accumulation makes up for it), or smaller images (data.max_pixels)",
            human_bytes(need),
            human_bytes(free)
        )))
    }

    /// Writes what was trained as it is after a stage.
    pub(super) fn save(&self, folder: &std::path::Path, trained: &Trained, stage: usize) -> Result<()> {
        let livr = self.livr.clone().map(|livr| LivrConfig { stage: Some(stage.min(2) as u8), ..livr });
        if self.makes_checkpoints() {
            let source = self.source.as_deref();
            return save_checkpoint(
                folder,
                trained,
                &self.described.folder,
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
        self.described.folder.name()
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

fn precision(recipe: &Recipe, device: &Device, source: Option<&dyn WeightSource>) -> Result<Precision> {
    let trains_weights = matches!(recipe.updates, Some(Updates::Full | Updates::Everything));
    if trains_weights {
        // Updates of a small rate would be lost in sixteen bits.
        let mixed = recipe.dtype == DtypeChoice::Bf16 && device.is_cpu();
        return Ok(Precision { mixed, ..DType::F32.into() });
    }
    device::resolve(recipe.dtype, device, source.map_or(DType::F32, WeightSource::stored_dtype))
}

fn check_memory(
    described: &Described,
    source: &dyn WeightSource,
    precision: Precision,
    recipe: &Recipe,
) -> Result<()> {
    let need = ModelNeed::new(&described.config, source, precision);
    // Weights that are trained have a gradient and two moments each.
    let copies = if matches!(recipe.updates, Some(Updates::Full | Updates::Everything)) { 4 } else { 1 };
    let total = need.total() + need.weights * (copies - 1);
    match memory::free_bytes() {
        Some(free) if total > free => Err(Error::Request(format!(
            "training {} needs {}, {} are free: train low-rank updates (updates = \"lora\") or a smaller model",
            described.folder.name(),
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
fn hash_of_model(
    folder: &Folder,
    source: Option<&dyn WeightSource>,
    observer: &dyn Observer,
) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(folder.bytes("config.json")?);
    let Some(source) = source else { return Ok(digest::finished(hash)) };
    for (tensor, bytes) in source.tensors().iter().zip(source.digests(observer)?) {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        let (name, shape, dtype) = (tensor.name, shape.join(", "), &tensor.dtype);
        hash.update(format!("{name} [{shape}] {dtype} {bytes}\0"));
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
