//! Normalisation and activations, in a fused and a differentiable form.
//!
//! candle's fused operations drop gradients without a word. They are reached only under [`Math::Fused`], here
//! and in `attention.rs` and `rotary.rs`; `clippy.toml` bans them elsewhere.

use candle_core::Tensor;

use super::compute::{Compute, Math};
use super::loader::Loader;
use super::param::Param;
use crate::checkpoint::config::Activation;
use crate::error::Result;

/// RMS norm (x / rms(x) * weight), or with a bias layer norm ((x - mean) / std * weight + bias); statistics in
/// f32.
#[derive(Debug, Clone)]
pub struct Norm {
    name: String,
    weight: Param,
    bias: Option<Param>,
    eps: f32,
}

impl Norm {
    /// RMS norm: `{name}.weight` [dim].
    pub fn rms(loader: &Loader<'_>, name: &str, dim: usize, eps: f64) -> Result<Self> {
        let weight = Param::new(loader.tensor(&format!("{name}.weight"), &[dim])?);
        Ok(Self { name: name.to_owned(), weight, bias: None, eps: eps as f32 })
    }

    /// Layer norm: `{name}.weight` and `{name}.bias`, both [dim].
    pub fn layer(loader: &Loader<'_>, name: &str, dim: usize, eps: f32) -> Result<Self> {
        let weight = Param::new(loader.tensor(&format!("{name}.weight"), &[dim])?);
        let bias = Param::new(loader.tensor(&format!("{name}.bias"), &[dim])?);
        Ok(Self { name: name.to_owned(), weight, bias: Some(bias), eps })
    }

    /// Canonical module name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameter of that name, "weight" or "bias", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut Param> {
        match name {
            "weight" => Some(&mut self.weight),
            "bias" => self.bias.as_mut(),
            _ => None,
        }
    }

    /// x: [.., dim] -> [.., dim].
    #[expect(clippy::disallowed_methods, reason = "the fused operations are for inference only")]
    pub fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Param::get));
        let y = match (compute.math, bias) {
            (Math::Fused, None) => candle_nn::ops::rms_norm(&x.contiguous()?, weight, self.eps),
            (Math::Fused, Some(bias)) => candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, self.eps),
            (Math::Differentiable, None) => candle_nn::ops::rms_norm_slow(x, weight, self.eps),
            (Math::Differentiable, Some(bias)) => candle_nn::ops::layer_norm_slow(x, weight, bias, self.eps),
        };
        Ok(y?)
    }
}

/// The config's non-linearity.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Silu => x.silu()?,
        Activation::GeluTanh => x.gelu()?,
        Activation::Gelu => x.gelu_erf()?,
    })
}
