//! One checkpoint in use: model, processor, adapter, and the visual features of the last images.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;

use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::weights::Weights;
use crate::data::sample::Sample;
use crate::device::{DeviceChoice, DtypeChoice, advice, describe};
use crate::error::Result;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::generate::{Request, run};
use crate::model::layers::Math;
use crate::model::loader::Loader;
use crate::model::vision::VisualFeatures;
use crate::progress::Observer;
use crate::settings::Settings;
use crate::trace::Trace;

/// What to load, and where to.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// The checkpoint.
    pub folder: Folder,
    /// The device.
    pub device: DeviceChoice,
    /// The element type.
    pub dtype: DtypeChoice,
}

/// What the user is told about the model in use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelInfo {
    /// Folder name.
    pub name: String,
    /// Folder.
    pub path: PathBuf,
    /// `model_type`.
    pub family: &'static str,
    /// The adapter's folder name, where one is on.
    pub adapter: Option<String>,
    /// Its folder.
    pub adapter_path: Option<PathBuf>,
    /// Where it runs.
    pub device: String,
    /// A GPU this build cannot use, as advice.
    pub device_advice: Option<String>,
    /// Element type.
    pub dtype: &'static str,
    /// Bytes of its weights on disk.
    pub weight_bytes: usize,
    /// L.
    pub num_layers: usize,
    /// H.
    pub num_heads: usize,
    /// K the model was trained with; 0 for none.
    pub trained_latents: usize,
    /// K there is room for.
    pub max_latents: usize,
}

/// A model in use.
pub struct Session {
    source: ModelSource,
    model: Model,
    processor: Processor,
    adapter: Option<Adapter>,
    weight_bytes: usize,
    device_advice: Option<String>,
    features: Option<(u64, VisualFeatures)>,
}

impl Session {
    /// Reads a checkpoint, weights and all.
    pub fn load(source: ModelSource, observer: &dyn Observer) -> Result<Self> {
        let config = ModelConfig::read(&source.folder)?;
        let processor = Processor::read(&source.folder, &config)?;
        let weights = Weights::open(&source.folder)?;
        let device = source.device.open()?;
        let loader = Loader::from_weights(&weights, source.dtype.resolve(&device), &device, observer);
        let model = Model::load(&loader, &config)?;
        Ok(Self {
            model,
            processor,
            adapter: None,
            weight_bytes: weights.size_bytes(),
            device_advice: advice(&device),
            features: None,
            source,
        })
    }

    /// Puts the adapter of a folder on, or takes the present one off. What fails changes nothing.
    pub fn set_adapter(&mut self, path: Option<&Path>) -> Result<()> {
        let folder = path.map(Folder::open).transpose()?;
        self.set_adapter_folder(folder.as_ref())
    }

    /// The same, from any folder.
    pub fn set_adapter_folder(&mut self, folder: Option<&Folder>) -> Result<()> {
        let adapter = folder.map(Adapter::read_folder).transpose()?;
        let fitted = self.model.set_adapter(adapter.as_ref());
        if let Err(problem) = fitted.and_then(|()| self.processor.set_adapter(adapter.as_ref())) {
            self.model.set_adapter(self.adapter.as_ref())?;
            return Err(problem);
        }
        self.features = None;
        self.adapter = adapter;
        Ok(())
    }

    /// What is in use.
    pub fn info(&self) -> ModelInfo {
        let text = &self.model.config.text;
        ModelInfo {
            name: self.source.folder.name(),
            path: self.source.folder.root().to_owned(),
            family: self.model.config.family.model_type(),
            adapter: self.adapter.as_ref().map(|a| a.name.clone()),
            adapter_path: self.adapter.as_ref().map(|a| a.folder.root().to_owned()),
            device: describe(self.model.device()),
            device_advice: self.device_advice.clone(),
            dtype: self.model.dtype().as_str(),
            weight_bytes: self.weight_bytes,
            num_layers: text.num_layers,
            num_heads: text.num_heads,
            trained_latents: self.processor.latents().trained,
            max_latents: self.processor.latents().token_ids.len(),
        }
    }

    /// The model's processor.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// The device in use.
    pub fn device(&self) -> &Device {
        self.model.device()
    }

    /// Answers a sample.
    pub fn run(&mut self, sample: &Sample, settings: &Settings, observer: &dyn Observer) -> Result<Trace> {
        self.run_with(sample, settings, Math::Fused, observer)
    }

    /// Answers a sample with fused or differentiable operations.
    pub fn run_with(
        &mut self,
        sample: &Sample,
        settings: &Settings,
        math: Math,
        observer: &dyn Observer,
    ) -> Result<Trace> {
        let started = Instant::now();
        let input = self.processor.process(sample, settings.latents, observer)?;
        let input_secs = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let mut vision_secs = 0.0;
        let features = if input.grids.is_empty() {
            None
        } else {
            // Changing the mask or the question leaves the images as they were.
            let mut hasher = DefaultHasher::new();
            bytemuck::cast_slice::<f32, u8>(&input.pixel_values.data).hash(&mut hasher);
            input.grids.hash(&mut hasher);
            math.hash(&mut hasher);
            let key = hasher.finish();
            match &self.features {
                Some((held, features)) if *held == key => Some(features.clone()),
                _ => {
                    let features =
                        self.model.encode_images(&input.pixel_values, &input.grids, math, observer)?;
                    self.features = Some((key, features.clone()));
                    vision_secs = started.elapsed().as_secs_f64();
                    Some(features)
                }
            }
        };
        let request = Request { input, features, choices: &sample.choices, settings, math };
        let mut trace = run(&self.model, &self.processor, request, observer)?;
        trace.timings.input_secs = input_secs;
        trace.timings.vision_secs = vision_secs;
        trace.model = self.source.folder.name();
        trace.adapter = self.adapter.as_ref().map_or_else(String::new, |a| a.name.clone());
        Ok(trace)
    }
}
