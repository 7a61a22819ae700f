//! Linear layers, with the low-rank updates adapters put on them.

use candle_core::{D, DType, Tensor};

use super::compute::Compute;
use super::loader::Loader;
use super::param::Param;
use crate::checkpoint::adapter::LoraPair;
use crate::error::Result;

/// How a layer's weight is stored; quantised storage joins here.
#[derive(Debug, Clone)]
enum LinearWeight {
    /// [out, in].
    Dense(Param),
}

impl LinearWeight {
    fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(weight) => Ok(weight.get().dims2()?),
        }
    }

    /// x: [T, in] -> x Wᵀ, [T, out].
    fn product(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => Ok(x.matmul(&weight.get().t()?)?),
        }
    }

    /// The weight as f32, for what needs its values.
    fn values(&self) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => Ok(weight.get().to_dtype(DType::F32)?),
        }
    }
}

/// A low-rank update in its own precision; the layer's input is cast to it, its output back.
#[derive(Debug, Clone)]
struct Lora {
    /// [r, in].
    a: Tensor,
    /// [out, r].
    b: Tensor,
    scale: f64,
    /// [out]: `DoRA`'s magnitude over the norm of the updated weight's rows.
    magnitude: Option<Tensor>,
}

impl Lora {
    /// y = base + bias -> the layer's output with the update (Hu et al. 2021; Liu et al. 2024 for `DoRA`).
    fn apply(&self, x: &Tensor, base: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let wide = x.to_dtype(self.a.dtype())?;
        let update = (wide.matmul(&self.a.t()?)?.matmul(&self.b.t()?)? * self.scale)?;
        let mut y = (base.to_dtype(update.dtype())? + update)?;
        if let Some(magnitude) = &self.magnitude {
            y = y.broadcast_mul(magnitude)?;
        }
        if let Some(bias) = bias {
            y = y.broadcast_add(&bias.to_dtype(y.dtype())?)?;
        }
        Ok(y.to_dtype(base.dtype())?)
    }
}

/// y = x Wᵀ + bias, with the update of an adapter where one is on.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: LinearWeight,
    bias: Option<Param>,
    lora: Option<Lora>,
}

impl Linear {
    /// `{name}.weight` [out, in], and `{name}.bias` [out] where there is one.
    pub fn load(loader: &Loader<'_>, name: &str, in_dim: usize, out_dim: usize, bias: bool) -> Result<Self> {
        let weight = loader.tensor(&format!("{name}.weight"), &[out_dim, in_dim])?;
        let bias = bias.then(|| loader.tensor(&format!("{name}.bias"), &[out_dim])).transpose()?;
        Ok(Self::from_parts(name, weight, bias))
    }

    /// A layer from its weight [out, in] and bias [out].
    pub fn from_parts(name: &str, weight: Tensor, bias: Option<Tensor>) -> Self {
        let weight = LinearWeight::Dense(Param::new(weight));
        Self { name: name.to_owned(), weight, bias: bias.map(Param::new), lora: None }
    }

    /// Canonical module name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// [out, in].
    pub fn dims(&self) -> Result<(usize, usize)> {
        self.weight.dims()
    }

    /// The parameter of that name, "weight" or "bias", for what replaces it.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut Param> {
        match (name, &mut self.weight) {
            ("weight", LinearWeight::Dense(weight)) => Some(weight),
            ("bias", _) => self.bias.as_mut(),
            _ => None,
        }
    }

    /// Puts a low-rank update on; the weight itself never changes.
    pub fn set_lora(&mut self, pair: &LoraPair) -> Result<()> {
        let device = match &self.weight {
            LinearWeight::Dense(weight) => weight.get().device().clone(),
        };
        let (a, b) = (pair.a.to_device(&device)?, pair.b.to_device(&device)?);
        let magnitude = match &pair.magnitude {
            None => None,
            Some(magnitude) => {
                let updated = (self.weight.values()? + (b.matmul(&a)? * pair.scale)?)?;
                let norm = updated.sqr()?.sum(D::Minus1)?.sqrt()?;
                Some((magnitude.to_device(&device)? / norm)?)
            }
        };
        self.lora = Some(Lora { a, b, scale: pair.scale, magnitude });
        Ok(())
    }

    /// x: [T, in] -> [T, out].
    pub fn forward(&self, x: &Tensor, compute: &Compute<'_>) -> Result<Tensor> {
        let (out_dim, in_dim) = self.weight.dims()?;
        let (num_rows, block) = (x.dim(0)?, compute.row_block(out_dim * in_dim));
        if num_rows <= block {
            return self.forward_rows(x);
        }
        let mut parts = Vec::new();
        for start in (0..num_rows).step_by(block) {
            compute.check()?;
            parts.push(self.forward_rows(&x.narrow(0, start, block.min(num_rows - start))?)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    fn forward_rows(&self, x: &Tensor) -> Result<Tensor> {
        let base = self.weight.product(x)?;
        let bias = self.bias.as_ref().map(Param::get);
        match (&self.lora, bias) {
            (Some(lora), bias) => lora.apply(x, &base, bias),
            (None, Some(bias)) => Ok(base.broadcast_add(bias)?),
            (None, None) => Ok(base),
        }
    }
}
