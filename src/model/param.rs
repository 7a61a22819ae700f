//! A weight of the checkpoint, and what an adapter puts in its place.

use candle_core::Tensor;

use crate::error::Result;

/// A tensor of the base model that an adapter may replace; the base itself never changes.
#[derive(Debug, Clone)]
pub struct Param {
    base: Tensor,
    replaced: Option<Tensor>,
}

impl Param {
    /// A weight as the checkpoint has it.
    pub fn new(base: Tensor) -> Self {
        Self { base, replaced: None }
    }

    /// The weight in use.
    pub fn get(&self) -> &Tensor {
        self.replaced.as_ref().unwrap_or(&self.base)
    }

    /// Puts a tensor in the base's place, on its device and in its type.
    pub fn replace(&mut self, tensor: &Tensor) -> Result<()> {
        self.replaced = Some(tensor.to_device(self.base.device())?.to_dtype(self.base.dtype())?);
        Ok(())
    }
}
