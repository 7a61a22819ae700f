//! What a map is asked for: whose attention, in which layers and heads, and how these become one.

use serde::{Deserialize, Serialize};

use crate::units::{HeadIdx, LayerIdx};

/// Whose attention is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Query {
    /// A latent token, from 0.
    Latent(usize),
    /// A generated token, from 0: where the position looks that says it, the token before.
    Answer(usize),
}

/// How several layers or heads become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Aggregation {
    /// Their mean, as in the LIVR paper.
    #[default]
    Mean,
    /// Their largest.
    Max,
    /// Of a token of the answer: its mean attention to each latent, times that latent's to the images, summed; the share
    /// that reaches the images by way of the latents in two steps (attention flow of Abnar and Zuidema, 2020, kept to
    /// the paths that the bottleneck leaves). Of a latent it is the mean.
    ThroughLatents,
    /// Attention rollout (Abnar and Zuidema, 2020): rows of the product of `(A + I) / 2` of all layers up to the chosen
    /// one, A the mean over heads. Needs every attention row.
    Rollout,
}

impl Aggregation {
    /// All, in the order they are offered.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Max, Self::ThroughLatents, Self::Rollout];

    /// Is it what reaches a token in several steps, rather than where it looks?
    pub fn is_indirect(self) -> bool {
        matches!(self, Self::ThroughLatents | Self::Rollout)
    }

    /// The name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mean => "Mean",
            Self::Max => "Maximum",
            Self::ThroughLatents => "Answer → latents → image",
            Self::Rollout => "Rollout",
        }
    }

    /// What it is, and whose.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Mean => "Mean over layers and heads, as in the LIVR paper",
            Self::Max => "Largest over layers and heads",
            Self::ThroughLatents => {
                "Mean attention of the answer to each latent times the latent's to the images: what reaches the answer \
                 in two steps (paths of attention flow, Abnar and Zuidema 2020)"
            }
            Self::Rollout => {
                "Product over layers of attention, averaged over heads, and identity (Abnar and Zuidema 2020); a \
                 chosen layer is the last of the product. Needs every attention row"
            }
        }
    }
}

/// Which layers and heads enter a map; `None` means all, aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Selection {
    /// One layer, or all.
    pub layer: Option<LayerIdx>,
    /// One head, or all.
    pub head: Option<HeadIdx>,
    /// How all become one.
    pub aggregation: Aggregation,
}

impl Selection {
    /// As the reader of a figure needs it: "layer 3, mean over 16 heads".
    pub fn describe(&self, num_layers: usize, num_heads: usize) -> String {
        let how = match self.aggregation {
            Aggregation::Mean => "mean",
            Aggregation::Max => "max",
            Aggregation::ThroughLatents => "through the latents, mean",
            Aggregation::Rollout => {
                let last = self.layer.map_or(num_layers.saturating_sub(1), |layer| layer.0);
                let heads = self.head.map_or_else(
                    || format!("mean over {num_heads} heads"),
                    |head| format!("head {}", head.0),
                );
                return format!("rollout of layers 0 to {last}, {heads}");
            }
        };
        match (self.layer, self.head) {
            (Some(layer), Some(head)) => format!("layer {}, head {}", layer.0, head.0),
            (Some(layer), None) => format!("layer {}, {how} over {num_heads} heads", layer.0),
            (None, Some(head)) => format!("head {}, {how} over {num_layers} layers", head.0),
            (None, None) => format!("{how} over {num_layers} layers and {num_heads} heads"),
        }
    }
}
