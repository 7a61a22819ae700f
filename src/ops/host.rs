//! Slices of tensors on the CPU, for operations that compute there themselves.

use candle_core::{CpuStorage, Layout, Result};

use super::element::Element;

/// The values of a contiguous tensor.
pub fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "an operation of our own" }.bt());
    };
    Ok(&storage.as_slice::<T>()?[start..end])
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

pub(crate) use for_element;
