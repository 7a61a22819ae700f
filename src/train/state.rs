//! Where a run stands, in one file that is replaced in one move: a run stopped at any moment, by whatever means, goes
//! on from the last one.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::adamw::{AdamW, Moments};
use super::params::Trained;
use super::save::plain;
use super::trainer::Position;
use crate::atomic::json_line;
use crate::error::{Error, Result};
use crate::tensor_file::{self, Entry};

/// Everything of it that is no tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// The next step.
    pub position: Position,
    /// Updates since the stage began.
    pub updates: usize,
    /// Of the resolved recipe and all data.
    pub fingerprint: String,
    /// Length of the metrics file when this was written.
    pub metrics_bytes: u64,
    /// Share of validation samples answered by the best checkpoint of the last stage.
    pub best: Option<f64>,
}

const KEY: &str = "state";

impl TrainState {
    /// Writes it with all values and moments.
    ///
    /// # Errors
    /// A place that cannot be written, a disk that is full.
    pub fn write(&self, path: &Path, trained: &Trained, adamw: &AdamW) -> Result<()> {
        let mut entries = Vec::new();
        for (value, moments) in trained.values.iter().zip(&adamw.moments) {
            let shape = value.var.dims();
            entries.push(plain(format!("value.{}", value.name), value.var.as_tensor()));
            entries.push(Entry::floats(format!("mean.{}", value.name), shape, &moments.mean));
            entries.push(Entry::floats(format!("square.{}", value.name), shape, &moments.square));
        }
        let text = json_line(self, path)?;
        tensor_file::write(path, entries, HashMap::from([(KEY.to_owned(), text)]))
    }

    /// Reads it back into the values and the optimizer.
    ///
    /// # Errors
    /// A file that is no state, or one of other values.
    pub fn read(path: &Path, trained: &Trained, adamw: &mut AdamW) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                return Error::Missing {
                    what: "the state of a run to resume".to_owned(),
                    path: path.to_owned(),
                };
            }
            Error::io("read the state", path, e)
        })?;
        let bad = |problem: String| Error::format(path, "the state cannot be read", problem);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or_else(|| bad("it is no state of a training run".to_owned()))?;
        let state: Self = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
        let floats = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let view = tensors.tensor(name).map_err(|e| bad(e.to_string()))?;
            if view.shape() != shape || view.dtype() != safetensors::Dtype::F32 {
                let found = format!("{:?} {:?}", view.dtype(), view.shape());
                return Err(Error::field(path, name, format!("F32 {shape:?}"), found));
            }
            Ok(view.data().as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect())
        };
        let mut moments = Vec::new();
        for value in &trained.values {
            let shape = value.var.dims().to_vec();
            let values = floats(&format!("value.{}", value.name), &shape)?;
            value.var.set(&Tensor::from_vec(values, shape.clone(), value.var.device())?)?;
            let mean = floats(&format!("mean.{}", value.name), &shape)?;
            moments.push(Moments { mean, square: floats(&format!("square.{}", value.name), &shape)? });
        }
        adamw.moments = moments;
        adamw.step = state.updates;
        Ok(state)
    }
}
