//! How the prompt is prepared and the answer made: latents, sizes of images, how tokens are chosen.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// More latents than any published setting by far; past it a number is a typing mistake.
pub const MAX_LATENTS: usize = 256;

impl FromStr for LatentChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" | "0" => Ok(Self::Off),
            number => match number.parse::<usize>() {
                Ok(n) if (1..=MAX_LATENTS).contains(&n) => Ok(Self::Count(n)),
                Ok(_) | Err(_) => {
                    Err(format!("expected auto, off or a number from 1 to {MAX_LATENTS}, found {text}"))
                }
            },
        }
    }
}

impl Display for LatentChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Count(n) => n.fmt(f),
        }
    }
}

/// Most pixels of an image after resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelBudget {
    /// What the checkpoint says; less on a CPU where a large model would take minutes.
    #[default]
    Auto,
    /// What the checkpoint says.
    Checkpoint,
    /// So many.
    Pixels(usize),
}

impl FromStr for PixelBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "checkpoint" => Ok(Self::Checkpoint),
            number => match number.parse() {
                Ok(n) if n > 0 => Ok(Self::Pixels(n)),
                _ => Err(format!("expected auto, checkpoint or a number of pixels, found {text}")),
            },
        }
    }
}

impl Display for PixelBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Pixels(n) => n.fmt(f),
        }
    }
}

/// A setting of decoding that checkpoints publish in `generation_config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Published<T> {
    /// What the checkpoint publishes, as the reference applies it.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// This, whatever the checkpoint says.
    Value(T),
}

impl<T: Copy> Published<T> {
    /// What is applied, where the checkpoint publishes `published`.
    pub fn resolve(self, published: Option<T>) -> Option<T> {
        match self {
            Self::Auto => published,
            Self::Off => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T: FromStr> FromStr for Published<T>
where
    T::Err: Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            value => value
                .parse()
                .map(Self::Value)
                .map_err(|e| format!("expected auto, off or a number, found {text} ({e})")),
        }
    }
}

impl<T: Display> Display for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Stop after this many generated tokens.
    pub max_new_tokens: usize,
    /// 0 takes the most likely token; above it, sample from the softmax at this temperature.
    pub temperature: f32,
    /// Sample only among the most likely tokens whose probabilities add up to this.
    pub top_p: Published<f32>,
    /// Sample only among so many of the most likely tokens.
    pub top_k: Published<usize>,
    /// Scores of tokens already in the sequence are divided by this where positive, multiplied where negative.
    pub repetition_penalty: Published<f32>,
    /// Seed of the sampler.
    pub seed: u64,
}

/// Longest answer of a sample of a data set, in tokens: room for a clause before the letter.
pub const STUDY_TOKENS: usize = 16;

impl Decoding {
    /// How samples of data sets are answered unless told otherwise, so that one model has one accuracy.
    pub fn of_studies() -> Self {
        Self { max_new_tokens: STUDY_TOKENS, ..Self::default() }
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            max_new_tokens: 32,
            temperature: 0.0,
            top_p: Published::Auto,
            top_k: Published::Auto,
            repetition_penalty: Published::Auto,
            seed: 42,
        }
    }
}
