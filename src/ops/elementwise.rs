//! Operations on two tensors value by value, on all threads.

use std::mem::MaybeUninit;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice, values};
use super::isa::Isa;
use super::rows;
use super::shared::written;
use crate::error::Result;

/// out = f(a, b), values in f32, rounded to the type of `a`.
pub fn zip<T: Element, U: Element>(a: &[T], b: &[U], isa: Isa, f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<T> {
    assert_eq!(a.len(), b.len(), "values of two tensors");
    let fill = |out: &mut [MaybeUninit<T>]| {
        rows::fill(out, 1, |first, out| {
            let (a, b) = (&a[first..][..out.len()], &b[first..][..out.len()]);
            isa.run(
                #[inline(always)]
                || {
                    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                        out.write(T::narrow(f(a.wide(), b.wide())));
                    }
                },
            );
        });
    };
    #[expect(unsafe_code, reason = "an output that is written once")]
    // SAFETY: pieces of rows cover all of it.
    unsafe {
        written(a.len(), fill)
    }
}

/// a + b, where b may be f32 whatever a is: the sum is rounded once, to the type of a.
pub fn add(a: &Tensor, b: &Tensor, isa: Isa) -> Result<Tensor> {
    if !a.device().is_cpu() {
        let sum = (a.to_dtype(b.dtype())? + b)?;
        return Ok(sum.to_dtype(a.dtype())?);
    }
    assert_eq!(a.shape(), b.shape(), "shapes of a sum");
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, Add { isa })?)
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
        Ok((Some(grad.to_dtype(a.dtype())?), Some(grad.to_dtype(b.dtype())?)))
    }
}

/// Gradient of f at x times what came down, for operations on one tensor.
pub fn chain(
    x: &Tensor,
    grad: &Tensor,
    isa: Isa,
    slope: impl Fn(f32) -> f32 + Sync,
) -> candle_core::Result<Tensor> {
    values!(xs = x, gs = grad);
    let dx = zip(xs, gs, isa, |x, g| g * slope(x));
    Tensor::from_vec(dx, x.shape(), x.device())?.to_dtype(x.dtype())
}
