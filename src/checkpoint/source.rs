//! Where weights come from, whatever the file format: safetensors today.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};

impl From<candle_core::Error> for Error {
    /// candle's errors carry a backtrace after the first line.
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// Tensors by canonical name.
pub trait WeightSource {
    /// Is there such a tensor?
    fn has(&self, name: &str) -> bool;

    /// Are there values behind the tensors it hands out?
    fn has_values(&self) -> bool;

    /// Is the tensor there, in this shape and in a type that can be read?
    fn expect(&self, name: &str, shape: &[usize]) -> Result<()>;

    /// The tensor of this name and shape, as `dtype` on `device`.
    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor>;

    /// Bytes of all tensors as stored.
    fn size_bytes(&self) -> usize;

    /// Bytes of one tensor as stored; 0 where it is not there.
    fn size_of(&self, name: &str) -> usize;
}
