//! What a training run is made of, as a TOML file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ask::Disturbance;
use crate::ask::{DtypeChoice, MaskKind};
use crate::checkpoint::livr::Placement;

/// A recipe to begin from.
pub const EXAMPLE: &str = include_str!("../../assets/recipes/livr.toml");

/// The ways to train that the paper compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Direct supervised fine-tuning: no latents, no mask.
    Sft,
    /// Latents, no mask.
    LatentsOnly,
    /// No latents; the answer does not see the image in the first stage, the prompt does.
    MaskOnly,
    /// Latents; the bottleneck in the first stage, none in the second.
    Livr,
    /// Supervised fine-tuning with every image given twice.
    ImageTwice,
    /// Only the latents' rows are trained.
    PromptTuning,
}

impl Variant {
    /// All of them, the paper's own first.
    pub const ALL: [Self; 6] =
        [Self::Livr, Self::LatentsOnly, Self::Sft, Self::MaskOnly, Self::ImageTwice, Self::PromptTuning];

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sft => "Direct SFT",
            Self::LatentsOnly => "Latents only",
            Self::MaskOnly => "Mask only",
            Self::Livr => "LIVR, two stages",
            Self::ImageTwice => "Image twice",
            Self::PromptTuning => "Latent rows alone",
        }
    }

    /// What it does.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Sft => "Supervised fine-tuning: no latents, no mask",
            Self::LatentsOnly => "Latents, no mask",
            Self::MaskOnly => {
                "No latents; in the first stage the answer does not see the images, the prompt does"
            }
            Self::Livr => "Latents; in the first stage the answer sees the images only through them",
            Self::ImageTwice => "Supervised fine-tuning with every image given twice",
            Self::PromptTuning => "Only the latents' rows are trained",
        }
    }

    /// Does it have latents?
    pub fn has_latents(self) -> bool {
        matches!(self, Self::LatentsOnly | Self::Livr | Self::PromptTuning)
    }
}

/// Which values are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Updates {
    /// Low-rank updates of the language model's linear layers, and the latents' rows.
    Lora,
    /// The latents' rows alone.
    Latents,
    /// Every weight of the language model, and the latents' rows.
    Full,
    /// Every weight, the vision tower's too.
    Everything,
}

/// Which checkpoint is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultChoice {
    /// The one that answered most of the validation samples in the last stage.
    Best,
    /// The last.
    Final,
}

/// A recipe as written. What is left out is filled in by the variant, as the paper has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Checkpoint folder; the built-in demo where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::paths::text::option")]
    pub model: Option<PathBuf>,
    /// Adapter folder to begin from.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::paths::text::option")]
    pub adapter: Option<PathBuf>,
    /// Element type of the frozen weights.
    #[serde(default)]
    pub dtype: DtypeChoice,
    /// Element type the result is written in: f32, or bf16 for half the bytes.
    #[serde(default)]
    pub store: DtypeChoice,
    /// Begin from random weights of this seed instead of the checkpoint's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_weights: Option<u64>,
    /// Begin from random weights that know how to compare and how to look; see [`crate::model::informed`].
    #[serde(default)]
    pub informed_weights: bool,
    /// The way to train.
    pub variant: Variant,
    /// Which values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Updates>,
    /// Decides the order of examples, the initial values and what drops out.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Which checkpoint is the result: of one task the best, of several the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<ResultChoice>,
    /// Steps between two savings of the state.
    #[serde(default = "save_every")]
    pub save_every: usize,
    /// Steps between two looks at the probe sample's maps; 0 for never.
    #[serde(default = "probe_every")]
    pub probe_every: usize,
    /// What is learned from.
    pub data: Data,
    /// The latents.
    #[serde(default)]
    pub latents: LatentOptions,
    /// The low-rank updates.
    #[serde(default)]
    pub lora: Lora,
    /// What is learned of the words and pairs that samples ground.
    #[serde(default)]
    pub grounding: GroundingOptions,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// One after the other, each with a schedule of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

impl Recipe {
    /// A way to train on these data files, with all else as the paper has it.
    pub fn new(variant: Variant, train: Vec<PathBuf>, validation: Vec<PathBuf>) -> Self {
        let data = Data { train, validation, ..Data::default() };
        Self {
            model: None,
            adapter: None,
            dtype: DtypeChoice::default(),
            store: DtypeChoice::default(),
            random_weights: None,
            informed_weights: false,
            variant,
            updates: None,
            seed: seed(),
            keep: None,
            save_every: save_every(),
            probe_every: probe_every(),
            data,
            latents: LatentOptions::default(),
            lora: Lora::default(),
            grounding: GroundingOptions::default(),
            optimizer: Optimizer::default(),
            stages: Vec::new(),
        }
    }
}

fn seed() -> u64 {
    42
}

fn save_every() -> usize {
    50
}

fn probe_every() -> usize {
    25
}

/// What is learned from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Data files.
    #[serde(with = "crate::paths::text::list")]
    pub train: Vec<PathBuf>,
    /// Data files that choose the checkpoint.
    #[serde(default, with = "crate::paths::text::list")]
    pub validation: Vec<PathBuf>,
    /// Only samples of these tasks; all where it is empty.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// The first so many training samples of each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_task: Option<usize>,
    /// The first so many validation samples of each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_per_task: Option<usize>,
    /// What is done to every sample, of training and of validation: `no-images`, say, for what the words alone teach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disturb: Option<Disturbance>,
    /// Most pixels of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<usize>,
    /// Memory that features of images may be kept in, in MiB; half of what is free where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_mib: Option<u64>,
}

/// The latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatentOptions {
    /// K.
    pub count: usize,
    /// One row for all of them.
    pub shared: bool,
    /// Where they go.
    pub placement: Placement,
    /// Text after them.
    pub separator: String,
    /// Standard deviation of their initial values; that of the other rows where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

impl Default for LatentOptions {
    fn default() -> Self {
        Self {
            count: 16,
            shared: false,
            placement: Placement::default(),
            separator: "\n".to_owned(),
            deviation: None,
        }
    }
}

/// What is learned of the words and pairs that samples ground.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroundingOptions {
    /// Groups of words that the tower's tokens say, by the output's rows.
    pub tower: Vec<String>,
    /// Groups of words that the language model says, at the visual tokens and in the prompt.
    pub model: Vec<String>,
    /// The decoder layer, from 0, after which the language model says them: those after it can read them. Without it
    /// they are said where answers are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// Groups that are said after another layer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, usize>,
    /// Weight of places where no word of a group is true.
    pub nothing: f64,
    /// Cosines of the tower's tokens are multiplied by this where it is asked which is the same place.
    pub sharpness: f64,
}

impl Default for GroundingOptions {
    fn default() -> Self {
        Self {
            tower: Vec::new(),
            model: Vec::new(),
            layer: None,
            layers: BTreeMap::new(),
            nothing: 0.3,
            sharpness: 15.0,
        }
    }
}

/// What the parts of a loss count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Answers.
    pub answers: f64,
    /// Words that the language model says at visual tokens.
    pub model: f64,
    /// Words that the tower's tokens say.
    pub tower: f64,
    /// Which of the tower's tokens show the same.
    pub pairs: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { answers: 1.0, model: 0.0, tower: 0.0, pairs: 0.0 }
    }
}

/// The low-rank updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// r.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f64,
    /// Share of its input that falls out.
    pub dropout: f32,
    /// Last names of the linear layers.
    pub modules: Vec<String>,
}

/// The linear layers of a decoder layer.
pub(super) const MODULES: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl Default for Lora {
    fn default() -> Self {
        let modules = MODULES.map(str::to_owned).into();
        Self { rank: 16, alpha: 32.0, dropout: 0.05, modules }
    }
}

/// `AdamW` and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// The highest rate of a stage.
    pub learning_rate: f64,
    /// Decoupled decay, of matrices only.
    pub weight_decay: f64,
    /// Of the means of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Examples that go through the model at once.
    pub batch_size: usize,
    /// Batches of a step.
    pub accumulation: usize,
    /// Share of a stage's steps in which the rate rises.
    pub warmup: f64,
    /// Longer gradients are shortened to this; 0 leaves them.
    pub max_grad_norm: f64,
    /// Rate of the vision tower as a share of the others', where it is trained.
    pub vision_rate: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            batch_size: 1,
            accumulation: 8,
            warmup: 0.05,
            max_grad_norm: 1.0,
            vision_rate: 1.0,
        }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Who may look at whom.
    #[serde(default)]
    pub mask: MaskKind,
    /// Passes over the data.
    pub epochs: usize,
    /// At most so many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// A rate of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// What the parts of the loss count.
    #[serde(default)]
    pub weights: Weights,
}

impl Stage {
    /// So many epochs under a mask.
    pub fn new(mask: MaskKind, epochs: usize) -> Self {
        Self { mask, epochs, max_steps: None, learning_rate: None, weights: Weights::default() }
    }
}
