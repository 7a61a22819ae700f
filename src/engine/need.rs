//! What memory a model and a run take, computed before either: what does not fit is refused with figures.

use candle_core::DType;

use crate::ask::{AttentionRows, Keep, LogitRows};
use crate::checkpoint::config::{ModelConfig, TextConfig};
use crate::checkpoint::source::{StoredTensor, WeightSource};
use crate::error::{Error, Result};
use crate::ops::weight::Precision;
use crate::units::{Role, human_bytes};

/// Prompt length and latents the estimate of a model is for.
pub const NOMINAL_TOKENS: usize = 2048;
/// Latents of that prompt.
pub const NOMINAL_LATENTS: usize = 16;

/// Memory of a model in use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelNeed {
    /// Weights in their element type.
    pub weights: u64,
    /// Keys and values of [`NOMINAL_TOKENS`].
    pub cache: u64,
    /// Attention rows of 16 latents over as many.
    pub rows: u64,
}

impl ModelNeed {
    /// Of a model with these tensors.
    pub fn new(config: &ModelConfig, source: &dyn WeightSource, precision: Precision) -> Self {
        let text = &config.text;
        let bytes = |tensor: &StoredTensor<'_>| match tensor.shape {
            [rows, inner @ ..] if !inner.is_empty() => {
                let table = ["embed_tokens.weight", "lm_head.weight", "pos_embed.weight"];
                let precision = if table.iter().any(|table| tensor.name.ends_with(table)) {
                    precision.dtype.into()
                } else {
                    precision
                };
                precision.linear_bytes(*rows, inner.iter().product())
            }
            _ => tensor.count() * precision.dtype.size_in_bytes(),
        };
        let rows = text.num_layers * text.num_heads * NOMINAL_LATENTS * NOMINAL_TOKENS * size_of::<f32>();
        Self {
            weights: source.tensors().iter().map(bytes).sum::<usize>() as u64,
            cache: cache_bytes(text, NOMINAL_TOKENS, precision.dtype),
            rows: rows as u64,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.rows
    }
}

fn cache_bytes(text: &TextConfig, tokens: usize, dtype: DType) -> u64 {
    (2 * text.num_layers * text.num_kv_heads * text.head_dim * tokens * dtype.size_in_bytes()) as u64
}

/// What a step of training holds besides the model, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepNeed {
    /// Gradients and both moments of the values that are trained.
    pub values: u64,
    /// What the way back needs of a batch.
    pub kept: u64,
}

impl StepNeed {
    /// Of a batch of so many tokens; low-rank updates keep the outputs of the layers they are on, and their own.
    pub fn new(text: &TextConfig, tokens: usize, trained_values: usize, low_rank: bool) -> Self {
        let (d, inner) = (text.hidden_size, text.intermediate_size);
        let (q, kv) = (text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim);
        // Inputs and outputs of a layer's operations; measured on the demo, 85 % of it without updates and 104 % with.
        let plain = 7 * d + 3 * q + 3 * kv + 3 * inner;
        let updates = if low_rank { 2 * (q + 2 * kv + 2 * d + 2 * inner) } else { 0 };
        let of_token = text.num_layers * (plain + updates) * size_of::<f32>();
        Self { values: (3 * trained_values * size_of::<f32>()) as u64, kept: (tokens * of_token) as u64 }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.values.saturating_add(self.kept)
    }
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of the prompt, latents included.
    pub tokens: usize,
    /// Latents among them.
    pub latents: usize,
    /// Tokens of the longest answer.
    pub answer: usize,
}

/// Sizes of a model that a run's memory depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunShape {
    /// L.
    pub num_layers: usize,
    /// H.
    pub num_heads: usize,
    /// D.
    pub hidden_size: usize,
    /// V.
    pub vocab_size: usize,
    /// Bytes of keys and values of a token, over all layers.
    pub cache_bytes: usize,
    /// Pixels that a visual token stands for.
    pub pixels_per_visual_token: usize,
}

impl RunShape {
    /// Of a model that computes in `dtype`.
    pub fn new(config: &ModelConfig, dtype: DType) -> Self {
        let (text, vision) = (&config.text, &config.vision);
        Self {
            num_layers: text.num_layers,
            num_heads: text.num_heads,
            hidden_size: text.hidden_size,
            vocab_size: text.vocab_size,
            cache_bytes: cache_bytes(text, 1, dtype) as usize,
            pixels_per_visual_token: (vision.patch_size * vision.merge_size).pow(2),
        }
    }

    /// What a run of such lengths keeps; hidden states are left to those who know the roles.
    pub fn need(&self, lengths: Lengths, capture: &Keep) -> RunNeed {
        const F32: usize = size_of::<f32>();
        let Lengths { tokens, latents, answer } = lengths;
        let (heads, whole) = (self.num_layers * self.num_heads, tokens + answer);
        let (rows, answer_rows) = match capture.attention {
            AttentionRows::Nothing => (0, 0),
            AttentionRows::LatentsAndAnswer => (latents, 1 + answer),
            AttentionRows::Full => (tokens + latents, 1 + answer),
        };
        let logits = match capture.logits {
            LogitRows::Nothing => 0,
            LogitRows::Answer => 1 + answer,
            LogitRows::Full => tokens + answer,
        };
        RunNeed {
            cache: (self.cache_bytes * whole) as u64,
            attention: (heads * rows * tokens * F32) as u64,
            answer_attention: (heads * answer_rows * whole * F32) as u64,
            hidden: 0,
            logits: (logits * self.vocab_size * F32) as u64,
        }
    }
}

impl std::ops::AddAssign for RunNeed {
    fn add_assign(&mut self, other: Self) {
        self.cache += other.cache;
        self.attention += other.attention;
        self.answer_attention += other.answer_attention;
        self.hidden += other.hidden;
        self.logits += other.logits;
    }
}

/// What a run keeps, in bytes, by what asks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunNeed {
    /// Keys and values of prompt and answer.
    pub cache: u64,
    /// Attention rows of the prompt.
    pub attention: u64,
    /// Attention rows of the longest answer.
    pub answer_attention: u64,
    /// Hidden states.
    pub hidden: u64,
    /// Scores over the vocabulary.
    pub logits: u64,
}

impl RunNeed {
    /// Of a prompt with these roles and an answer of at most `max_new_tokens`.
    pub fn new(shape: RunShape, roles: &[Role], max_new_tokens: usize, capture: &Keep) -> Self {
        let count = |role: Role| roles.iter().filter(|r| **r == role).count();
        let hidden = capture.hidden.as_ref().map_or(0, |hidden| {
            let kept: usize = hidden.roles.iter().map(|role| count(*role)).sum();
            hidden.layers.count(shape.num_layers) * kept * shape.hidden_size
        });
        // Of all tokens, though fewer may be recorded: two states in each layer, and about as much again of keys, values and heads.
        let recorded = if capture.recording.is_some() { roles.len() } else { 0 };
        let hidden = hidden + 4 * shape.num_layers * recorded * shape.hidden_size;
        let lengths = Lengths { tokens: roles.len(), latents: count(Role::Latent), answer: max_new_tokens };
        Self { hidden: (hidden * size_of::<f32>()) as u64, ..shape.need(lengths, capture) }
    }

    /// All of it, were the answer as long as it may be.
    pub fn total(&self) -> u64 {
        self.certain() + self.answer_attention
    }

    /// What it takes however short the answer is.
    fn certain(&self) -> u64 {
        self.cache + self.attention + self.hidden + self.logits
    }

    /// Refuses what is more than there is for certain.
    ///
    /// # Errors
    /// A run that needs more than is free.
    pub fn check(&self, free: Option<u64>) -> Result<()> {
        let Some(free) = free.filter(|free| self.certain() > *free) else { return Ok(()) };
        let parts = [
            (self.attention, "attention rows of the prompt"),
            (self.hidden, "hidden states"),
            (self.logits, "scores over the vocabulary"),
            (self.cache, "keys and values"),
        ];
        let (most, what) = parts.into_iter().max_by_key(|(bytes, _)| *bytes).expect("four parts");
        Err(Error::Request(format!(
            "what is to be kept of this run takes {}, {} of it {what}, and {} are free: keep less, or make the \
             images or the answer smaller",
            human_bytes(self.certain()),
            human_bytes(most),
            human_bytes(free)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::HiddenRows;
    use crate::engine::demo;

    #[test]
    fn a_step_needs_more_the_longer_its_batch_is() {
        let text = ModelConfig::read(&demo::model()).unwrap().text;
        let need = |tokens, low_rank| StepNeed::new(&text, tokens, 1000, low_rank);
        assert_eq!(need(0, true).total(), 12_000);
        assert_eq!(need(20, true).kept, 2 * need(10, true).kept);
        // Measured: 49 MB for 190 tokens with low-rank updates, 20 MB without.
        let megabytes = |low_rank| need(190, low_rank).kept as f64 / 1e6;
        assert!((44.0..54.0).contains(&megabytes(true)) && (18.0..26.0).contains(&megabytes(false)));
    }

    #[test]
    fn a_run_needs_what_its_tensors_hold() {
        let config = ModelConfig::read(&demo::model()).unwrap();
        let text = &config.text;
        let roles = [Role::Prompt, Role::Image, Role::Image, Role::Latent];
        let full = Keep {
            attention: AttentionRows::Full,
            hidden: Some(HiddenRows::all()),
            logits: LogitRows::Full,
            pixels: false,
            recording: None,
        };
        let shape = RunShape::new(&config, DType::F32);
        let need = RunNeed::new(shape, &roles, 2, &full);
        // [L, H, N, N] and [L, H, K, N]; [L, H, 1 + G, N + G]; [L + 1, N, D]; [N, V] and [G, V].
        let heads = text.num_layers * text.num_heads;
        assert_eq!(need.attention, (4 * heads * (4 * 4 + 4)) as u64);
        assert_eq!(need.answer_attention, (4 * heads * 3 * 6) as u64);
        assert_eq!(need.hidden, (4 * (text.num_layers + 1) * 4 * text.hidden_size) as u64);
        assert_eq!(need.logits, (4 * 6 * text.vocab_size) as u64);
        let nothing = RunNeed::new(shape, &roles, 2, &Keep::default());
        assert_eq!(nothing.total(), nothing.cache);
        assert!(need.check(Some(need.certain())).is_ok() && need.check(None).is_ok());
        let problem = need.check(Some(1000)).unwrap_err().to_string();
        assert!(problem.contains("1000 B are free") && problem.contains("KiB"), "{problem}");
    }
}
