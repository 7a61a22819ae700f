//! What the user chooses for one run: the mask, the latents, how to decode, what to capture.

use serde::{Deserialize, Serialize};

use crate::units::Role;

/// Which attention the language model is allowed, besides never looking ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MaskKind {
    /// Causal only: Stage 2 and normal inference.
    #[default]
    Standard,
    /// Prompt and answer cannot see the image: Stage 1, so that only the latents carry it.
    Bottleneck,
    /// Only the answer cannot see the image; the prompt leaks it.
    AnswerOnly,
    /// Bottleneck, and the latents cannot see the prompt either.
    BottleneckLatentPrompt,
}

impl MaskKind {
    /// All masks, in the order they are offered.
    pub const ALL: [Self; 4] =
        [Self::Standard, Self::Bottleneck, Self::AnswerOnly, Self::BottleneckLatentPrompt];

    /// May a query of role `query` look at an (earlier) key of role `key`? (LIVR, section on masking.)
    pub fn allows(self, query: Role, key: Role) -> bool {
        use Role::{Answer, Image, Latent, Prompt};
        let hides_image = match self {
            Self::Standard => false,
            Self::AnswerOnly => query == Answer,
            Self::Bottleneck | Self::BottleneckLatentPrompt => matches!(query, Prompt | Answer),
        };
        let hides_prompt = self == Self::BottleneckLatentPrompt && query == Latent;
        !(hides_image && key == Image || hides_prompt && key == Prompt)
    }

    /// The name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Bottleneck => "Bottleneck (Stage 1)",
            Self::AnswerOnly => "Answer only",
            Self::BottleneckLatentPrompt => "Bottleneck + latent→prompt",
        }
    }
}

/// How many latent tokens follow the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatentChoice {
    /// As many as the checkpoint or adapter was trained with.
    #[default]
    Auto,
    /// None.
    Off,
    /// The first N.
    Count(usize),
}

impl std::str::FromStr for LatentChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = || format!("expected auto, off or a number from 1 to {MAX_LATENTS}, found {text}");
        match text {
            "auto" => Ok(Self::Auto),
            "off" | "0" => Ok(Self::Off),
            number => match number.parse::<usize>() {
                Ok(n) if (1..=MAX_LATENTS).contains(&n) => Ok(Self::Count(n)),
                Ok(_) | Err(_) => Err(found()),
            },
        }
    }
}

/// More latents than any published setting by far; past it a number is a typing mistake.
pub const MAX_LATENTS: usize = 256;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Stop after this many generated tokens.
    pub max_new_tokens: usize,
    /// 0 takes the most likely token; above it, sample from the softmax at this temperature.
    pub temperature: f32,
    /// Sample only among the most likely tokens whose probabilities add up to this.
    pub top_p: f32,
    /// Seed of the sampler.
    pub seed: u64,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { max_new_tokens: 32, temperature: 0.0, top_p: 1.0, seed: 42 }
    }
}

/// What a run keeps besides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four tensors, each kept or not")]
pub struct Capture {
    /// Keep attention rows of latents and answer.
    pub rows: bool,
    /// Keep every attention row: [L, H, N, N].
    pub full_attentions: bool,
    /// Keep hidden states of every token: [L+1, N, D].
    pub full_hidden: bool,
    /// Keep logits of every prompt position: [N, V].
    pub full_logits: bool,
}

/// Everything that decides the outcome of a run on a given sample and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The attention mask.
    pub mask: MaskKind,
    /// The latents appended.
    pub latents: LatentChoice,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// What is kept.
    pub capture: Capture,
}
