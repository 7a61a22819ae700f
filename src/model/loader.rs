//! Where a model's tensors come from: a folder, a look at its headers only, or chance.
//!
//! All three build the same model through the same constructors, so that `livr check` and the benchmarks
//! cannot disagree with loading about names and shapes.

use std::cell::{Cell, RefCell};

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::weights::Weights;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};

enum Source<'a> {
    Weights { weights: &'a Weights, observer: &'a dyn Observer, done: Cell<usize> },
    Headers { weights: &'a Weights, problems: RefCell<Vec<Error>> },
    Random,
}

/// Hands tensors to the constructors of the model.
pub struct Loader<'a> {
    source: Source<'a>,
    /// Element type of the model.
    pub dtype: DType,
    /// Where the model is.
    pub device: Device,
}

impl<'a> Loader<'a> {
    /// Reads from files.
    pub fn from_weights(
        weights: &'a Weights,
        dtype: DType,
        device: &Device,
        observer: &'a dyn Observer,
    ) -> Self {
        let source = Source::Weights { weights, observer, done: Cell::new(0) };
        Self { source, dtype, device: device.clone() }
    }

    /// Compares names, shapes and types with the files' headers, reads no value.
    pub fn from_headers(weights: &'a Weights) -> Self {
        let source = Source::Headers { weights, problems: RefCell::default() };
        Self { source, dtype: DType::F32, device: Device::Cpu }
    }

    /// Random weights of the right scale, for benchmarks.
    pub fn random(dtype: DType, device: &Device) -> Self {
        Self { source: Source::Random, dtype, device: device.clone() }
    }

    /// What did not fit, after building from headers.
    pub fn into_problems(self) -> Vec<Error> {
        match self.source {
            Source::Headers { problems, .. } => problems.into_inner(),
            Source::Weights { .. } | Source::Random => Vec::new(),
        }
    }

    /// Is there such a tensor? Random models have every optional one.
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Weights { weights, .. } | Source::Headers { weights, .. } => weights.has(name),
            Source::Random => true,
        }
    }

    /// The tensor of that name and shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.tensor_as(name, shape, shape)
    }

    /// The tensor that has `stored` as its shape in the file, as a tensor of `shape`.
    pub fn tensor_as(&self, name: &str, stored: &[usize], shape: &[usize]) -> Result<Tensor> {
        match &self.source {
            Source::Weights { weights, observer, done } => {
                let total = weights.size_bytes();
                observer.progress(Progress { phase: Phase::Weights, done: done.get(), total })?;
                let tensor = weights.read(name, stored, self.dtype, &self.device)?;
                done.set(done.get() + weights.size_of(name));
                Ok(tensor.reshape(shape)?)
            }
            Source::Headers { weights, problems } => {
                if let Err(problem) = weights.expect(name, stored) {
                    problems.borrow_mut().push(problem);
                }
                // No memory behind it, whatever the shape.
                Ok(Tensor::zeros((), self.dtype, &self.device)?.broadcast_as(shape)?)
            }
            Source::Random => {
                let fan_in: usize = shape.iter().skip(1).product();
                let scale = 1.0 / (fan_in as f64).sqrt();
                let tensor = if shape.len() == 1 {
                    Tensor::ones(shape, self.dtype, &self.device)?
                } else {
                    Tensor::rand(-scale as f32, scale as f32, shape, &self.device)?.to_dtype(self.dtype)?
                };
                Ok(tensor)
            }
        }
    }
}
