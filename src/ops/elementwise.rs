//! Operations on two tensors value by value, on all threads.

use std::mem::MaybeUninit;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Storage, Tensor, WithDType};

use super::element::Element;
use super::host::{cast, for_element, slice, tensor_like, values};
use super::isa::Isa;
use super::rows;
use super::shared::written;
use super::tape;
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

/// out = f(a), values in f32, rounded to the type of `out`.
pub fn map<T: Element, U: Element>(a: &[T], isa: Isa, f: impl Fn(f32) -> f32 + Sync) -> Vec<U> {
    let fill = |out: &mut [MaybeUninit<U>]| {
        rows::fill(out, 1, |first, out| {
            let a = &a[first..][..out.len()];
            isa.run(
                #[inline(always)]
                || {
                    for (out, a) in out.iter_mut().zip(a) {
                        out.write(U::narrow(f(a.wide())));
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

/// Gradient of f at x times what came down, for operations on one tensor.
pub fn chain(
    x: &Tensor,
    grad: &Tensor,
    isa: Isa,
    slope: impl Fn(f32) -> f32 + Sync,
) -> candle_core::Result<Tensor> {
    values!(xs = x, gs = grad);
    let dx = zip(xs, gs, isa, |x, g| g * slope(x));
    tensor_like(dx, x)
}

/// The sum of tensors of one shape and type on the CPU: in f32, rounded once. One alone is its own sum.
pub fn sum(each: &[Tensor]) -> candle_core::Result<Tensor> {
    if let [alone] = each {
        return Ok(alone.clone());
    }
    let held = each.iter().map(Tensor::contiguous).collect::<candle_core::Result<Vec<_>>>()?;
    let storages: Vec<_> = held.iter().map(Tensor::storage_and_layout).collect();
    let Some(first) = held.first() else { candle_core::bail!("a sum of no tensors") };
    for_element!(first.dtype(), T => {
        let each = storages.iter().map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice::<T>(storage, layout),
            _ => candle_core::bail!("values of a tensor that is not on the CPU"),
        });
        let total = sum_of(&each.collect::<candle_core::Result<Vec<&[T]>>>()?);
        Tensor::from_vec(total, first.shape(), first.device())
    })
}

fn sum_of<T: Element>(each: &[&[T]]) -> Vec<T> {
    let isa = Isa::best();
    let fill = |out: &mut [MaybeUninit<T>]| {
        rows::fill(out, 1, |start, out| {
            let mut sums = vec![0f32; out.len()];
            isa.run(
                #[inline(always)]
                || {
                    for values in each {
                        for (sum, value) in sums.iter_mut().zip(&values[start..]) {
                            *sum += value.wide();
                        }
                    }
                    for (out, sum) in out.iter_mut().zip(&sums) {
                        out.write(T::narrow(*sum));
                    }
                },
            );
        });
    };
    #[expect(unsafe_code, reason = "an output that is written once")]
    // SAFETY: pieces of rows cover all of it.
    unsafe {
        written(each[0].len(), fill)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn sums_are_rounded_once() {
        let ones: Vec<Tensor> = [1.0f32, 1.0 / 256.0, 1.0 / 256.0]
            .iter()
            .map(|v| Tensor::full(*v, 70_000, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap())
            .collect();
        let total = sum(&ones).unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        // One by one each small part would be lost: bf16 has 8 bits.
        assert!(total.iter().all(|v| *v == 1.0 + 1.0 / 128.0));
    }
}
