//! A model in use: a base, the adapter on it, and the visual features of the last images.

use std::sync::Arc;

use super::answer::features::{SeenImages, TowerFiles};
use super::answer::{AnswerWatch, Answerer, AskedSample, FromAfar, ModelName};
use super::device;
use super::ids::{BaseId, ModelId, Source};
use super::model_info::ModelInfo;
use super::need::{ModelNeed, RunShape};
use super::opening::Unread;
use crate::ask::{Condition, Keep};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::folder::{Folder, Stamp};
use crate::checkpoint::source::parameters;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::progress::Observer;
use crate::trace::Trace;

/// A checkpoint in memory, without an adapter.
pub struct Base {
    id: BaseId,
    folder: Folder,
    stamp: Stamp,
    model: Model,
    processor: Processor,
    need: ModelNeed,
    weight_bytes: usize,
    parameters: usize,
    device_advice: Option<String>,
}

impl Base {
    /// Reads the values of a checkpoint whose headers were read.
    ///
    /// # Errors
    /// Values that are not finite, a disk that fails, a stop.
    pub fn read(id: BaseId, unread: Unread, observer: &dyn Observer) -> Result<Self> {
        let processor = unread.described.processor()?;
        let model = unread.model(observer)?;
        let not_followed = &processor.generation().not_followed;
        if !not_followed.is_empty() {
            observer.note(&format!(
                "{}: generation_config.json says {}, which is not followed",
                unread.name(),
                not_followed.join(", ")
            ));
        }
        Ok(Self {
            id,
            model,
            processor,
            need: unread.need(unread.precision),
            weight_bytes: unread.source.size_bytes(),
            parameters: parameters(unread.source.as_ref()),
            device_advice: device::advice(&unread.device),
            folder: unread.described.folder,
            stamp: unread.described.stamp,
        })
    }

    /// Folder name.
    pub fn name(&self) -> String {
        self.folder.name()
    }

    /// What its folder was like when it was read.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Memory its weights hold.
    pub fn held_bytes(&self) -> u64 {
        self.need.weights
    }

    fn auto_max_pixels(&self) -> usize {
        auto_max_pixels(&self.model, &self.processor, self.parameters)
    }
}

/// Most pixels of an image unless told otherwise.
///
/// On a CPU so many that a large model reads an image in seconds rather than minutes, the same on every machine:
/// visual tokens times parameters stay below a bound, but for a least number of tokens.
pub fn auto_max_pixels(model: &Model, processor: &Processor, parameters: usize) -> usize {
    const TOKENS_TIMES_PARAMETERS: usize = 1_500_000_000_000;
    const LEAST_TOKENS: usize = 256;
    let images = processor.images();
    if !model.device().is_cpu() {
        return images.max_pixels;
    }
    let tokens = (TOKENS_TIMES_PARAMETERS / parameters.max(1)).max(LEAST_TOKENS);
    let area = (images.patch_size * images.merge_size).pow(2);
    images.max_pixels.min(tokens.saturating_mul(area))
}

/// An adapter as read, with where it came from.
pub struct ReadAdapter {
    /// Its place.
    pub source: Source,
    /// Its folder.
    pub folder: Folder,
    /// What the folder was like when it was read.
    pub stamp: Stamp,
    /// Its content.
    pub adapter: Adapter,
}

impl ReadAdapter {
    /// Reads the adapter of a folder.
    ///
    /// # Errors
    /// A folder without an adapter, files that are damaged or ask for something that is not done here.
    pub fn read(source: Source, folder: &Folder) -> Result<Self> {
        let stamp = folder.stamp();
        Ok(Self { source, stamp, folder: folder.clone(), adapter: Adapter::read_folder(folder)? })
    }
}

/// What is kept of an adapter once it is on.
struct AdapterInUse {
    source: Source,
    name: String,
    folder: Folder,
    stamp: Stamp,
    is_in_tower: bool,
}

/// A model in use. Sessions of one base share its weights.
pub struct OpenModel {
    base: Arc<Base>,
    model: Model,
    processor: Processor,
    adapter: Option<AdapterInUse>,
    seen: SeenImages,
}

impl OpenModel {
    /// A base with an adapter on, or without.
    ///
    /// # Errors
    /// An adapter that does not fit the base: its layers, its sizes, its tokens or its latents.
    pub fn new(base: Arc<Base>, adapter: Option<ReadAdapter>) -> Result<Self> {
        let Some(ReadAdapter { source, folder, stamp, adapter }) = adapter else {
            let (model, processor) = (base.model.clone(), base.processor.clone());
            return Ok(Self { base, model, processor, adapter: None, seen: SeenImages::of_last_call() });
        };
        let adapter = base.processor.sorted(adapter)?;
        let model = base.model.with_adapter(&adapter)?;
        let processor = base.processor.with_adapter(&adapter)?;
        let is_in_tower = adapter.is_in_tower();
        let adapter = Some(AdapterInUse { source, name: adapter.name, folder, stamp, is_in_tower });
        Ok(Self { base, model, processor, adapter, seen: SeenImages::of_last_call() })
    }

    /// What its adapter's folder was like when it was read.
    pub fn adapter_stamp(&self) -> Option<&Stamp> {
        self.adapter.as_ref().map(|adapter| &adapter.stamp)
    }

    /// The SHA-256 of what the base and its adapter were read from.
    ///
    /// # Errors
    /// Files that cannot be read, or have changed since the model was; a stop.
    pub fn digests(&self, observer: &dyn Observer) -> Result<(String, Option<String>)> {
        let digest = |folder: &Folder, stamp: &Stamp| {
            let digest = folder.digest(observer)?;
            if folder.stamp() == *stamp {
                return Ok(digest);
            }
            let expected = "the files the model was read from";
            Err(Error::field(folder.root(), "the folder", expected, "others: they changed since"))
        };
        let base = digest(&self.base.folder, &self.base.stamp)?;
        let adapter = self.adapter.as_ref().map(|own| digest(&own.folder, &own.stamp)).transpose()?;
        Ok((base, adapter))
    }

    /// Lets go of the visual features of the last images.
    pub fn forget_images(&mut self) {
        self.seen.forget();
    }

    /// Its base.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// What the user is told about it.
    pub fn info(&self) -> ModelInfo {
        let (text, base) = (&self.model.config.text, &self.base);
        let adapter = self.adapter.as_ref();
        ModelInfo {
            id: ModelId { base: base.id.clone(), adapter: adapter.map(|adapter| adapter.source.clone()) },
            name: base.name(),
            family: self.model.config.family.model_type(),
            adapter: adapter.map(|adapter| adapter.name.clone()),
            device: device::describe(self.model.device()),
            device_advice: base.device_advice.clone(),
            dtype: self.model.precision().name(),
            quantised: self.model.precision().quantised.is_some(),
            run_shape: RunShape::new(&self.model.config, self.model.precision().dtype),
            weight_bytes: base.weight_bytes,
            num_layers: text.num_layers,
            num_heads: text.num_heads,
            trained_latents: self.processor.latents().trained,
            max_latents: self.processor.latents().token_ids.len(),
            auto_max_pixels: base.auto_max_pixels(),
            checkpoint_max_pixels: self.processor.images().max_pixels,
            repetition_penalty: self.processor.generation().repetition_penalty,
        }
    }

    /// Its processor.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// The model itself.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// It as one that answers; what would keep more than `free_bytes` is refused. Images that `seen` has seen do not go
    /// through the vision tower again; without one, those of the last call do not.
    pub fn answerer<'a>(
        &'a mut self,
        seen: Option<&'a mut SeenImages>,
        free_bytes: Option<u64>,
    ) -> Answerer<'a> {
        // What the features hang on: the base, and an adapter that reaches into its vision tower.
        let in_tower = self.adapter.as_ref().filter(|adapter| adapter.is_in_tower);
        Answerer {
            model: &self.model,
            processor: &self.processor,
            auto_max_pixels: self.base.auto_max_pixels(),
            name: ModelName {
                base: self.base.name(),
                adapter: self.adapter.as_ref().map_or_else(String::new, |adapter| adapter.name.clone()),
            },
            tower: Some(TowerFiles {
                base: &self.base.stamp,
                adapter: in_tower.map(|adapter| &adapter.stamp),
            }),
            seen: seen.unwrap_or(&mut self.seen),
            free_bytes,
        }
    }

    /// Answers one sample.
    ///
    /// # Errors
    /// A sample that cannot be asked so, a stop.
    pub fn run(
        &mut self,
        sample: &Sample,
        condition: &Condition,
        keep: &Keep,
        free_bytes: Option<u64>,
        compute: &Compute<'_>,
    ) -> Result<Trace> {
        self.run_watched(sample, condition, keep, free_bytes, &FromAfar(compute.observer), compute)
    }

    /// The same under somebody who watches the answer grow.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_watched(
        &mut self,
        sample: &Sample,
        condition: &Condition,
        keep: &Keep,
        free_bytes: Option<u64>,
        watch: &dyn AnswerWatch,
        compute: &Compute<'_>,
    ) -> Result<Trace> {
        let asked = AskedSample { sample, id: "", condition, keep };
        let mut traces =
            self.answerer(None, free_bytes).answer_watched(&[asked], watch, compute).map_err(Error::alone)?;
        Ok(traces.remove(0))
    }
}
