//! The masks of the method and its ablations, by token role.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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

    /// As options and files name them, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 4] =
        ["standard", "bottleneck", "answer-only", "bottleneck-latent-prompt"];

    /// As options and files name it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
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

impl FromStr for MaskKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mask| mask.name() == text);
        found.ok_or_else(|| format!("expected one of {}, found {text}", Self::NAMES.join(", ")))
    }
}
