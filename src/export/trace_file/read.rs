//! A trace file read again, whole and checked: what does not fit together is one sentence.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::trace::{AnswerRows, HiddenStates, Intervened, Receipt, Trace};
use crate::units::{GridThw, Role, Span};

/// Reads a trace that `write` wrote, to the bit.
///
/// # Errors
/// A file that is none, lacks a field, or whose fields do not fit each other.
pub fn read(path: &Path) -> Result<Trace> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::Missing { what: "the trace".to_owned(), path: path.to_owned() }
        }
        _ => Error::io("read the trace", path, e),
    })?;
    let no_trace = |e: &dyn std::fmt::Display| Error::format(path, "the file is no trace", e);
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| no_trace(&e))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| no_trace(&e))?;
    let none = HashMap::new();
    File { path, tensors, metadata: header.metadata().as_ref().unwrap_or(&none) }.trace()
}

struct File<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    metadata: &'a HashMap<String, String>,
}

impl File<'_> {
    fn trace(&self) -> Result<Trace> {
        let input_ids: Vec<u32> = self.integers("input_ids", 1)?.1.into_iter().map(|id| id as u32).collect();
        let n = input_ids.len();
        let roles = self.roles(n)?;
        let (grids, merge_size) = (self.grids()?, self.number("merge_size")?);
        let latents = roles.iter().filter(|role| **role == Role::Latent).count();
        Ok(Trace {
            image_spans: self.spans(&roles, &grids, merge_size)?,
            positions: self.positions(n)?,
            patch_size: self.number("patch_size")?,
            pixel_values: self.floats("pixel_values", &[None, None])?,
            logits: self.floats("logits", &[None, None])?,
            hidden_states: self.hidden_states()?,
            attentions: self.floats("attentions", &[None, None, Some(n), Some(n)])?,
            latent_attentions: self.floats("latent_attentions", &[None, None, Some(latents), Some(n)])?,
            answer_attentions: self.answer_rows(n)?,
            generated: self.json("generated")?,
            generated_logits: self.floats("generated_logits", &[None, None])?,
            choices: self.json("choices")?,
            answer: self.text("answer")?.to_owned(),
            stopped: self.metadata.contains_key("stopped"),
            text: self.text("text")?.to_owned(),
            model: self.text("model")?.to_owned(),
            adapter: self.text("adapter")?.to_owned(),
            condition: self.json("settings")?,
            receipt: self.receipt()?,
            last_state: Vec::new(),
            recording: None,
            interventions: self.interventions()?,
            applied: self.json("applied")?,
            timings: self.json("timings")?,
            input_ids,
            roles,
            grids,
            merge_size,
        })
    }

    /// None in files of runs that nothing was changed in.
    fn interventions(&self) -> Result<Vec<Intervened>> {
        if self.metadata.contains_key("interventions") { self.json("interventions") } else { Ok(Vec::new()) }
    }

    fn receipt(&self) -> Result<Option<Box<Receipt>>> {
        if self.metadata.contains_key("receipt") { self.json("receipt").map(Some) } else { Ok(None) }
    }

    fn wrong(&self, field: &str, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::field(self.path, field, expected, found)
    }

    fn text(&self, field: &str) -> Result<&str> {
        let found = self.metadata.get(field).map(String::as_str);
        found.ok_or_else(|| self.wrong(field, "a text in the metadata", "nothing"))
    }

    fn json<T: DeserializeOwned>(&self, field: &str) -> Result<T> {
        let text = self.text(field)?;
        serde_json::from_str(text)
            .map_err(|e| self.wrong(field, "what this program writes there", e.to_string()))
    }

    /// A number from 1.
    fn number(&self, field: &str) -> Result<usize> {
        let text = self.text(field)?;
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| self.wrong(field, "a number from 1", text))
    }

    /// Shape and values of a tensor of 64-bit integers of so many axes.
    fn integers(&self, name: &str, axes: usize) -> Result<(Vec<usize>, Vec<i64>)> {
        let expected = format!("{axes} axes of I64");
        let Ok(view) = self.tensors.tensor(name) else { return Err(self.wrong(name, expected, "nothing")) };
        if view.dtype() != Dtype::I64 || view.shape().len() != axes {
            return Err(self.wrong(name, expected, format!("{:?} of {:?}", view.dtype(), view.shape())));
        }
        let values =
            view.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().expect("eight")));
        Ok((view.shape().to_vec(), values.collect()))
    }

    /// A tensor of f32, where it is there; axes named have to be as long.
    fn floats(&self, name: &str, axes: &[Option<usize>]) -> Result<Option<Array>> {
        let Ok(view) = self.tensors.tensor(name) else { return Ok(None) };
        let shape = view.shape();
        let fits = shape.len() == axes.len()
            && shape.iter().zip(axes).all(|(size, axis)| axis.is_none_or(|axis| axis == *size));
        if view.dtype() != Dtype::F32 || !fits {
            let axes: Vec<String> =
                axes.iter().map(|axis| axis.map_or_else(|| "any".to_owned(), |n| n.to_string())).collect();
            let expected = format!("F32 of [{}]", axes.join(", "));
            return Err(self.wrong(name, expected, format!("{:?} of {shape:?}", view.dtype())));
        }
        let values =
            view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four")));
        Ok(Some(Array::new(shape, values.collect())))
    }

    fn roles(&self, n: usize) -> Result<Vec<Role>> {
        let codes = self.integers("roles", 1)?.1;
        if codes.len() != n {
            return Err(self.wrong("roles", format!("{n}, as there are input_ids"), codes.len().to_string()));
        }
        let role = |code: &i64| Role::ALL.into_iter().find(|role| role.code() == *code);
        let found: Option<Vec<Role>> = codes.iter().map(role).collect();
        found.ok_or_else(|| self.wrong("roles", "numbers from 0 to 3", "others"))
    }

    fn positions(&self, n: usize) -> Result<Vec<[i64; 3]>> {
        let (shape, values) = self.integers("position_ids", 2)?;
        if shape != [3, n] {
            return Err(self.wrong("position_ids", format!("[3, {n}]"), format!("{shape:?}")));
        }
        Ok((0..n).map(|i| [values[i], values[n + i], values[2 * n + i]]).collect())
    }

    fn grids(&self) -> Result<Vec<GridThw>> {
        let (shape, values) = self.integers("image_grid_thw", 2)?;
        let sizes = values.iter().all(|size| (1..=1 << 20).contains(size));
        if shape[1] != 3 || !sizes {
            return Err(self.wrong("image_grid_thw", "three numbers from 1 an image", format!("{shape:?}")));
        }
        let grid = |own: &[i64]| GridThw { t: own[0] as usize, h: own[1] as usize, w: own[2] as usize };
        Ok(values.chunks_exact(3).map(grid).collect())
    }

    /// Where each image's tokens are: placeholders in their order, as many as its grid says.
    fn spans(&self, roles: &[Role], grids: &[GridThw], merge_size: usize) -> Result<Vec<Span>> {
        let mut visual = roles.iter().enumerate().filter(|(_, role)| **role == Role::Image).map(|(i, _)| i);
        let mut spans = Vec::with_capacity(grids.len());
        for grid in grids {
            let count = grid.num_visual_tokens(merge_size);
            let own: Vec<usize> = visual.by_ref().take(count).collect();
            let start = own.first().copied().unwrap_or_default();
            if count == 0 || own.len() < count || own[count - 1] != start + count - 1 {
                let expected = format!("{count} visual tokens in a row for each grid");
                return Err(self.wrong("roles", expected, own.len().to_string()));
            }
            spans.push(Span { start, end: start + count });
        }
        Ok(spans)
    }

    fn hidden_states(&self) -> Result<Option<HiddenStates>> {
        if self.tensors.tensor("hidden_states").is_err() {
            return Ok(None);
        }
        let (layers, tokens): (Vec<usize>, Vec<usize>) =
            (self.json("hidden_layers")?, self.json("hidden_tokens")?);
        let values = self.floats("hidden_states", &[Some(layers.len()), Some(tokens.len()), None])?;
        Ok(values.map(|values| HiddenStates { layers, tokens, values }))
    }

    /// Rows of the generated tokens, each cut to what was there when it was made.
    fn answer_rows(&self, n: usize) -> Result<Option<AnswerRows>> {
        const NAME: &str = "answer_attentions";
        let Some(padded) = self.floats(NAME, &[None; 4])? else { return Ok(None) };
        let [layers, heads, count, width] = padded.shape() else { unreachable!("four axes") };
        let mut rows = AnswerRows::after(self.floats("answer_attentions_before", &[None, None, Some(n)])?);
        if *count == 0 {
            return Ok(Some(rows));
        }
        if *width != n + count {
            return Err(self.wrong(NAME, format!("rows of {}", n + count), width.to_string()));
        }
        for token in 0..*count {
            let seen = n + token + 1;
            let mut values = Vec::with_capacity(layers * heads * seen);
            for layer in 0..*layers {
                for head in 0..*heads {
                    values.extend_from_slice(&padded.at(&[layer, head, token])[..seen]);
                }
            }
            rows.push(Array::new([*layers, *heads, seen], values));
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::trace_file::write;
    use crate::trace::{ChoiceScore, GeneratedToken};

    fn trace() -> Trace {
        let mut rows = AnswerRows::after(Some(Array::new([1, 1, 4], vec![0.1, 0.2, 0.3, 0.4])));
        rows.push(Array::new([1, 1, 5], vec![0.1, 0.2, 0.3, 0.2, 0.2]));
        let token = GeneratedToken {
            id: 7,
            text: "A".to_owned(),
            logprob: -0.25,
            alternatives: vec![(7, "A".to_owned(), 0.78).into()],
        };
        Trace {
            input_ids: vec![1, 2, 2, 9],
            roles: vec![Role::Prompt, Role::Image, Role::Image, Role::Latent],
            positions: vec![[0; 3], [1, 1, 1], [1, 1, 2], [3; 3]],
            grids: vec![GridThw { t: 1, h: 2, w: 4 }],
            patch_size: 14,
            merge_size: 2,
            image_spans: vec![Span { start: 1, end: 3 }],
            hidden_states: Some(HiddenStates {
                layers: vec![1],
                tokens: vec![3],
                values: Array::new([1, 1, 2], vec![0.5, -1.0]),
            }),
            latent_attentions: Some(Array::new([1, 1, 1, 4], vec![0.1, 0.2, 0.3, 0.4])),
            answer_attentions: Some(rows),
            generated: vec![token],
            choices: vec![ChoiceScore { choice: "A".to_owned(), logprob: -0.25, probability: 1.0 }],
            answer: "A".to_owned(),
            text: "<image>?".to_owned(),
            model: "demo".to_owned(),
            ..Trace::default()
        }
    }

    #[test]
    fn what_is_written_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.safetensors");
        write(&trace(), &path).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", trace()));
    }

    #[test]
    fn what_does_not_fit_is_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.safetensors");
        let problem = |trace: &Trace| {
            write(trace, &path).unwrap();
            read(&path).unwrap_err().to_string()
        };
        let mut short = trace();
        short.roles.pop();
        let unwritten = write(&short, &path).unwrap_err().to_string();
        assert!(unwritten.contains("tensor roles: expected 32 bytes") && !path.exists(), "{unwritten}");
        let mut torn = trace();
        torn.roles[2] = Role::Prompt;
        assert!(problem(&torn).contains("2 visual tokens in a row"), "{}", problem(&torn));
        let mut other = trace();
        other.latent_attentions = Some(Array::zeros(&[1, 1, 1, 3]));
        assert!(problem(&other).contains("latent_attentions"), "{}", problem(&other));
        std::fs::write(&path, b"not one").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("no trace"));
        assert!(read(&dir.path().join("none")).unwrap_err().to_string().contains("the trace"));
    }
}
