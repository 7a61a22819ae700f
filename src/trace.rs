//! What a run leaves: plain numbers on the host, for the screen, for probes and for files.

use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::settings::Settings;
use crate::units::{GridThw, HeadIdx, LayerIdx, Role, Span};

/// JSON has no infinity: nothing stands for the logarithm of nothing.
fn number_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NEG_INFINITY))
}

/// A generated token with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedToken {
    /// Vocabulary id.
    pub id: u32,
    /// As text; special tokens by name.
    pub text: String,
    /// Natural log of its probability under the model: before penalty, temperature, top-k and nucleus.
    #[serde(deserialize_with = "number_or_none")]
    pub logprob: f32,
    /// The likeliest tokens at this place, best first: id, text, probability.
    pub alternatives: Vec<(u32, String, f32)>,
}

/// How likely one of the offered answers is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// The answer.
    pub choice: String,
    /// Log-probability of its tokens after the prompt.
    #[serde(deserialize_with = "number_or_none")]
    pub logprob: f32,
    /// Share among the offered answers: softmax of the log-probabilities.
    pub probability: f32,
}

/// Seconds by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Decoding, resizing and cutting images; rendering and tokenising the prompt.
    pub input_secs: f64,
    /// The vision tower; 0 where its features were still at hand.
    pub vision_secs: f64,
    /// The decoder over the prompt.
    pub prompt_secs: f64,
    /// Generated tokens.
    pub answer_secs: f64,
    /// Scoring the choices.
    pub choices_secs: f64,
}

impl Timings {
    /// All stages.
    pub fn total_secs(&self) -> f64 {
        self.input_secs + self.vision_secs + self.prompt_secs + self.answer_secs + self.choices_secs
    }
}

/// What the automatic settings came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Repetition penalty; `None` where none was applied.
    pub repetition_penalty: Option<f32>,
    /// Most likely tokens sampled among; `None` for all, and in greedy decoding.
    pub top_k: Option<usize>,
    /// Share of probability sampled among; `None` for all, and in greedy decoding.
    pub top_p: Option<f32>,
    /// Most pixels of an image.
    pub max_pixels: usize,
}

/// Hidden states of some tokens at some places of the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenStates {
    /// [l]: 0 is the embedding, i + 1 the output of layer i, L after the final norm.
    pub layers: Vec<usize>,
    /// [t]: positions in the prompt.
    pub tokens: Vec<usize>,
    /// [l, t, D].
    pub values: Array,
}

/// Attention rows of the generated tokens; each is as long as the sequence was when it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerRows {
    /// [L, H, N] of the last prompt token, which says the first of the answer.
    before: Option<Array>,
    /// Per generated token [L, H, N + i + 1].
    tokens: Vec<Array>,
}

impl AnswerRows {
    /// None yet, after a prompt whose last token had these rows, [L, H, N].
    pub fn after(before: Option<Array>) -> Self {
        Self { before, tokens: Vec::new() }
    }

    /// Those of the last prompt token, [L, H, N]; none in files of versions that did not keep them.
    pub fn before(&self) -> Option<&Array> {
        self.before.as_ref()
    }

    /// Adds the rows of the next token, [L, H, S].
    pub fn push(&mut self, rows: Array) {
        assert_eq!(rows.shape().len(), 3, "rows of one token are [L, H, S]");
        self.tokens.push(rows);
    }

    /// G.
    pub fn num_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// [L, H, G, N + G], what the rows are where zeros stand for keys that were not there yet.
    pub fn shape(&self) -> [usize; 4] {
        self.tokens.last().map_or([0; 4], |last| {
            let shape = last.shape();
            [shape[0], shape[1], self.tokens.len(), shape[2]]
        })
    }

    /// The row of a token in one head, over the N + token + 1 keys it saw.
    pub fn row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        Some(self.tokens.get(token)?.at(&[layer.0, head.0]))
    }

    /// The row that a token was said from, over the N + token keys before it: that of the last prompt token for the first,
    /// else that of the token before.
    pub fn saying(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        match token.checked_sub(1) {
            None => Some(self.before.as_ref()?.at(&[layer.0, head.0])),
            Some(before) => self.row(layer, head, before),
        }
    }

    /// Rows in the order of [`Self::shape`], each with the number of zeros that follow it.
    pub fn padded_rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let [layers, heads, tokens, width] = self.shape();
        (0..layers * heads * tokens).map(move |i| {
            let (layer, head) = (i / tokens / heads, i / tokens % heads);
            let row = self.tokens[i % tokens].at(&[layer, head]);
            (row, width - row.len())
        })
    }

    /// As one array, [L, H, G, N + G].
    pub fn to_array(&self) -> Array {
        let mut data = Vec::with_capacity(self.shape().iter().product());
        for (row, zeros) in self.padded_rows() {
            data.extend_from_slice(row);
            data.resize(data.len() + zeros, 0.0);
        }
        Array::new(self.shape(), data)
    }
}

/// One run of a model on a sample under settings. N prompt tokens with latents, G generated, L layers,
/// H heads, K latents, D hidden size, V vocabulary, I images.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// [N], after placeholder expansion and latents.
    pub input_ids: Vec<u32>,
    /// [N].
    pub roles: Vec<Role>,
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// [I], in patches, before merging.
    pub grids: Vec<GridThw>,
    /// Pixels on a side of a patch.
    pub patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// Where each image's tokens are, [I].
    pub image_spans: Vec<Span>,
    /// [patches, C*T*P*P] where asked for.
    pub pixel_values: Option<Array>,
    /// [N, V], or [1, V] of the last prompt position, where asked for.
    pub logits: Option<Array>,
    /// Hidden states where asked for.
    pub hidden_states: Option<HiddenStates>,
    /// [L, H, N, N] where asked for.
    pub attentions: Option<Array>,
    /// [L, H, K, N] where there are latents and rows were kept.
    pub latent_attentions: Option<Array>,
    /// Rows of the generated tokens where rows were kept.
    pub answer_attentions: Option<AnswerRows>,
    /// [G].
    pub generated: Vec<GeneratedToken>,
    /// [G, V] where asked for: the model's scores, before penalty, temperature, top-k and nucleus.
    pub generated_logits: Option<Array>,
    /// The offered answers, in their order.
    pub choices: Vec<ChoiceScore>,
    /// The generated text without special tokens.
    pub answer: String,
    /// Was the answer stopped before its end?
    pub stopped: bool,
    /// The rendered prompt.
    pub text: String,
    /// The model's folder name.
    pub model: String,
    /// The adapter's folder name, or nothing.
    pub adapter: String,
    /// What the run was asked for.
    pub settings: Settings,
    /// What its automatic settings came to.
    pub applied: Applied,
    /// Seconds by stage.
    pub timings: Timings,
}

impl Trace {
    /// Who answered: "Qwen2.5-VL-3B-Instruct + livr-counting".
    pub fn model_name(&self) -> String {
        if self.adapter.is_empty() {
            self.model.clone()
        } else {
            format!("{} + {}", self.model, self.adapter)
        }
    }

    /// Positions with a role, ascending.
    pub fn positions_of(&self, role: Role) -> impl Iterator<Item = usize> {
        self.roles.iter().enumerate().filter(move |(_, r)| **r == role).map(|(i, _)| i)
    }

    /// K.
    pub fn num_latents(&self) -> usize {
        self.positions_of(Role::Latent).count()
    }

    /// L and H of the kept rows; zeros where none were kept.
    pub fn attention_dims(&self) -> (usize, usize) {
        match (&self.latent_attentions, &self.answer_attentions) {
            (Some(rows), _) => (rows.shape()[0], rows.shape()[1]),
            (None, Some(rows)) => match &rows.before {
                Some(before) => (before.shape()[0], before.shape()[1]),
                None => (rows.shape()[0], rows.shape()[1]),
            },
            (None, None) => (0, 0),
        }
    }

    /// Bytes of all that was captured, nearly.
    pub fn captured_bytes(&self) -> usize {
        let arrays = [
            &self.pixel_values,
            &self.logits,
            &self.attentions,
            &self.latent_attentions,
            &self.generated_logits,
        ];
        let arrays = arrays.into_iter().flatten();
        let states = self.hidden_states.iter().map(|states| &states.values);
        let answer = self.answer_attentions.iter().flat_map(|rows| rows.tokens.iter().chain(&rows.before));
        let values: usize = arrays.chain(states).chain(answer).map(|array| array.data().len()).sum();
        values * size_of::<f32>()
    }

    /// The same with nothing but the answer and what it was made of.
    #[must_use]
    pub fn without_captures(&self) -> Self {
        let none = Self::default();
        // Not cloned only to be thrown away.
        Self {
            input_ids: self.input_ids.clone(),
            roles: self.roles.clone(),
            positions: self.positions.clone(),
            grids: self.grids.clone(),
            image_spans: self.image_spans.clone(),
            generated: self.generated.clone(),
            choices: self.choices.clone(),
            answer: self.answer.clone(),
            stopped: self.stopped,
            text: self.text.clone(),
            model: self.model.clone(),
            adapter: self.adapter.clone(),
            settings: self.settings.clone(),
            patch_size: self.patch_size,
            merge_size: self.merge_size,
            applied: self.applied,
            timings: self.timings,
            ..none
        }
    }

    /// What maps of the latents are made of, and nothing else that was captured.
    #[must_use]
    pub fn with_latent_rows_alone(&self) -> Self {
        Self { latent_attentions: self.latent_attentions.clone(), ..self.without_captures() }
    }

    /// Attention probabilities of latent `latent` over the N prompt tokens.
    pub fn latent_row(&self, layer: LayerIdx, head: HeadIdx, latent: usize) -> Option<&[f32]> {
        let rows = self.latent_attentions.as_ref().filter(|rows| latent < rows.shape()[2])?;
        Some(rows.at(&[layer.0, head.0, latent]))
    }

    /// Attention probabilities of generated token `token` over the tokens up to itself.
    pub fn answer_row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        self.answer_attentions.as_ref()?.row(layer, head, token)
    }

    /// Attention probabilities that generated token `token` was said from, see [`AnswerRows::saying`].
    pub fn saying_row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        self.answer_attentions.as_ref()?.saying(layer, head, token)
    }

    /// Height and width in pixels at which an image was read.
    pub fn read_size(&self, image: usize) -> (usize, usize) {
        let grid = self.grids[image];
        (grid.h * self.patch_size, grid.w * self.patch_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_rows_are_padded_with_zeros() {
        let mut rows = AnswerRows::after(Some(Array::new([1, 2, 1], vec![1.0, 0.75])));
        rows.push(Array::new([1, 2, 2], vec![0.5, 0.5, 1.0, 0.0]));
        rows.push(Array::new([1, 2, 3], vec![0.2, 0.3, 0.5, 0.1, 0.1, 0.8]));
        let all = rows.to_array();
        assert_eq!(all.shape(), [1, 2, 2, 3]);
        assert_eq!(all.at(&[0, 1, 0]), [1.0, 0.0, 0.0]);
        assert_eq!(all.at(&[0, 0, 1]), [0.2, 0.3, 0.5]);
        assert_eq!(rows.row(LayerIdx(0), HeadIdx(1), 0), Some([1.0, 0.0].as_slice()));
        assert_eq!(rows.row(LayerIdx(0), HeadIdx(1), 2), None);
        let said = |token| rows.saying(LayerIdx(0), HeadIdx(1), token);
        assert_eq!(said(0), Some([0.75].as_slice()));
        assert_eq!(said(1), Some([1.0, 0.0].as_slice()));
        assert_eq!((said(3), AnswerRows::default().saying(LayerIdx(0), HeadIdx(0), 0)), (None, None));
        assert_eq!(AnswerRows::default().to_array().shape(), [0, 0, 0, 0]);
    }
}
