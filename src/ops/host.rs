//! Slices of tensors on the CPU, for operations that compute there themselves.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

use super::element::Element;
use super::elementwise;
use super::isa::Isa;

/// The values of a contiguous tensor.
pub fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "an operation of our own" }.bt());
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// The tensor as f32 in row order, without a copy where it is so already.
pub fn flat(tensor: &Tensor) -> Result<Tensor> {
    cast(tensor, DType::F32)?.contiguous()
}

/// The tensor in another type, on all threads, which candle's own cast does not use.
pub fn cast(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    if tensor.dtype() == dtype || !tensor.device().is_cpu() || !tensor.is_contiguous() {
        return tensor.to_dtype(dtype);
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("values of a tensor not on the CPU") };
    for_element!(storage.dtype(), T => {
        let values = slice::<T>(storage, layout)?;
        for_element!(dtype, U => {
            let cast = elementwise::map::<T, U>(values, Isa::best(), |value| value);
            Tensor::from_vec(cast, layout.shape(), tensor.device())
        })
    })
}

/// Values as a tensor of the shape and the type of another.
pub fn tensor_like(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    cast(&Tensor::from_vec(values, like.shape(), like.device())?, like.dtype())
}

/// The values of a tensor that [`flat`] made.
pub fn f32s<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => slice(storage, layout),
        _ => candle_core::bail!("values of a tensor that is not on the CPU"),
    }
}

/// Binds the f32 values of tensors on the CPU to names, for as long as the scope lasts.
macro_rules! values {
    ($($name:ident = $tensor:expr),+ $(,)?) => {
        $(
            let held = $crate::ops::host::flat($tensor)?;
            let (storage, layout) = held.storage_and_layout();
            let $name = $crate::ops::host::f32s(&storage, layout)?;
        )+
    };
}

/// Runs a block with `$T` as the element type a tensor has.
macro_rules! for_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            candle_core::DType::F16 => {
                type $T = half::f16;
                $body
            }
            other => candle_core::bail!("expected f32, bf16 or f16, found {}", other.as_str()),
        }
    };
}

pub(crate) use {for_element, values};
