//! Linear layers, norms, activations and rotary application, each with a fused and a differentiable path.
//!
//! candle's fused norm, softmax and rotary operations drop gradients without a word. They are reached
//! only from this file, only under [`Math::Fused`]; `clippy.toml` bans them elsewhere.

use candle_core::{D, DType, Tensor};

use super::loader::Loader;
use crate::checkpoint::adapter::LoraPair;
use crate::checkpoint::config::Activation;
use crate::error::Result;

/// Which implementation of norms, softmax and rotary positions runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Math {
    /// Fast, without gradients: inference.
    Fused,
    /// Built from operations that have gradients: training, and the check of the fused ones.
    Differentiable,
}

/// A low-rank update fitted to a layer: same device and type as its weight.
#[derive(Debug, Clone)]
pub struct Lora {
    a: Tensor,
    b: Tensor,
    scale: f64,
}

/// y = x Wᵀ + bias, plus the `LoRA` update where one is put on.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: Tensor,
    bias: Option<Tensor>,
    lora: Option<Lora>,
}

impl Linear {
    /// `{name}.weight` [out, in], and `{name}.bias` [out] where there is one.
    pub fn load(loader: &Loader<'_>, name: &str, in_dim: usize, out_dim: usize, bias: bool) -> Result<Self> {
        let weight = loader.tensor(&format!("{name}.weight"), &[out_dim, in_dim])?;
        let bias = bias.then(|| loader.tensor(&format!("{name}.bias"), &[out_dim])).transpose()?;
        Ok(Self { name: name.to_owned(), weight, bias, lora: None })
    }

    /// A layer from its weight [out, in] and bias [out].
    pub fn from_parts(name: &str, weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { name: name.to_owned(), weight, bias, lora: None }
    }

    /// Canonical module name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// [out, in].
    pub fn dims(&self) -> Result<(usize, usize)> {
        Ok(self.weight.dims2()?)
    }

    /// Puts a `LoRA` update on, or takes it off; the weight itself never changes.
    pub fn set_lora(&mut self, pair: Option<&LoraPair>) -> Result<()> {
        self.lora = match pair {
            None => None,
            Some(pair) => {
                let fit = |t: &Tensor| t.to_device(self.weight.device())?.to_dtype(self.weight.dtype());
                Some(Lora { a: fit(&pair.a)?, b: fit(&pair.b)?, scale: pair.scale })
            }
        };
        Ok(())
    }

    /// x: [T, in] -> [T, out].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = x.matmul(&self.weight.t()?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        if let Some(lora) = &self.lora {
            let update = x.matmul(&lora.a.t()?)?.matmul(&lora.b.t()?)?;
            y = (y + (update * lora.scale)?)?;
        }
        Ok(y)
    }
}

/// x / rms(x) * weight, statistics in f32.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `{name}.weight` [dim].
    pub fn load(loader: &Loader<'_>, name: &str, dim: usize, eps: f64) -> Result<Self> {
        Ok(Self { weight: loader.tensor(&format!("{name}.weight"), &[dim])?, eps })
    }

    /// x: [.., dim] -> [.., dim].
    #[expect(clippy::disallowed_methods, reason = "the fused operation is for inference only")]
    pub fn forward(&self, x: &Tensor, math: Math) -> Result<Tensor> {
        let eps = self.eps as f32;
        Ok(match math {
            Math::Fused => candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, eps)?,
            Math::Differentiable => candle_nn::ops::rms_norm_slow(x, &self.weight, eps)?,
        })
    }
}

/// (x - mean) / std * weight + bias.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// `{name}.weight` and `{name}.bias`, both [dim].
    pub fn load(loader: &Loader<'_>, name: &str, dim: usize, eps: f32) -> Result<Self> {
        let weight = loader.tensor(&format!("{name}.weight"), &[dim])?;
        let bias = loader.tensor(&format!("{name}.bias"), &[dim])?;
        Ok(Self { weight, bias, eps })
    }

    /// x: [.., dim] -> [.., dim].
    #[expect(clippy::disallowed_methods, reason = "the fused operation is for inference only")]
    pub fn forward(&self, x: &Tensor, math: Math) -> Result<Tensor> {
        Ok(match math {
            Math::Fused => candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)?,
            Math::Differentiable => candle_nn::ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps)?,
        })
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

/// Softmax over the last dimension, in f32.
#[expect(clippy::disallowed_methods, reason = "the fused operation is for inference only")]
pub fn softmax(scores: &Tensor, math: Math) -> Result<Tensor> {
    let scores = scores.to_dtype(DType::F32)?;
    Ok(match math {
        Math::Fused => candle_nn::ops::softmax_last_dim(&scores.contiguous()?)?,
        Math::Differentiable => candle_nn::ops::softmax(&scores, D::Minus1)?,
    })
}

/// Cosines and sines of every position, half a head wide: the other half repeats them.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// [T, `head_dim` / 2].
    pub cos: Tensor,
    /// [T, `head_dim` / 2].
    pub sin: Tensor,
}

impl Rotary {
    /// From angles, [T, `head_dim` / 2] in row order.
    pub fn from_angles(
        angles: &[f32],
        half: usize,
        dtype: DType,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let rows = angles.len() / half;
        let table = |f: fn(f32) -> f32| -> Result<Tensor> {
            let values: Vec<f32> = angles.iter().map(|a| f(*a)).collect();
            Ok(Tensor::from_vec(values, (rows, half), device)?.to_dtype(dtype)?)
        };
        Ok(Self { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }

    /// Rotates the halves of each head against each other (`rotate_half`); x: [H, T, `head_dim`].
    #[expect(clippy::disallowed_methods, reason = "the fused operation is for inference only")]
    pub fn apply(&self, x: &Tensor, math: Math) -> Result<Tensor> {
        let batched = x.contiguous()?.unsqueeze(0)?;
        let rotated = match math {
            Math::Fused => candle_nn::rotary_emb::rope(&batched, &self.cos, &self.sin)?,
            Math::Differentiable => candle_nn::rotary_emb::rope_slow(&batched, &self.cos, &self.sin)?,
        };
        Ok(rotated.squeeze(0)?)
    }
}

/// 1 / base^(2i / dim) for i in 0..dim/2: the frequencies of rotary positions (Su et al., 2021).
pub fn inverse_frequencies(dim: usize, base: f64) -> Vec<f32> {
    (0..dim).step_by(2).map(|i| (1.0 / base.powf(i as f64 / dim as f64)) as f32).collect()
}
