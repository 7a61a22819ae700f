//! What is kept of a run besides its answer. No part of what is asked: the answer is the same whatever is kept.

use serde::{Deserialize, Serialize};

use super::tokens::Tokens;
use crate::units::Role;

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
pub struct Keep {
    /// Attention probabilities.
    pub attention: AttentionRows,
    /// Hidden states.
    pub hidden: Option<HiddenRows>,
    /// Scores over the vocabulary.
    pub logits: LogitRows,
    /// What the vision tower read.
    pub pixels: bool,
    /// What another run may take over, of these tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Tokens>,
}

/// Gives what earlier versions wrote among `settings`, as `capture`, a place of its own, as `keep`.
pub fn of_earlier_versions(file: &mut serde_json::Value) {
    let kept = file.get("settings").and_then(|settings| settings.get("capture")).cloned();
    if let (Some(all), Some(kept)) = (file.as_object_mut(), kept) {
        all.entry("keep").or_insert(kept);
    }
}
