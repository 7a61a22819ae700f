//! x / rms(x) · weight (Zhang and Sennrich 2019).

use bytemuck::zeroed_vec;
use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::tape;
use super::values::{tensor_like, values};
use super::{has_kernels, lanes, rows};
use crate::error::Result;

/// x: [.., D], weight: [D] -> [.., D]. Statistics are f32; x / rms(x) is rounded to the type of x before the weight
/// is applied, as the reference does it.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32, isa: Isa) -> Result<Tensor> {
    if !has_kernels(x.device()) {
        return plain(x, weight, eps);
    }
    tape::apply2(x, weight, RmsNorm { eps, isa })
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let mean = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = wide.broadcast_div(&(mean + f64::from(eps))?.sqrt()?)?;
    Ok(normed.to_dtype(x.dtype())?.broadcast_mul(weight)?)
}

struct RmsNorm {
    eps: f32,
    isa: Isa,
}

impl RmsNorm {
    /// 1 / rms of a row.
    #[inline(always)]
    fn inverse(&self, row: &[f32]) -> f32 {
        1.0 / (lanes::sum(row, |v| v * v) / row.len() as f32 + self.eps).sqrt()
    }

    fn forward<T: Element>(&self, x: &[T], weight: &[T]) -> Vec<T> {
        let width = weight.len();
        let mut out = zeroed_vec::<T>(x.len());
        let weight: Vec<f32> = weight.iter().map(|w| w.wide()).collect();
        rows::fill(&mut out, width, |first, out| {
            let mut row = vec![0f32; width];
            for (x, out) in x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                self.isa.run(
                    #[inline(always)]
                    || {
                        for (row, x) in row.iter_mut().zip(x) {
                            *row = x.wide();
                        }
                        let inverse = self.inverse(&row);
                        for ((out, x), weight) in out.iter_mut().zip(&row).zip(&weight) {
                            *out = T::narrow(T::narrow(x * inverse).wide() * weight);
                        }
                    },
                );
            }
        });
        out
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        for_element!(x.dtype(), T => {
            let out = self.forward::<T>(slice(x, x_layout)?, slice(weight, weight_layout)?);
            Ok((T::to_cpu_storage_owned(out), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        weight: &candle_core::CudaStorage,
        weight_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        use super::cuda::{Arg, RMS_NORM, launch, pointer, suffix, zeros};
        let (device, shape) = (x.device(), x_layout.shape().clone());
        let width = weight_layout.shape().elem_count();
        let out = zeros(device, shape.elem_count(), x.dtype())?;
        let args = [
            pointer(x, x_layout)?,
            pointer(weight, weight_layout)?,
            pointer(&out, &Layout::contiguous(&shape))?,
            Arg::Int(width as i32),
            Arg::Float(self.eps),
        ];
        let kernel = format!("rms_norm_forward_{}", suffix(x.dtype()));
        launch(device, RMS_NORM, &kernel, (shape.elem_count() / width.max(1), 1), 0, &args)?;
        Ok((out, shape))
    }

    /// With n = x / rms(x) and h = grad · weight: dx = (h - n mean(h n)) / rms(x), dweight = sum of grad n.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let both = x.apply_op3_no_bwd(weight, &grad.contiguous()?, &Back { eps: self.eps })?;
            let (count, width) = (x.elem_count(), weight.elem_count());
            let dx = both.narrow(0, 0, count)?.reshape(x.shape())?.to_dtype(x.dtype())?;
            let dw = both.narrow(0, count, width)?.reshape(weight.shape())?.to_dtype(weight.dtype())?;
            return Ok((Some(dx), Some(dw)));
        }
        let width = weight.elem_count();
        values!(xs = x, ws = weight, gs = grad);
        let row = |i: usize| i * width..(i + 1) * width;
        let mut dx = vec![0f32; xs.len()];
        rows::fill(&mut dx, width, |first, out| {
            for (i, out) in out.chunks_exact_mut(width).enumerate() {
                let (x, g) = (&xs[row(first + i)], &gs[row(first + i)]);
                self.isa.run(
                    #[inline(always)]
                    || {
                        let inverse = self.inverse(x);
                        for ((out, g), w) in out.iter_mut().zip(g).zip(ws) {
                            *out = g * w;
                        }
                        let mean = lanes::sum2(out, x, |h, x| h * x) * inverse / width as f32;
                        for (out, x) in out.iter_mut().zip(x) {
                            *out = (*out - x * inverse * mean) * inverse;
                        }
                    },
                );
            }
        });
        let dw = tape::wants(weight).then(|| {
            rows::sum(xs.len() / width.max(1), width, |range, sums| {
                for i in range {
                    let inverse = self.inverse(&xs[row(i)]);
                    for ((sum, x), g) in sums.iter_mut().zip(&xs[row(i)]).zip(&gs[row(i)]) {
                        *sum += g * x * inverse;
                    }
                }
            })
        });
        Ok((Some(tensor_like(dx, x)?), dw.map(|dw| tensor_like(dw, weight)).transpose()?))
    }
}

/// The gradients of x, then of the weight, as f32, on a GPU.
#[cfg(feature = "cuda")]
struct Back {
    eps: f32,
}

#[cfg(feature = "cuda")]
impl candle_core::CustomOp3 for Back {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("the CPU has a backward pass of its own")
    }

    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        weight: &candle_core::CudaStorage,
        weight_layout: &Layout,
        grad: &candle_core::CudaStorage,
        grad_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        use super::cuda::{Arg, RMS_NORM, launch, pointer, suffix, zeros};
        let device = x.device();
        let (count, width) = (x_layout.shape().elem_count(), weight_layout.shape().elem_count());
        let out = zeros(device, count + width, DType::F32)?;
        let shape = Shape::from(count + width);
        let Arg::Pointer(dx) = pointer(&out, &Layout::contiguous(&shape))? else { unreachable!("a pointer") };
        let args = [
            pointer(x, x_layout)?,
            pointer(weight, weight_layout)?,
            pointer(grad, grad_layout)?,
            Arg::Pointer(dx),
            Arg::Pointer(dx + (count * size_of::<f32>()) as u64),
            Arg::Int(width as i32),
            Arg::Float(self.eps),
        ];
        let kernel = format!("rms_norm_backward_{}", suffix(x.dtype()));
        launch(device, RMS_NORM, &kernel, (count / width.max(1), 1), 0, &args)?;
        Ok((out, shape))
    }
}
