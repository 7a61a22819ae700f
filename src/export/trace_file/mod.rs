//! The trace as a safetensors file: every tensor and metadata field the format names, streamed tensor by tensor.

mod read;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::trace::{AnswerRows, Trace};

pub use read::read;

/// A tensor of the file, with what writes its values.
struct Stored<'a> {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Integers(Vec<i64>),
    Floats(&'a [f32]),
    AnswerRows(&'a AnswerRows),
}

impl Values<'_> {
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Self::Integers(values) => out.write_all(bytemuck::cast_slice(values)),
            Self::Floats(values) => out.write_all(bytemuck::cast_slice(values)),
            Self::AnswerRows(rows) => {
                let zeros = vec![0u8; rows.shape()[3] * size_of::<f32>()];
                for (row, padding) in rows.padded_rows() {
                    out.write_all(bytemuck::cast_slice(row))?;
                    out.write_all(&zeros[..padding * size_of::<f32>()])?;
                }
                Ok(())
            }
        }
    }
}

fn floats<'a>(name: &'static str, array: Option<&'a Array>) -> Option<Stored<'a>> {
    let array = array?;
    let values = Values::Floats(array.data());
    Some(Stored { name, dtype: Dtype::F32, shape: array.shape().to_vec(), values })
}

fn integers(name: &'static str, shape: &[usize], values: impl Iterator<Item = i64>) -> Stored<'static> {
    let values = Values::Integers(values.collect());
    Stored { name, dtype: Dtype::I64, shape: shape.to_vec(), values }
}

/// Every tensor there is; what was not captured is left out.
fn tensors(trace: &Trace) -> Vec<Stored<'_>> {
    let num_tokens = trace.input_ids.len();
    let axes = (0..3).flat_map(|axis| trace.positions.iter().map(move |p| p[axis]));
    let grids = trace.grids.iter().flat_map(|g| [g.t as i64, g.h as i64, g.w as i64]);
    let generated = trace.generated.iter().map(|t| i64::from(t.id));
    let hidden = trace.hidden_states.as_ref().map(|hidden| &hidden.values);
    let pixels = trace.pixel_values.as_ref().filter(|_| !trace.grids.is_empty());
    let answer = trace.answer_attentions.as_ref().map(|rows| Stored {
        name: "answer_attentions",
        dtype: Dtype::F32,
        shape: rows.shape().to_vec(),
        values: Values::AnswerRows(rows),
    });
    let facts = [
        integers("generated_ids", &[trace.generated.len()], generated),
        integers("image_grid_thw", &[trace.grids.len(), 3], grids),
        integers("input_ids", &[num_tokens], trace.input_ids.iter().map(|id| i64::from(*id))),
        integers("position_ids", &[3, num_tokens], axes),
        integers("roles", &[num_tokens], trace.roles.iter().map(|role| role.code())),
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

/// Writes a trace; what was not captured is left out.
pub fn write(trace: &Trace, path: &Path) -> Result<()> {
    let (header, tensors) = laid_out(trace).map_err(|problem| bad(path, problem))?;
    crate::atomic::write(path, |out| stream(&header, &tensors, out))
}

/// The same into anything that takes bytes; `path` is for messages.
pub fn write_to(trace: &Trace, path: &Path, out: &mut dyn Write) -> Result<()> {
    let (header, tensors) = laid_out(trace).map_err(|problem| bad(path, problem))?;
    let written = stream(&header, &tensors, out).and_then(|()| out.flush());
    written.map_err(|e| Error::io("write the trace to", path, e))
}

fn bad(path: &Path, problem: String) -> Error {
    Error::format(path, "the trace cannot be written", problem)
}

fn stream(header: &[u8], tensors: &[Stored<'_>], out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header)?;
    tensors.iter().try_for_each(|tensor| tensor.values.write(out))
}

/// The header, and the tensors in the order it names them.
fn laid_out(trace: &Trace) -> Result<(Vec<u8>, Vec<Stored<'_>>), String> {
    let mut metadata = HashMap::from([
        ("text".to_owned(), trace.text.clone()),
        ("answer".to_owned(), trace.answer.clone()),
        ("model".to_owned(), trace.model.clone()),
        ("adapter".to_owned(), trace.adapter.clone()),
        ("settings".to_owned(), json(&trace.settings)),
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
    if let Some(hidden) = &trace.hidden_states {
        metadata.insert("hidden_layers".to_owned(), json(&hidden.layers));
        metadata.insert("hidden_tokens".to_owned(), json(&hidden.tokens));
    }
    let tensors = tensors(trace);
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
        let info =
            TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, end) };
        (tensor.name.to_owned(), info)
    });
    let header = Metadata::new(Some(metadata), infos.collect()).map_err(|e| e.to_string())?;
    let mut header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
    // The format wants the values to begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok((header, tensors))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}
