//! Numbers of a sample's tokens besides their states: what points of a layout can be coloured by.

use serde::{Deserialize, Serialize};

use crate::trace::{HiddenStates, Trace};
use crate::units::{HeadIdx, LayerIdx};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateScalar {
    /// How long the state is.
    Length,
    /// The attention that the latents give the token.
    Attended,
    /// How likely the model's answer was to it.
    Certainty,
}

/// All of a sample's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scalars {
    /// |state|, [l][t].
    pub lengths: Vec<Vec<f32>>,
    /// Attention that latents give each token in the layer that made its state, mean over latents and heads, [l][t];
    /// nothing where no layer made it.
    pub attended: Vec<Vec<f32>>,
    /// Geometric mean of the probabilities of the answer's tokens; 0 to 1.
    pub certainty: f32,
}

impl Scalars {
    /// Of a trace that has its latents' attention.
    pub fn new(trace: &Trace, states: &HiddenStates) -> Self {
        let rows = states.tokens.len();
        let width = states.values.shape().last().copied().unwrap_or(0).max(1);
        let length = |state: &[f32]| state.iter().map(|v| v * v).sum::<f32>().sqrt();
        let by_layer = states.values.data().chunks((rows * width).max(1));
        let logprobs: Vec<f32> = trace.generated.iter().map(|token| token.logprob).collect();
        Self {
            lengths: by_layer.map(|layer| layer.chunks(width).map(length).collect()).collect(),
            attended: states.layers.iter().map(|layer| attended(trace, states, *layer)).collect(),
            certainty: (logprobs.iter().sum::<f32>() / logprobs.len().max(1) as f32).exp(),
        }
    }

    /// That of a token, by its place among the kept ones, at the `layer`-th of the layers.
    pub fn of(&self, scalar: StateScalar, layer: usize, token: usize) -> Option<f32> {
        let values = match scalar {
            StateScalar::Length => &self.lengths,
            StateScalar::Attended => &self.attended,
            StateScalar::Certainty => return Some(self.certainty),
        };
        values.get(layer)?.get(token).copied()
    }
}

/// Of each kept token, in the layer that makes a place of the residual stream.
fn attended(trace: &Trace, states: &HiddenStates, layer: usize) -> Vec<f32> {
    let (num_layers, num_heads) = trace.attention_dims();
    let Some(layer) = layer.checked_sub(1).filter(|layer| *layer < num_layers) else { return Vec::new() };
    let latents = trace.num_latents();
    let each = || (0..num_heads).flat_map(|head| (0..latents).map(move |latent| (HeadIdx(head), latent)));
    let rows: Vec<&[f32]> =
        each().filter_map(|(head, latent)| trace.latent_row(LayerIdx(layer), head, latent)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let of = |token: &usize| {
        rows.iter().map(|row| row.get(*token).copied().unwrap_or(0.0)).sum::<f32>() / rows.len() as f32
    };
    states.tokens.iter().map(of).collect()
}
