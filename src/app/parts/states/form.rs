//! What a layout is asked for, and how it is looked at.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::ids::ModelId;
use crate::engine::project::{DataChoice, StateScalar};
use crate::units::Role;

/// What points are coloured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColourBy {
    /// Latent, image or text, in colours that the colour-blind tell apart.
    #[default]
    Role,
    /// The same as in the paper: red, blue, green.
    RoleAsPublished,
    /// The number of the latent.
    Latent,
    /// The sample's task.
    Task,
    /// Was the sample answered correctly?
    Correct,
    /// The sample.
    Sample,
    /// The place among the visual tokens, or in the prompt.
    Position,
    /// How long the state is.
    Length,
    /// How much the latents look at the token, in the layer that made its state.
    Attended,
    /// How likely the sample's answer was to the model.
    Certainty,
}

impl ColourBy {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Role,
        Self::RoleAsPublished,
        Self::Latent,
        Self::Task,
        Self::Correct,
        Self::Sample,
        Self::Position,
        Self::Length,
        Self::Attended,
        Self::Certainty,
    ];

    /// The number of a point that it is, where it is one.
    pub fn scalar(self) -> Option<StateScalar> {
        match self {
            Self::Length => Some(StateScalar::Length),
            Self::Attended => Some(StateScalar::Attended),
            Self::Certainty => Some(StateScalar::Certainty),
            _ => None,
        }
    }

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Role => "Role",
            Self::RoleAsPublished => "Role, as published",
            Self::Latent => "Latent",
            Self::Task => "Task",
            Self::Correct => "Right or wrong",
            Self::Sample => "Sample",
            Self::Position => "Position",
            Self::Length => "Length of the state",
            Self::Attended => "Attention from latents",
            Self::Certainty => "Probability of the answer",
        }
    }
}

/// Which answers' points are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// All.
    #[default]
    Either,
    /// Of samples answered correctly.
    Right,
    /// Of the others.
    Wrong,
}

/// What a layout was last asked for, and how it was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayoutForm {
    /// The data file's path as it was typed; nothing for the built-in samples.
    pub data: String,
    /// Samples at most.
    pub samples: usize,
    /// A layout of every layer, or of the last.
    pub all_layers: bool,
    /// Latent, image and text tokens.
    pub tokens: [bool; 3],
    /// How many neighbours count, about.
    pub perplexity: f64,
    /// Steps.
    pub steps: usize,
    /// One seed, one layout.
    pub seed: u64,
    /// What points are coloured by.
    pub colour: ColourBy,
    /// Roles that are shown: latent, image, text.
    pub shown: [bool; 3],
    /// Answers that are shown.
    pub answered: Answered,
    /// The task that is shown; nothing for all.
    pub task: String,
    /// The latent that is shown of the latents; nothing for all.
    pub latent: Option<u32>,
    /// Part of the names of samples that are shown.
    pub sample: String,
    /// A model whose layout of the same samples is made too, and shown beside.
    pub beside: Option<ModelId>,
}

impl Default for LayoutForm {
    fn default() -> Self {
        Self {
            data: String::new(),
            samples: 300,
            all_layers: false,
            tokens: [true; 3],
            perplexity: 30.0,
            steps: 750,
            seed: 42,
            colour: ColourBy::default(),
            shown: [true; 3],
            answered: Answered::default(),
            task: String::new(),
            latent: None,
            sample: String::new(),
            beside: None,
        }
    }
}

/// Roles in the order of the form's switches.
pub const ROLES: [(Role, &str); 3] =
    [(Role::Latent, "Latents"), (Role::Image, "Image"), (Role::Prompt, "Text")];

impl LayoutForm {
    /// Whose samples.
    pub fn choice(&self) -> DataChoice {
        match self.data.trim() {
            "" => DataChoice::Gallery,
            path => DataChoice::File(PathBuf::from(path)),
        }
    }

    /// Roles to layout.
    pub fn roles(&self) -> Vec<Role> {
        ROLES.iter().zip(self.tokens).filter(|(_, wanted)| *wanted).map(|((role, _), _)| *role).collect()
    }
}
