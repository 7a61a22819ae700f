//! Linear layers, with the low-rank updates adapters put on them.

use candle_core::{D, DType, Tensor};

use super::compute::Compute;
use super::loader::Loader;
use super::param::{Param, Replace, Vector, WeightParam};
use crate::checkpoint::adapter::LoraPair;
use crate::error::Result;
use crate::ops::dropout::dropout;
use crate::ops::elementwise::add;
use crate::ops::linear::linear_of;
use crate::ops::low_rank::low_rank;
use crate::ops::tape;
use crate::ops::weight::Weight;
use crate::random;

/// A low-rank update in its own precision; the layer's input is cast to it, its output back.
#[derive(Debug, Clone)]
struct Lora {
    /// [r, in].
    a: Tensor,
    /// [out, r].
    b: Tensor,
    scale: f64,
    /// [out]: `DoRA`'s magnitude over the norm of the updated weight's rows (Liu et al. 2024).
    magnitude: Option<Tensor>,
    /// Share of its input that falls out while it is trained.
    dropout: f32,
}

/// y = x Wᵀ + bias, with the update of an adapter where one is on.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: WeightParam,
    bias: Option<Vector>,
    lora: Option<Lora>,
}

impl Linear {
    /// `{name}.weight` [out, in], and `{name}.bias` [out] where there is one.
    pub fn load(loader: &Loader<'_>, name: &str, in_dim: usize, out_dim: usize, bias: bool) -> Result<Self> {
        let weight = loader.linear(&format!("{name}.weight"), &[out_dim, in_dim], [out_dim, in_dim])?;
        let bias = bias.then(|| loader.tensor(&format!("{name}.bias"), &[out_dim])).transpose()?;
        Ok(Self::from_parts(name, weight, bias, loader.precision.dtype))
    }

    /// A layer of a model that computes in `dtype` from its weight [out, in] and bias [out].
    pub fn from_parts(name: &str, weight: Weight, bias: Option<Tensor>, dtype: DType) -> Self {
        let weight = Param::matrix(weight, dtype);
        Self { name: name.to_owned(), weight, bias: bias.map(Param::vector), lora: None }
    }

    /// Canonical module name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// [out, in].
    pub fn dims(&self) -> Result<(usize, usize)> {
        self.weight.get().dims()
    }

    /// Its weight, as it is held.
    pub fn weight(&self) -> &Weight {
        self.weight.get()
    }

    /// The parameter of that name, "weight" or "bias", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut dyn Replace> {
        match (name, &mut self.bias) {
            ("weight", _) => Some(&mut self.weight),
            ("bias", Some(bias)) => Some(bias),
            _ => None,
        }
    }

    /// Puts a low-rank update on; the weight itself never changes.
    pub fn set_lora(&mut self, pair: &LoraPair) -> Result<()> {
        let device = self.weight().device();
        let (a, b) = (pair.a.to_device(device)?, pair.b.to_device(device)?);
        let magnitude = match &pair.magnitude {
            None => None,
            Some(magnitude) => {
                let updated = (self.weight().values()? + (b.matmul(&a)? * pair.scale)?)?;
                let norm = updated.sqr()?.sum(D::Minus1)?.sqrt()?;
                Some((magnitude.to_device(device)? / norm)?)
            }
        };
        self.lora = Some(Lora { a, b, scale: pair.scale, magnitude, dropout: 0.0 });
        Ok(())
    }

    /// The low-rank update, where one is on.
    pub fn has_lora(&self) -> bool {
        self.lora.is_some()
    }

    /// In passes that drop out, so much of the update's input does.
    pub fn set_dropout(&mut self, share: f32) {
        if let Some(lora) = &mut self.lora {
            lora.dropout = share;
        }
    }

    /// Cuts every tensor off from the graph of what is trained; values stay shared.
    pub fn detach(&mut self) {
        self.weight.detach();
        if let Some(bias) = &mut self.bias {
            bias.detach();
        }
        if let Some(lora) = &mut self.lora {
            (lora.a, lora.b) = (lora.a.detach(), lora.b.detach());
        }
    }

    /// x: [T, in] -> [T, out].
    pub fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let (out_dim, in_dim) = self.dims()?;
        let (num_rows, block) = (x.dim(0)?, compute.row_block(out_dim * in_dim));
        if num_rows <= block {
            return self.forward_rows(x, 0, compute);
        }
        let mut parts = Vec::new();
        for start in (0..num_rows).step_by(block) {
            compute.check()?;
            let rows = tape::narrow(x, 0, start, block.min(num_rows - start))?;
            parts.push(self.forward_rows(&rows, start, compute)?);
        }
        tape::cat_rows(&parts)
    }

    /// x: [T, in] -> `count` outputs of [T, out / count] each, one after the other: where the weight is trained, by as
    /// many products, since a gradient of a part of an output would be padded with zeros to all of it.
    pub fn forward_split(&self, x: &Tensor, count: usize, compute: &Compute<'_>) -> Result<Vec<Tensor>> {
        let each = self.dims()?.0 / count;
        if let Some(weight) = self.weight.get().tensor().filter(|weight| weight.track_op())
            && self.lora.is_none()
        {
            let part = |i: usize| -> Result<Tensor> {
                let rows = self.weight.get().like(tape::narrow(weight, 0, i * each, each)?);
                let bias =
                    self.bias.as_ref().map(|bias| tape::narrow(bias.get(), 0, i * each, each)).transpose()?;
                linear_of(x, &rows, bias.as_ref(), compute.rows, compute.isa)
            };
            return (0..count).map(part).collect();
        }
        let all = self.forward(x, compute)?;
        (0..count).map(|i| tape::narrow(&all, 1, i * each, each)).collect()
    }

    /// Rows from `start` on.
    fn forward_rows(&self, x: &Tensor, start: usize, compute: &Compute<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(Param::get));
        let Some(lora) = &self.lora else { return linear_of(x, weight, bias, compute.rows, compute.isa) };
        let Some(magnitude) = &lora.magnitude else {
            let kept = match compute.dropout {
                Some(key) if lora.dropout > 0.0 => {
                    &dropout(x, lora.dropout, self.key(key, start), compute.isa)?
                }
                _ => x,
            };
            let update = low_rank(kept, &lora.a, &lora.b, lora.scale)?;
            return add(&linear_of(x, weight, bias, compute.rows, compute.isa)?, &update, compute.isa);
        };
        let base = linear_of(x, weight, None, compute.rows, compute.isa)?;
        let update = low_rank(x, &lora.a, &lora.b, lora.scale)?;
        let inputs: Vec<&Tensor> = [&base, &update, magnitude].into_iter().chain(bias).collect();
        tape::native(&inputs, |of| {
            let (base, update, magnitude, bias) = (&of[0], &of[1], &of[2], of.get(3));
            let y = (base.to_dtype(DType::F32)? + update)?.broadcast_mul(magnitude)?;
            let y = match bias {
                Some(bias) => y.broadcast_add(&bias.to_dtype(DType::F32)?)?,
                None => y,
            };
            Ok(y.to_dtype(base.dtype())?)
        })
    }

    /// A key of its own for this layer's rows from `start` on.
    fn key(&self, key: u64, start: usize) -> u64 {
        random::key(random::key_of_name(key, &self.name), &[start as u64])
    }
}
