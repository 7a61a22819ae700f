//! A weight of the checkpoint, and what an adapter puts in its place.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::ops::weight::Weight;

/// Of a norm or a bias: a vector.
pub type Vector = Param<Tensor>;
/// Of a linear layer or an embedding.
pub type WeightParam = Param<Weight>;

/// A value of the base model that an adapter may replace; the base itself never changes.
#[derive(Debug, Clone)]
pub struct Param<T> {
    base: T,
    replaced: Option<T>,
    dtype: DType,
}

/// What an adapter may replace, whatever it is.
pub trait Replace {
    /// Its sizes.
    fn shape(&self) -> Result<Vec<usize>>;

    /// Puts a tensor in the base's place, on its device and in its type.
    fn replace(&mut self, tensor: &Tensor) -> Result<()>;
}

impl<T> Param<T> {
    /// The value in use.
    pub fn get(&self) -> &T {
        self.replaced.as_ref().unwrap_or(&self.base)
    }
}

/// What can be cut off from the graph of what is trained.
pub trait Detach {
    /// The same values, without their history.
    #[must_use]
    fn detached(&self) -> Self;
}

impl Detach for Tensor {
    fn detached(&self) -> Self {
        self.detach()
    }
}

impl Detach for Weight {
    fn detached(&self) -> Self {
        match self {
            Self::Dense(tensor) => Self::Dense(tensor.detach()),
            Self::Mixed(tensor) => Self::Mixed(tensor.detach()),
            Self::Packed(packed) => Self::Packed(packed.clone()),
        }
    }
}

impl<T: Detach> Param<T> {
    /// Cuts it off from the graph of what is trained; values stay shared.
    pub fn detach(&mut self) {
        self.base = self.base.detached();
        self.replaced = self.replaced.as_ref().map(T::detached);
    }
}

impl Vector {
    /// A vector as the checkpoint has it.
    pub fn vector(base: Tensor) -> Self {
        Self { dtype: base.dtype(), base, replaced: None }
    }
}

impl WeightParam {
    /// A matrix as the checkpoint has it, of a model that computes in `dtype`.
    pub fn matrix(base: Weight, dtype: DType) -> Self {
        Self { base, replaced: None, dtype }
    }

    /// The type its layer computes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
}

impl Replace for Vector {
    fn shape(&self) -> Result<Vec<usize>> {
        Ok(self.get().dims().to_vec())
    }

    fn replace(&mut self, tensor: &Tensor) -> Result<()> {
        self.replaced = Some(tensor.to_device(self.base.device())?.to_dtype(self.dtype)?);
        Ok(())
    }
}

impl Replace for WeightParam {
    fn shape(&self) -> Result<Vec<usize>> {
        let (rows, cols) = self.get().dims()?;
        Ok(vec![rows, cols])
    }

    fn replace(&mut self, tensor: &Tensor) -> Result<()> {
        let tensor = tensor.to_device(self.base.device())?.to_dtype(self.dtype)?;
        // A weight known by its shape only has nothing to lay out.
        let only_a_shape = tensor.stride().iter().all(|stride| *stride == 0);
        self.replaced = Some(if only_a_shape { Weight::Dense(tensor) } else { Weight::new(tensor)? });
        Ok(())
    }
}
