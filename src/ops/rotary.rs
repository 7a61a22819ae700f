//! Rotation of pairs of channels by an angle a position has (Su et al. 2021).

use bytemuck::zeroed_vec;
use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::rows;
use super::tape;
use crate::error::Result;

/// Which channels of a head turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Channel i with i + d / 2 (`rotate_half`, as in the Qwen and Llama families).
    Halves,
    /// Channel 2 i with 2 i + 1 (as in GPT-J).
    Neighbours,
}

/// x: [T, H, d], cos and sin: [T, d / 2] -> [T, H, d].
///
/// Where the table has the type of x each product is rounded to it, as in the reference's text models; where the
/// table is f32 only the result is, as in its vision towers.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, pairing: Pairing, isa: Isa) -> Result<Tensor> {
    if !super::has_kernels(x.device()) {
        return plain(x, cos, sin, pairing);
    }
    tape::apply3(x, cos, sin, Rotate { pairing, sign: 1.0, isa })
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, cos: &Tensor, sin: &Tensor, pairing: Pairing) -> Result<Tensor> {
    let wide = x.to_dtype(cos.dtype())?;
    let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
    let (tokens, heads, width) = x.dims3()?;
    let half = width / 2;
    let (a, b) = match pairing {
        Pairing::Halves => (wide.narrow(2, 0, half)?, wide.narrow(2, half, half)?),
        Pairing::Neighbours => {
            let pairs = wide.reshape((tokens, heads, half, 2))?;
            (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
        }
    };
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    let turned = match pairing {
        Pairing::Halves => Tensor::cat(&[first, second], D::Minus1)?,
        Pairing::Neighbours => Tensor::stack(&[first, second], 3)?.reshape((tokens, heads, width))?,
    };
    Ok(turned.to_dtype(x.dtype())?)
}

struct Rotate {
    pairing: Pairing,
    /// -1 turns back: the gradient.
    sign: f32,
    isa: Isa,
}

impl Rotate {
    fn forward<T: Element, U: Element>(
        &self,
        x: &[T],
        cos: &[U],
        sin: &[U],
        heads: usize,
        half: usize,
    ) -> Vec<T> {
        let width = 2 * half * heads;
        let mut out = zeroed_vec::<T>(x.len());
        let sign = self.sign;
        rows::fill(&mut out, width, |first, out| {
            for (token, out) in out.chunks_exact_mut(width).enumerate().map(|(i, out)| (first + i, out)) {
                let (cos, sin) = (&cos[token * half..][..half], &sin[token * half..][..half]);
                let x = &x[token * width..][..width];
                self.isa.run(
                    #[inline(always)]
                    || {
                        let turn = |a: T, b: T, cos: U, sin: U| {
                            let (a, b, cos, sin) = (a.wide(), b.wide(), cos.wide(), sin.wide() * sign);
                            let round = |v: f32| U::narrow(v).wide();
                            (
                                T::narrow(round(a * cos) - round(b * sin)),
                                T::narrow(round(b * cos) + round(a * sin)),
                            )
                        };
                        for (x, out) in x.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half)) {
                            match self.pairing {
                                Pairing::Halves => {
                                    let (a, b) = x.split_at(half);
                                    let (first, second) = out.split_at_mut(half);
                                    for i in 0..half {
                                        (first[i], second[i]) = turn(a[i], b[i], cos[i], sin[i]);
                                    }
                                }
                                Pairing::Neighbours => {
                                    for i in 0..half {
                                        let (a, b) = (x[2 * i], x[2 * i + 1]);
                                        (out[2 * i], out[2 * i + 1]) = turn(a, b, cos[i], sin[i]);
                                    }
                                }
                            }
                        }
                    },
                );
            }
        });
        out
    }
}

impl CustomOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, heads, width) = x_layout.shape().dims3()?;
        let half = width / 2;
        for_element!(x.dtype(), T => {
            let values = slice::<T>(x, x_layout)?;
            let out = if cos.dtype() == DType::F32 {
                let (cos, sin) = (slice::<f32>(cos, cos_layout)?, slice::<f32>(sin, sin_layout)?);
                self.forward(values, cos, sin, heads, half)
            } else {
                let (cos, sin) = (slice::<T>(cos, cos_layout)?, slice::<T>(sin, sin_layout)?);
                self.forward(values, cos, sin, heads, half)
            };
            Ok((T::to_cpu_storage_owned(out), x_layout.shape().clone()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        x_layout: &Layout,
        cos: &candle_core::CudaStorage,
        cos_layout: &Layout,
        sin: &candle_core::CudaStorage,
        sin_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        use super::cuda::{Arg, ROTARY, launch, pointer, suffix, zeros};
        let (device, shape) = (x.device(), x_layout.shape().clone());
        let (tokens, heads, width) = shape.dims3()?;
        let out = zeros(device, shape.elem_count(), x.dtype())?;
        let args = [
            pointer(x, x_layout)?,
            pointer(cos, cos_layout)?,
            pointer(sin, sin_layout)?,
            pointer(&out, &Layout::contiguous(&shape))?,
            Arg::Int(heads as i32),
            Arg::Int((width / 2) as i32),
            Arg::Int(i32::from(self.pairing == Pairing::Neighbours)),
            Arg::Float(self.sign),
        ];
        let kernel = format!("rotary_{}_{}", suffix(x.dtype()), suffix(cos.dtype()));
        launch(device, ROTARY, &kernel, (tokens, 1), 0, &args)?;
        Ok((out, shape))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let back = Self { pairing: self.pairing, sign: -self.sign, isa: self.isa };
        Ok((Some(grad.contiguous()?.apply_op3_no_bwd(cos, sin, &back)?), None, None))
    }
}
