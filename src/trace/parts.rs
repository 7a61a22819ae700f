//! What each stage of a run leaves.

use serde::{Deserialize, Serialize};

use super::answer_rows::AnswerRows;
use super::recording::Recording;
use crate::array::Array;
use crate::ask::Condition;
use crate::units::{GridThw, Role, Span};

/// JSON has no infinity: nothing stands for the logarithm of nothing.
fn number_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NEG_INFINITY))
}

/// A token that could have been generated; in files `[id, text, probability]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u32, String, f32)", into = "(u32, String, f32)")]
pub struct Alternative {
    /// Vocabulary id.
    pub id: u32,
    /// As text; special tokens by name.
    pub text: String,
    /// Of the model, before penalty, temperature, top-k and nucleus.
    pub probability: f32,
}

impl From<(u32, String, f32)> for Alternative {
    fn from((id, text, probability): (u32, String, f32)) -> Self {
        Self { id, text, probability }
    }
}

impl From<Alternative> for (u32, String, f32) {
    fn from(own: Alternative) -> Self {
        (own.id, own.text, own.probability)
    }
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
    /// The likeliest tokens at this place, best first.
    pub alternatives: Vec<Alternative>,
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

/// What a statement changed in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervened {
    /// In its canonical text.
    #[serde(rename = "do")]
    pub statement: String,
    /// How often, as the statement counts: (layer, query, key) triples of the prompt for looks that are blocked, (site, token)
    /// pairs for states that are replaced, (layer, token) pairs for keys and values, (head, token) pairs, tokens.
    pub changed: usize,
    /// Sum of the lengths of the changes, where vectors were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<f64>,
}

impl Intervened {
    /// More vectors changed by so much.
    pub fn has_moved(&mut self, by: f64) {
        *self.moved.get_or_insert(0.0) += by;
    }
}

/// What is said of a statement that changed nothing of a prompt: it may be a mistake. Steps of an answer are not counted.
pub const CHANGED_NOTHING: &str = "changed nothing of the prompt";

/// What is said where edits done with what was there do not give the run without them.
pub const SHAM_FAILED: &str = "the sham failed: the same edits, done with what was there, changed the answer; no change of this run can be trusted";

/// What a run is made of, known before its first pass.
#[derive(Debug, Clone, Default)]
pub struct InputPart {
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
    /// The rendered prompt.
    pub text: String,
    /// The model's folder name.
    pub model: String,
    /// The adapter's folder name, or nothing.
    pub adapter: String,
    /// How it was asked.
    pub condition: Condition,
    /// What each edit of the condition changed.
    pub interventions: Vec<Intervened>,
    /// What automatic settings came to.
    pub applied: Applied,
}

/// What the pass over the prompt left.
#[derive(Debug, Clone, Default)]
pub struct PromptPart {
    /// [N, V], or [1, V] of the last prompt position, where asked for.
    pub logits: Option<Array>,
    /// Where asked for.
    pub hidden_states: Option<HiddenStates>,
    /// [L, H, N, N] where asked for.
    pub attentions: Option<Array>,
    /// [L, H, K, N] where there are latents and rows were kept.
    pub latent_attentions: Option<Array>,
    /// [D], of the last token, behind the final norm.
    pub last_state: Vec<f32>,
    /// Where asked for.
    pub recording: Option<Box<Recording>>,
}

/// What was said.
#[derive(Debug, Clone, Default)]
pub struct AnswerPart {
    /// [G].
    pub generated: Vec<GeneratedToken>,
    /// The generated text without special tokens.
    pub answer: String,
    /// Was it stopped before its end?
    pub stopped: bool,
    /// Rows of the generated tokens where rows were kept.
    pub attentions: Option<AnswerRows>,
    /// [G, V] where asked for.
    pub logits: Option<Array>,
    /// The offered answers, in their order.
    pub choices: Vec<ChoiceScore>,
}
