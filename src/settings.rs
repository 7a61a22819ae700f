//! What the user chooses for one run: the mask, the latents, how to decode, what to capture; and where it runs.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::Role;

/// Which role may look at which, besides never looking ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MaskRule {
    /// `[query][key]` by [`Role::code`].
    allowed: [[bool; 4]; 4],
}

impl MaskRule {
    /// Everything earlier may be seen.
    pub const CAUSAL: Self = Self { allowed: [[true; 4]; 4] };

    /// May a query of role `query` look at an (earlier) key of role `key`?
    pub fn allows(self, query: Role, key: Role) -> bool {
        self.allowed[query.code() as usize][key.code() as usize]
    }

    /// The same rule with one pair of roles allowed or blocked.
    #[must_use]
    pub fn with(mut self, query: Role, key: Role, allowed: bool) -> Self {
        self.allowed[query.code() as usize][key.code() as usize] = allowed;
        self
    }
}

/// The masks of the method and its ablations.
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

    /// Which role may look at which (LIVR, section on masking).
    pub fn rule(self) -> MaskRule {
        use Role::{Answer, Image, Latent, Prompt};
        let answer_only = MaskRule::CAUSAL.with(Answer, Image, false);
        let bottleneck = answer_only.with(Prompt, Image, false);
        match self {
            Self::Standard => MaskRule::CAUSAL,
            Self::AnswerOnly => answer_only,
            Self::Bottleneck => bottleneck,
            Self::BottleneckLatentPrompt => bottleneck.with(Latent, Prompt, false),
        }
    }

    /// The name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Bottleneck => "Bottleneck (Stage 1)",
            Self::AnswerOnly => "Answer cannot see the images",
            Self::BottleneckLatentPrompt => "Bottleneck, latents without prompt",
        }
    }

    /// Who may look at whom under it.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Standard => "Every token sees all before it",
            Self::Bottleneck => "Prompt and answer see the images only through the latents",
            Self::AnswerOnly => "The answer cannot see the images; the prompt can, and passes on what it saw",
            Self::BottleneckLatentPrompt => {
                "Prompt and answer see the images only through the latents, which cannot see the prompt"
            }
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

/// Which rows of attention a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionRows {
    /// None.
    #[default]
    Nothing,
    /// Those of the latents and of the generated tokens.
    LatentsAndAnswer,
    /// Those, and every row of the prompt: [L, H, N, N].
    Full,
}

/// Which layers of a stack of hidden states: 0 is the embedding, l + 1 the output of layer l, L after the final
/// norm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenLayers {
    /// All L + 1.
    All,
    /// These, ascending.
    Only(Vec<usize>),
}

impl HiddenLayers {
    /// Is this one of them?
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.contains(&index),
        }
    }

    /// How many of the L + 1 there are.
    pub fn count(&self, num_layers: usize) -> usize {
        (0..=num_layers).filter(|index| self.contains(*index)).count()
    }
}

/// Which hidden states of the prompt a run keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenRows {
    /// Where in the residual stream.
    pub layers: HiddenLayers,
    /// Of tokens with these roles.
    pub roles: Vec<Role>,
}

impl HiddenRows {
    /// Every token at every place: [L+1, N, D].
    pub fn all() -> Self {
        Self { layers: HiddenLayers::All, roles: Role::ALL.to_vec() }
    }
}

/// Which scores over the vocabulary a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogitRows {
    /// None.
    #[default]
    Nothing,
    /// Those that chose the answer: [1, V] after the prompt and [G, V].
    Answer,
    /// Those, and every position of the prompt: [N, V].
    Full,
}

/// What a run keeps besides the answer; nothing that is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capture {
    /// Attention probabilities.
    pub attention: AttentionRows,
    /// Hidden states.
    pub hidden: Option<HiddenRows>,
    /// Scores over the vocabulary.
    pub logits: LogitRows,
    /// What the vision tower read.
    pub pixels: bool,
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

/// Everything that decides the outcome of a run on a given sample and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The attention mask.
    pub mask: MaskKind,
    /// The latents appended.
    pub latents: LatentChoice,
    /// Most pixels of an image.
    pub max_pixels: PixelBudget,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// What is kept.
    pub capture: Capture,
}

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU where this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The n-th NVIDIA GPU.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected auto, cpu or cuda:N, found {text}");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                number.parse().map(Self::Cuda).ok().ok_or_else(wrong)
            }
        }
    }
}

/// What `--dtype` says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum DtypeChoice {
    /// bf16 on a GPU, and on a CPU that multiplies bf16 for checkpoints stored so; else f32.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Brain float.
    Bf16,
    /// Half precision.
    F16,
    /// Linear layers in 8 bits, made at load (CPU only): answers differ from the reference.
    Q8,
    /// Linear layers in 4 bits, made at load (CPU only): answers differ from the reference.
    Q4,
}
