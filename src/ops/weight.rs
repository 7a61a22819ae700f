//! A matrix of a linear layer, as it is held in memory.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::host::{for_element, slice};
use super::matmul::packed::{Format, Matrix, Packed};
use super::matmul::tiles::Half;
use crate::error::Result;

/// What a model computes in, and how it holds its linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Type of the residual stream, the norms, the embedding and the output.
    pub dtype: DType,
    /// Format of the linear layers where it is not that type.
    pub quantised: Option<Format>,
    /// Are linear layers of f32, which may be trained, multiplied in bf16?
    pub mixed: bool,
}

impl From<DType> for Precision {
    fn from(dtype: DType) -> Self {
        Self { dtype, quantised: None, mixed: false }
    }
}

impl Precision {
    /// As the user reads it.
    pub fn name(self) -> &'static str {
        match self.quantised {
            None if self.mixed => "f32, multiplied in bf16",
            Some(Format::Q8) => "8-bit",
            Some(Format::Q4) => "4-bit",
            Some(Format::Half(_)) | None => self.dtype.as_str(),
        }
    }

    /// Bytes that the weight of a linear layer takes on the CPU.
    pub fn linear_bytes(self, rows: usize, cols: usize) -> usize {
        let format = self.quantised.or(match self.dtype {
            DType::BF16 => Some(Format::Half(Half::Bf16)),
            DType::F16 => Some(Format::Half(Half::F16)),
            _ => None,
        });
        format.map_or(rows * cols * self.dtype.size_in_bytes(), |format| format.bytes(rows, cols))
    }
}

/// [out, in].
#[derive(Debug, Clone)]
pub enum Weight {
    /// A tensor, which may be trained.
    Dense(Tensor),
    /// A tensor of f32 on the CPU, which may be trained and is multiplied in bf16; sums are of f32.
    Mixed(Tensor),
    /// Laid out once for the matrix kernels of the CPU; never trained.
    Packed(Arc<Packed>),
}

impl Weight {
    /// Takes a matrix as its type is best held: 16-bit types on the CPU packed, all else as it is.
    pub fn new(tensor: Tensor) -> Result<Self> {
        let format = match tensor.dtype() {
            DType::BF16 if tensor.device().is_cpu() => Format::Half(Half::Bf16),
            DType::F16 if tensor.device().is_cpu() => Format::Half(Half::F16),
            _ => return Ok(Self::Dense(tensor)),
        };
        Self::packed(&tensor, format)
    }

    /// Takes a matrix in a format of the CPU's kernels.
    pub fn packed(tensor: &Tensor, format: Format) -> Result<Self> {
        let (rows, cols) = tensor.dims2()?;
        let tensor = tensor.contiguous()?;
        let (storage, layout) = tensor.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            return Err(crate::error::Error::Tensor("only matrices on the CPU are packed".to_owned()));
        };
        let pack = || -> candle_core::Result<Packed> {
            for_element!(tensor.dtype(), T => Ok(Packed::new(Matrix::new(slice::<T>(storage, layout)?, rows, cols), format)))
        };
        Ok(Self::Packed(Arc::new(pack()?)))
    }

    /// The tensor, where it is one.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(tensor) | Self::Mixed(tensor) => Some(tensor),
            Self::Packed(_) => None,
        }
    }

    /// Another tensor, multiplied as this one is.
    #[must_use]
    pub fn like(&self, tensor: Tensor) -> Self {
        if matches!(self, Self::Mixed(_)) { Self::Mixed(tensor) } else { Self::Dense(tensor) }
    }

    /// [out, in].
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(tensor) | Self::Mixed(tensor) => Ok(tensor.dims2()?),
            Self::Packed(packed) => Ok(packed.dims()),
        }
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        match self {
            Self::Dense(tensor) | Self::Mixed(tensor) => tensor.device(),
            Self::Packed(_) => &Device::Cpu,
        }
    }

    /// Memory it holds, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Dense(tensor) | Self::Mixed(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Packed(packed) => packed.bytes(),
        }
    }

    /// Its values as f32, for what needs all of them.
    pub fn values(&self) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) | Self::Mixed(tensor) => Ok(tensor.to_dtype(DType::F32)?),
            Self::Packed(packed) => {
                let (rows, cols) = packed.dims();
                let mut values = vec![0f32; rows * cols];
                for (row, out) in values.chunks_exact_mut(cols.max(1)).enumerate() {
                    packed.read_row(row, out);
                }
                Ok(Tensor::from_vec(values, (rows, cols), &Device::Cpu)?)
            }
        }
    }
}
