//! What a run leaves: plain numbers on the host, for the screen, for probes and for files.

use serde::Serialize;

use crate::settings::Settings;
use crate::units::{GridThw, HeadIdx, LayerIdx, Role, Span};

/// A dense array in row order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub data: Vec<f32>,
}

impl Array {
    /// Zeros of a shape.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }

    /// The part under the leading indices: `[a, b, ..]` of `[A, B, C, D]` with two indices is `[C, D]`.
    pub fn at(&self, leading: &[usize]) -> &[f32] {
        let mut range = 0..self.data.len();
        for (index, size) in leading.iter().zip(&self.shape) {
            assert!(index < size, "index {leading:?} of an array {:?}", self.shape);
            let step = range.len() / size;
            range = range.start + index * step..range.start + (index + 1) * step;
        }
        &self.data[range]
    }
}

/// A generated token with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GeneratedToken {
    /// Vocabulary id.
    pub id: u32,
    /// As text; special tokens by name.
    pub text: String,
    /// Natural log of its probability, before temperature and nucleus.
    pub logprob: f32,
    /// The likeliest tokens at this place, best first: id, text, probability.
    pub alternatives: Vec<(u32, String, f32)>,
}

/// How likely one of the offered answers is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChoiceScore {
    /// The answer.
    pub choice: String,
    /// Log-probability of its tokens after the prompt.
    pub logprob: f32,
    /// Share among the offered answers: softmax of the log-probabilities.
    pub probability: f32,
}

/// Seconds by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
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
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// Where each image's tokens are, [I].
    pub image_spans: Vec<Span>,
    /// [patches, C*T*P*P].
    pub pixel_values: Array,
    /// [N, V], or [1, V] of the last prompt position.
    pub logits: Array,
    /// [L+1, N, D] where asked for.
    pub hidden_states: Option<Array>,
    /// [L, H, N, N] where asked for.
    pub attentions: Option<Array>,
    /// [L, H, K, N] where there are latents and rows were kept.
    pub latent_attentions: Option<Array>,
    /// [L, H, G, N+G] where rows were kept.
    pub answer_attentions: Option<Array>,
    /// [G].
    pub generated: Vec<GeneratedToken>,
    /// [G, V]: the scores each was chosen from, before temperature and nucleus.
    pub generated_logits: Array,
    /// The offered answers, in their order.
    pub choices: Vec<ChoiceScore>,
    /// The generated text without special tokens.
    pub answer: String,
    /// The rendered prompt.
    pub text: String,
    /// The model's folder name.
    pub model: String,
    /// The adapter's folder name, or nothing.
    pub adapter: String,
    /// What the run was asked for.
    pub settings: Settings,
    /// Seconds by stage.
    pub timings: Timings,
}

impl Trace {
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
        let rows = self.latent_attentions.as_ref().or(self.answer_attentions.as_ref());
        rows.map_or((0, 0), |a| (a.shape[0], a.shape[1]))
    }

    /// Attention probabilities of latent `latent` over the N prompt tokens.
    pub fn latent_row(&self, layer: LayerIdx, head: HeadIdx, latent: usize) -> Option<&[f32]> {
        Some(self.latent_attentions.as_ref()?.at(&[layer.0, head.0, latent]))
    }

    /// Attention probabilities of generated token `token` over the N+G tokens.
    pub fn answer_row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        Some(self.answer_attentions.as_ref()?.at(&[layer.0, head.0, token]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_indices_pick_a_part() {
        let array = Array { shape: vec![2, 2, 3], data: (0..12).map(|v| v as f32).collect() };
        assert_eq!(array.at(&[1, 0]), [6.0, 7.0, 8.0]);
        assert_eq!(array.at(&[]).len(), 12);
    }
}
