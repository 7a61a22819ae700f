//! The trace as a safetensors file: every tensor and metadata field the format names, streamed tensor by tensor.

mod read;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;

use crate::array::Array;
use crate::error::Result;
use crate::tensor_file::{self, Entry};
use crate::trace::{AnswerRows, Trace};

pub use read::read;

fn floats<'a>(name: &'static str, array: Option<&'a Array>) -> Option<Entry<'a>> {
    array.map(|array| Entry::floats(name, array.shape(), array.data()))
}

/// Every tensor there is; what was not captured is left out.
fn tensors(trace: &Trace) -> Vec<Entry<'_>> {
    let num_tokens = trace.input_ids.len();
    let axes = (0..3).flat_map(|axis| trace.positions.iter().map(move |p| p[axis]));
    let grids = trace.grids.iter().flat_map(|g| [g.t as i64, g.h as i64, g.w as i64]);
    let generated = trace.generated.iter().map(|t| i64::from(t.id));
    let hidden = trace.hidden_states.as_ref().map(|hidden| &hidden.values);
    let pixels = trace.pixel_values.as_ref().filter(|_| !trace.grids.is_empty());
    let answer = trace.answer_attentions.as_ref().map(|rows| Entry {
        name: "answer_attentions".to_owned(),
        dtype: Dtype::F32,
        shape: rows.shape().to_vec(),
        values: Box::new(|out| write_rows(rows, out)),
    });
    let facts = [
        Entry::integers("generated_ids", &[trace.generated.len()], generated),
        Entry::integers("image_grid_thw", &[trace.grids.len(), 3], grids),
        Entry::integers("input_ids", &[num_tokens], trace.input_ids.iter().map(|id| i64::from(*id))),
        Entry::integers("position_ids", &[3, num_tokens], axes),
        Entry::integers("roles", &[num_tokens], trace.roles.iter().map(|role| role.code())),
    ];
    let before = trace.answer_attentions.as_ref().and_then(AnswerRows::before);
    let captured = [
        answer,
        floats("answer_attentions_before", before),
        floats("attentions", trace.attentions.as_ref()),
        floats("generated_logits", trace.generated_logits.as_ref()),
        floats("hidden_states", hidden),
        floats("latent_attentions", trace.latent_attentions.as_ref()),
        floats("logits", trace.logits.as_ref()),
        floats("pixel_values", pixels),
    ];
    facts.into_iter().chain(captured.into_iter().flatten()).collect()
}

/// Rows of the answer, each as wide as the last.
fn write_rows(rows: &AnswerRows, out: &mut dyn Write) -> std::io::Result<()> {
    let zeros = vec![0u8; rows.shape()[3] * size_of::<f32>()];
    for (row, padding) in rows.padded_rows() {
        out.write_all(bytemuck::cast_slice(row))?;
        out.write_all(&zeros[..padding * size_of::<f32>()])?;
    }
    Ok(())
}

/// Writes a trace; what was not captured is left out.
///
/// # Errors
/// A place that cannot be written.
pub fn write(trace: &Trace, path: &Path) -> Result<()> {
    tensor_file::write(path, tensors(trace), metadata(trace))
}

/// The same into anything that takes bytes; `path` is for messages.
///
/// # Errors
/// A reader that has gone, a disk that is full.
pub fn write_to(trace: &Trace, path: &Path, out: &mut dyn Write) -> Result<()> {
    tensor_file::write_to(path, tensors(trace), metadata(trace), out)
}

fn metadata(trace: &Trace) -> HashMap<String, String> {
    let mut metadata = HashMap::from([
        ("text".to_owned(), trace.text.clone()),
        ("answer".to_owned(), trace.answer.clone()),
        ("model".to_owned(), trace.model.clone()),
        ("adapter".to_owned(), trace.adapter.clone()),
        ("settings".to_owned(), json(&trace.condition)),
        ("applied".to_owned(), json(&trace.applied)),
        ("timings".to_owned(), json(&trace.timings)),
        ("choices".to_owned(), json(&trace.choices)),
        ("generated".to_owned(), json(&trace.generated)),
        ("patch_size".to_owned(), trace.patch_size.to_string()),
        ("merge_size".to_owned(), trace.merge_size.to_string()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    if trace.stopped {
        metadata.insert("stopped".to_owned(), "true".to_owned());
    }
    if !trace.interventions.is_empty() {
        metadata.insert("interventions".to_owned(), json(&trace.interventions));
    }
    if let Some(receipt) = &trace.receipt {
        metadata.insert("receipt".to_owned(), json(receipt));
    }
    if let Some(hidden) = &trace.hidden_states {
        metadata.insert("hidden_layers".to_owned(), json(&hidden.layers));
        metadata.insert("hidden_tokens".to_owned(), json(&hidden.tokens));
    }
    metadata
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}
