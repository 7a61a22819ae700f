//! The trace as a safetensors file: every tensor and metadata field the format names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, View};

use crate::error::{Error, Result};
use crate::trace::{Array, Trace};

struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn floats(array: &Array) -> Stored<'_> {
    Stored {
        dtype: Dtype::F32,
        shape: array.shape.clone(),
        bytes: Cow::Borrowed(bytemuck::cast_slice(&array.data)),
    }
}

fn integers(shape: &[usize], values: impl Iterator<Item = i64>) -> Stored<'static> {
    let bytes: Vec<u8> = values.flat_map(i64::to_le_bytes).collect();
    Stored { dtype: Dtype::I64, shape: shape.to_vec(), bytes: Cow::Owned(bytes) }
}

/// Writes a trace; what was not captured is left out.
pub fn write(trace: &Trace, path: &Path) -> Result<()> {
    let num_tokens = trace.input_ids.len();
    let axes = (0..3).flat_map(|axis| trace.positions.iter().map(move |p| p[axis]));
    let grids = trace.grids.iter().flat_map(|g| [g.t as i64, g.h as i64, g.w as i64]);
    let mut tensors: Vec<(&str, Stored<'_>)> = vec![
        ("input_ids", integers(&[num_tokens], trace.input_ids.iter().map(|id| i64::from(*id)))),
        ("roles", integers(&[num_tokens], trace.roles.iter().map(|role| role.code()))),
        ("position_ids", integers(&[3, num_tokens], axes)),
        ("image_grid_thw", integers(&[trace.grids.len(), 3], grids)),
        ("logits", floats(&trace.logits)),
        (
            "generated_ids",
            integers(&[trace.generated.len()], trace.generated.iter().map(|t| i64::from(t.id))),
        ),
        ("generated_logits", floats(&trace.generated_logits)),
    ];
    if !trace.grids.is_empty() {
        tensors.push(("pixel_values", floats(&trace.pixel_values)));
    }
    for (name, array) in [
        ("hidden_states", &trace.hidden_states),
        ("attentions", &trace.attentions),
        ("latent_attentions", &trace.latent_attentions),
        ("answer_attentions", &trace.answer_attentions),
    ] {
        if let Some(array) = array {
            tensors.push((name, floats(array)));
        }
    }
    let metadata = HashMap::from([
        ("text".to_owned(), trace.text.clone()),
        ("answer".to_owned(), trace.answer.clone()),
        ("model".to_owned(), trace.model.clone()),
        ("adapter".to_owned(), trace.adapter.clone()),
        ("settings".to_owned(), json(&trace.settings)),
        ("timings".to_owned(), json(&trace.timings)),
        ("choices".to_owned(), json(&trace.choices)),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|e| Error::format(path, "the trace cannot be written", e))?;
    super::atomic::write(path, |out| out.write_all(&bytes))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}
