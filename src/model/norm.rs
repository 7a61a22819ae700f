//! Normalisation and activations.

use candle_core::Tensor;

use super::compute::Compute;
use super::loader::Loader;
use super::param::{Param, Replace, Vector};
use crate::checkpoint::config::Activation;
use crate::error::Result;
use crate::ops::gelu::{self, gelu};
use crate::ops::layer_norm::layer_norm;
use crate::ops::rms_norm::rms_norm;
use crate::ops::swiglu::swiglu;
use crate::ops::tape;

/// RMS norm, or with a bias layer norm.
#[derive(Debug, Clone)]
pub struct Norm {
    name: String,
    weight: Vector,
    bias: Option<Vector>,
    eps: f32,
}

impl Norm {
    /// RMS norm: `{name}.weight` [dim].
    pub fn rms(loader: &Loader<'_>, name: &str, dim: usize, eps: f64) -> Result<Self> {
        let weight = Param::vector(loader.tensor(&format!("{name}.weight"), &[dim])?);
        Ok(Self { name: name.to_owned(), weight, bias: None, eps: eps as f32 })
    }

    /// Layer norm: `{name}.weight` and `{name}.bias`, both [dim].
    pub fn layer(loader: &Loader<'_>, name: &str, dim: usize, eps: f32) -> Result<Self> {
        let weight = Param::vector(loader.tensor(&format!("{name}.weight"), &[dim])?);
        let bias = Param::vector(loader.tensor(&format!("{name}.bias"), &[dim])?);
        Ok(Self { name: name.to_owned(), weight, bias: Some(bias), eps })
    }

    /// Canonical module name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameter of that name, "weight" or "bias", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut dyn Replace> {
        match (name, &mut self.bias) {
            ("weight", _) => Some(&mut self.weight),
            ("bias", Some(bias)) => Some(bias),
            _ => None,
        }
    }

    /// Cuts it off from the graph of what is trained; values stay shared.
    pub fn detach(&mut self) {
        self.weight.detach();
        if let Some(bias) = &mut self.bias {
            bias.detach();
        }
    }

    /// x: [.., dim] -> [.., dim].
    pub fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        match &self.bias {
            None => rms_norm(x, self.weight.get(), self.eps, compute.isa),
            Some(bias) => layer_norm(x, self.weight.get(), bias.get(), self.eps, compute.isa),
        }
    }
}

/// The config's non-linearity.
pub fn activate(x: &Tensor, activation: Activation, compute: &Compute<'_>) -> Result<Tensor> {
    match activation {
        Activation::Silu => tape::native(&[x], |of| Ok(of[0].silu()?)),
        Activation::GeluTanh => gelu(x, gelu::Form::Tanh, compute.isa),
        Activation::Gelu => gelu(x, gelu::Form::Erf, compute.isa),
    }
}

/// The config's non-linearity of one half times the other.
pub fn gate(x: &Tensor, up: &Tensor, activation: Activation, compute: &Compute<'_>) -> Result<Tensor> {
    match activation {
        Activation::Silu => swiglu(x, up, compute.isa),
        other => tape::native(&[&activate(x, other, compute)?, up], |of| Ok((&of[0] * &of[1])?)),
    }
}
