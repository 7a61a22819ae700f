//! Values of tensors on the CPU, one by one, on all threads: maps, sums, casts.

use std::mem::MaybeUninit;

use candle_core::backend::BackendStorage as _;
use candle_core::{DType, Layout, Result, Storage, Tensor};

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::rows;
use super::shared::written;

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

/// Gradient of f at x times what came down, for operations on one tensor.
pub fn chain(x: &Tensor, grad: &Tensor, isa: Isa, slope: impl Fn(f32) -> f32 + Sync) -> Result<Tensor> {
    values!(xs = x, gs = grad);
    let dx = zip(xs, gs, isa, |x, g| g * slope(x));
    tensor_like(dx, x)
}

/// The sum of tensors of one shape and type on the CPU: in f32, rounded once. One alone is its own sum.
pub fn sum(each: &[Tensor]) -> Result<Tensor> {
    if let [alone] = each {
        return Ok(alone.clone());
    }
    let held = each.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let storages: Vec<_> = held.iter().map(Tensor::storage_and_layout).collect();
    let Some(first) = held.first() else { candle_core::bail!("a sum of no tensors") };
    for_element!(first.dtype(), T => {
        let each = storages.iter().map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice::<T>(storage, layout),
            _ => candle_core::bail!("values of a tensor that is not on the CPU"),
        });
        let total = sum_of(&each.collect::<Result<Vec<&[T]>>>()?);
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
            let cast = map::<T, U>(values, Isa::best(), |value| value);
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
            let held = $crate::ops::values::flat($tensor)?;
            let (storage, layout) = held.storage_and_layout();
            let $name = $crate::ops::values::f32s(&storage, layout)?;
        )+
    };
}

pub(crate) use values;

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
