//! A model in use: a base, the adapter on it, and the visual features of the last images.

use std::sync::Arc;
use std::time::Instant;

use super::device;
use super::features::{SeenImages, TowerFiles, image_key};
use super::ids::{BaseId, ModelId, Source};
use super::model_info::ModelInfo;
use super::need::{ModelNeed, RunShape};
use super::run::{Job, run};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::folder::{Folder, Stamp};
use crate::checkpoint::safetensors::{Safetensors, TensorEntry};
use crate::checkpoint::source::WeightSource;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::model::loader::{Headers, Loader};
use crate::model::vision::VisualFeatures;
use crate::ops::weight::Precision;
use crate::progress::{Observer, Unobserved};
use crate::settings::{PixelBudget, Settings};
use crate::trace::Trace;

/// What a checkpoint is, read before its weights are.
pub struct Unread {
    id: BaseId,
    folder: Folder,
    stamp: Stamp,
    config: ModelConfig,
    source: Safetensors,
    device: candle_core::Device,
    precision: Precision,
}

impl Unread {
    /// Reads config and headers.
    pub fn open(id: &BaseId, folder: Folder) -> Result<Self> {
        let stamp = folder.stamp();
        let config = ModelConfig::read(&folder)?;
        let source = Safetensors::open(&folder)?;
        let device = device::open(id.device)?;
        let precision = device::resolve(id.dtype, &device, source.stored_dtype())?;
        Ok(Self { id: id.clone(), folder, stamp, config, source, device, precision })
    }

    /// Folder name.
    pub fn name(&self) -> String {
        self.folder.name()
    }

    /// `model_type`.
    pub fn family(&self) -> &'static str {
        self.config.family.model_type()
    }

    /// Bytes of its weights on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.source.size_bytes() as u64
    }

    /// What it will compute in, and how it will hold its weights.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Does it live in the memory of the machine, rather than of a GPU?
    pub fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// Memory it takes in a precision.
    pub fn need(&self, precision: Precision) -> ModelNeed {
        ModelNeed::new(&self.config, &self.source, precision)
    }

    /// Looks for what would fail after minutes of reading: files, names, shapes and types of base and adapter,
    /// but no value.
    pub fn check(&self, adapter: Option<&Adapter>) -> Result<()> {
        let processor = Processor::read(&self.folder, &self.config)?;
        let headers = Headers::new(&self.source);
        let model =
            Model::load(&Loader::new(&headers, self.precision, &self.device, &Unobserved), &self.config)?;
        if let Some(adapter) = adapter {
            let adapter = processor.sorted(adapter.clone())?;
            model.with_adapter(&adapter.shapes_only())?;
            processor.with_adapter(&adapter)?;
        }
        headers.into_problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Reads all of it.
    pub fn load(self, observer: &dyn Observer) -> Result<Base> {
        let processor = Processor::read(&self.folder, &self.config)?;
        let loader = Loader::new(&self.source, self.precision, &self.device, observer);
        let model = Model::load(&loader, &self.config)?;
        let not_followed = &processor.generation().not_followed;
        if !not_followed.is_empty() {
            observer.note(&format!(
                "{}: generation_config.json says {}, which is not followed",
                self.folder.name(),
                not_followed.join(", ")
            ));
        }
        let parameters = parameters(&self.source);
        Ok(Base {
            need: ModelNeed::new(&self.config, &self.source, self.precision),
            weight_bytes: self.source.size_bytes(),
            parameters,
            device_advice: device::advice(&self.device),
            id: self.id,
            folder: self.folder,
            stamp: self.stamp,
            model,
            processor,
        })
    }
}

/// Values of all tensors.
pub fn parameters(source: &Safetensors) -> usize {
    source.entries().map(|(_, entry): (_, &TensorEntry)| entry.count()).sum()
}

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
    features: Option<(u64, VisualFeatures)>,
}

impl OpenModel {
    /// A base with an adapter on, or without.
    pub fn new(base: Arc<Base>, adapter: Option<ReadAdapter>) -> Result<Self> {
        let Some(ReadAdapter { source, folder, stamp, adapter }) = adapter else {
            let (model, processor) = (base.model.clone(), base.processor.clone());
            return Ok(Self { base, model, processor, adapter: None, features: None });
        };
        let adapter = base.processor.sorted(adapter)?;
        let model = base.model.with_adapter(&adapter)?;
        let processor = base.processor.with_adapter(&adapter)?;
        let is_in_tower = adapter.is_in_tower();
        let adapter = Some(AdapterInUse { source, name: adapter.name, folder, stamp, is_in_tower });
        Ok(Self { base, model, processor, adapter, features: None })
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
        self.features = None;
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

    /// Answers a sample; what would keep more than `free_bytes` is refused.
    pub fn run(
        &mut self,
        sample: &Sample,
        settings: &Settings,
        free_bytes: Option<u64>,
        compute: &Compute<'_>,
    ) -> Result<Trace> {
        let (input, input_secs) = timed(|| self.process(sample, settings, compute))?;
        let started = Instant::now();
        let (features, made) = self.visual_features(&input, compute)?;
        let vision_secs = if made { started.elapsed().as_secs_f64() } else { 0.0 };
        let mut traces =
            self.answer(&[sample], vec![input], vec![features], settings, free_bytes, compute)?;
        let mut trace = traces.remove(0);
        (trace.timings.input_secs, trace.timings.vision_secs) = (input_secs, vision_secs);
        Ok(trace)
    }

    /// Answers several samples in the same passes: one matrix product for all of them, attention within each.
    /// Times of a trace are those of all samples together.
    pub fn run_many(
        &mut self,
        samples: &[&Sample],
        settings: &Settings,
        free_bytes: Option<u64>,
        compute: &Compute<'_>,
    ) -> Result<Vec<Trace>> {
        self.run_many_seen(samples, settings, free_bytes, &mut SeenImages::none(), compute)
    }

    /// The same, where images seen before do not go through the vision tower again.
    pub fn run_many_seen(
        &mut self,
        samples: &[&Sample],
        settings: &Settings,
        free_bytes: Option<u64>,
        seen: &mut SeenImages,
        compute: &Compute<'_>,
    ) -> Result<Vec<Trace>> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        // What is wrong with the settings is not wrong with the first sample.
        self.max_pixels(settings)?;
        let process = |(i, sample): (usize, &&Sample)| {
            self.process(sample, settings, compute).map_err(|e| e.of_index(i))
        };
        let (inputs, input_secs) =
            timed(|| samples.iter().enumerate().map(process).collect::<Result<Vec<_>>>())?;
        let (features, vision_secs) = timed(|| seen.features(&self.model, self.tower(), &inputs, compute))?;
        let mut traces = self.answer(samples, inputs, features, settings, free_bytes, compute)?;
        for trace in &mut traces {
            (trace.timings.input_secs, trace.timings.vision_secs) = (input_secs, vision_secs);
        }
        Ok(traces)
    }

    /// What the visual features of an image hang on: the base, and an adapter that reaches into its vision tower.
    fn tower(&self) -> TowerFiles<'_> {
        let own = self.adapter.as_ref().filter(|adapter| adapter.is_in_tower);
        TowerFiles { base: &self.base.stamp, adapter: own.map(|adapter| &adapter.stamp) }
    }

    fn max_pixels(&self, settings: &Settings) -> Result<usize> {
        let max_pixels = match settings.max_pixels {
            PixelBudget::Auto => self.base.auto_max_pixels(),
            PixelBudget::Checkpoint => self.processor.images().max_pixels,
            PixelBudget::Pixels(n) => n,
        };
        let least = (self.processor.images().patch_size * self.processor.images().merge_size).pow(2);
        if max_pixels < least {
            return Err(Error::Request(format!(
                "max-pixels: expected at least {least}, one visual token, found {max_pixels}"
            )));
        }
        Ok(max_pixels)
    }

    fn process(&self, sample: &Sample, settings: &Settings, compute: &Compute<'_>) -> Result<ModelInput> {
        self.processor.process(sample, settings.latents, self.max_pixels(settings)?, compute.observer)
    }

    fn answer(
        &self,
        samples: &[&Sample],
        inputs: Vec<ModelInput>,
        features: Vec<Option<VisualFeatures>>,
        settings: &Settings,
        free_bytes: Option<u64>,
        compute: &Compute<'_>,
    ) -> Result<Vec<Trace>> {
        let (mut jobs, mut pixels) = (Vec::new(), Vec::new());
        for ((sample, mut input), features) in samples.iter().zip(inputs).zip(features) {
            // The tower has read them; only a trace that was asked for them still needs them.
            let own = std::mem::take(&mut input.pixel_values);
            pixels.push(settings.capture.pixels.then_some(own));
            jobs.push(Job { input, features, choices: &sample.choices, settings });
        }
        let free_bytes = free_bytes.filter(|_| self.model.device().is_cpu());
        let mut traces = run(&self.model, &self.processor, jobs, free_bytes, compute)?;
        let max_pixels = self.max_pixels(settings)?;
        for (trace, pixels) in traces.iter_mut().zip(pixels) {
            trace.pixel_values = pixels;
            trace.applied.max_pixels = max_pixels;
            trace.model = self.base.name();
            trace.adapter = self.adapter.as_ref().map_or_else(String::new, |adapter| adapter.name.clone());
        }
        Ok(traces)
    }

    /// The features of the input's images, and whether they had to be made: changing the mask or the question
    /// leaves the images as they were.
    fn visual_features(
        &mut self,
        input: &ModelInput,
        compute: &Compute<'_>,
    ) -> Result<(Option<VisualFeatures>, bool)> {
        if input.grids.is_empty() {
            return Ok((None, false));
        }
        let key = image_key(input, self.tower(), compute);
        if let Some((held, features)) = &self.features
            && *held == key
        {
            return Ok((Some(features.clone()), false));
        }
        let features = self.model.encode_images(&input.pixel_values, &input.grids, compute)?;
        self.features = Some((key, features.clone()));
        Ok((Some(features), true))
    }
}

/// A result and the seconds it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let started = Instant::now();
    Ok((work()?, started.elapsed().as_secs_f64()))
}
