//! Opening a checkpoint, in stages that each caller takes as far as it wants: what it is, its weights' headers, what it would
//! take, whether it fits together, and then its values.

use candle_core::Device;

use super::device;
use super::need::ModelNeed;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::checkpoint::adapter::Adapter;
use crate::checkpoint::config::ModelConfig;
use crate::checkpoint::folder::{Folder, Stamp};
use crate::checkpoint::safetensors::Safetensors;
use crate::checkpoint::source::WeightSource;
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::loader::{Headers, Loader};
use crate::ops::weight::Precision;
use crate::progress::{Observer, Unobserved};

/// The first stage: what a folder's config says.
#[derive(Debug, Clone)]
pub struct Described {
    /// The folder.
    pub folder: Folder,
    /// What it was like when it was read.
    pub stamp: Stamp,
    /// `config.json`.
    pub config: ModelConfig,
}

impl Described {
    /// Reads the config.
    ///
    /// # Errors
    /// A config that is not there, or of another model.
    pub fn open(folder: Folder) -> Result<Self> {
        let stamp = folder.stamp();
        let config = ModelConfig::read(&folder)?;
        Ok(Self { folder, stamp, config })
    }

    /// Reads the headers of its weights, in whatever format they lie.
    ///
    /// # Errors
    /// Files that are not there or damaged.
    pub fn weights(&self) -> Result<Box<dyn WeightSource>> {
        weights(&self.folder)
    }

    /// Reads what prepares samples.
    ///
    /// # Errors
    /// Files that are not there or damaged.
    pub fn processor(&self) -> Result<Processor> {
        Processor::read(&self.folder, &self.config)
    }

    /// Builds the model of a source's weights.
    ///
    /// # Errors
    /// A tensor that is not there or of another shape, values that are not finite, a stop.
    pub fn model(
        &self,
        source: &dyn WeightSource,
        precision: Precision,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<Model> {
        Model::load(&Loader::new(source, precision, device, observer), &self.config)
    }

    /// Builds the model without a value, to see whether names, shapes and types fit; and what does not.
    ///
    /// # Errors
    /// A config that no model can be made of.
    pub fn empty_model(
        &self,
        source: &dyn WeightSource,
        precision: Precision,
        device: &Device,
    ) -> Result<(Model, Vec<Error>)> {
        let headers = Headers::new(source);
        let model = self.model(&headers, precision, device, &Unobserved)?;
        Ok((model, headers.into_problems()))
    }
}

/// The headers of a folder's weights, in whatever format they lie.
///
/// # Errors
/// Files that are not there or damaged.
pub fn weights(folder: &Folder) -> Result<Box<dyn WeightSource>> {
    Ok(Box::new(Safetensors::open(folder)?))
}

/// The second stage: where and in what type it will be held, before a value is read.
pub struct Unread {
    /// What it is.
    pub described: Described,
    /// Its weights.
    pub source: Box<dyn WeightSource>,
    /// Where it will be.
    pub device: Device,
    /// What it will compute in, and how it will hold its weights.
    pub precision: Precision,
}

impl Unread {
    /// Reads config and headers.
    ///
    /// # Errors
    /// What is missing or damaged; a device that is not there.
    pub fn open(folder: Folder, device: DeviceChoice, dtype: DtypeChoice) -> Result<Self> {
        let described = Described::open(folder)?;
        let source = described.weights()?;
        let device = device::open(device)?;
        let precision = device::resolve(dtype, &device, source.stored_dtype())?;
        Ok(Self { described, source, device, precision })
    }

    /// Folder name.
    pub fn name(&self) -> String {
        self.described.folder.name()
    }

    /// `model_type`.
    pub fn family(&self) -> &'static str {
        self.described.config.family.model_type()
    }

    /// Bytes of its weights on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.source.size_bytes() as u64
    }

    /// Does it live in the memory of the machine, rather than of a GPU?
    pub fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// Memory it takes in a precision.
    pub fn need(&self, precision: Precision) -> ModelNeed {
        ModelNeed::new(&self.described.config, self.source.as_ref(), precision)
    }

    /// Looks for what would fail after minutes of reading: files, names, shapes and types of base and adapter,
    /// but no value.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, adapter: Option<&Adapter>) -> Result<()> {
        let processor = self.described.processor()?;
        let (model, problems) =
            self.described.empty_model(self.source.as_ref(), self.precision, &self.device)?;
        if let Some(adapter) = adapter {
            let adapter = processor.sorted(adapter.clone())?;
            model.with_adapter(&adapter.shapes_only())?;
            processor.with_adapter(&adapter)?;
        }
        problems.into_iter().next().map_or(Ok(()), Err)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Values that are not finite, a disk that fails, a stop.
    pub fn model(&self, observer: &dyn Observer) -> Result<Model> {
        self.described.model(self.source.as_ref(), self.precision, &self.device, observer)
    }
}
