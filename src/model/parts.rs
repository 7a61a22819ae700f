//! One way to every part of a model that holds weights: for adapters, for counting, for saving.

use super::embedding::{self, Embedding};
use super::linear::Linear;
use super::norm::Norm;
use super::param::Replace;
use crate::error::Result;

/// A part that holds weights.
pub enum Part<'a> {
    /// A linear layer.
    Linear(&'a mut Linear),
    /// A norm.
    Norm(&'a mut Norm),
    /// The token embedding.
    Embedding(&'a mut Embedding),
}

/// What is done with each.
pub type Visit<'v> = dyn FnMut(Part<'_>) -> Result<()> + 'v;

impl Part<'_> {
    /// Canonical module name.
    pub fn name(&self) -> &str {
        match self {
            Self::Linear(linear) => linear.name(),
            Self::Norm(norm) => norm.name(),
            Self::Embedding(_) => embedding::NAME,
        }
    }

    /// Cuts it off from the graph of what is trained; values stay shared.
    pub fn detach(&mut self) {
        match self {
            Self::Linear(linear) => linear.detach(),
            Self::Norm(norm) => norm.detach(),
            Self::Embedding(embedding) => embedding.detach(),
        }
    }

    /// The parameter of that name, "weight" or "bias".
    pub fn param_mut(&mut self, name: &str) -> Option<&mut dyn Replace> {
        match self {
            Self::Linear(linear) => linear.param_mut(name),
            Self::Norm(norm) => norm.param_mut(name),
            Self::Embedding(embedding) => embedding.param_mut(name),
        }
    }
}
