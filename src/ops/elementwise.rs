//! Sums of two tensors, value by value, on all threads.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::host::{for_element, slice};
use super::isa::Isa;
use super::tape;
use super::values::{cast, zip};
use crate::error::Result;

/// a + b, where b may be f32 whatever a is: the sum is rounded once, to the type of a.
pub fn add(a: &Tensor, b: &Tensor, isa: Isa) -> Result<Tensor> {
    if !a.device().is_cpu() {
        let sum = (a.to_dtype(b.dtype())? + b)?;
        return Ok(sum.to_dtype(a.dtype())?);
    }
    assert_eq!(a.shape(), b.shape(), "shapes of a sum");
    tape::apply2(a, b, Add { isa })
}

struct Add {
    isa: Isa,
}

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        for_element!(a.dtype(), T => {
            let values = slice::<T>(a, a_layout)?;
            let out = for_element!(b.dtype(), U => zip(values, slice::<U>(b, b_layout)?, self.isa, |a, b| a + b));
            Ok((T::to_cpu_storage_owned(out), a_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(cast(grad, a.dtype())?), Some(cast(grad, b.dtype())?)))
    }
}
