//! (x - mean) / std · weight + bias (Ba et al. 2016).

use bytemuck::zeroed_vec;
use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::tape;
use super::values::{tensor_like, values};
use super::{lanes, rows};
use crate::error::Result;

/// x: [.., D], weight and bias: [D] -> [.., D]. All of it in f32, rounded once to the type of x, as the reference
/// does it.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32, isa: Isa) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain(x, weight, bias, eps);
    }
    tape::apply3(x, weight, bias, LayerNorm { eps, isa })
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + f64::from(eps))?.sqrt()?)?;
    let scaled = normed.broadcast_mul(&weight.to_dtype(DType::F32)?)?;
    Ok(scaled.broadcast_add(&bias.to_dtype(DType::F32)?)?.to_dtype(x.dtype())?)
}

struct LayerNorm {
    eps: f32,
    isa: Isa,
}

impl LayerNorm {
    /// Mean, and 1 / standard deviation, of a row.
    #[inline(always)]
    fn statistics(&self, row: &[f32]) -> (f32, f32) {
        let count = row.len() as f32;
        let mean = lanes::sum(row, |v| v) / count;
        let variance = lanes::sum(row, |v| (v - mean) * (v - mean)) / count;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }

    fn forward<T: Element>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let width = weight.len();
        let mut out = zeroed_vec::<T>(x.len());
        let wide = |values: &[T]| values.iter().map(|v| v.wide()).collect::<Vec<f32>>();
        let (weight, bias) = (wide(weight), wide(bias));
        rows::fill(&mut out, width, |first, out| {
            let mut row = vec![0f32; width];
            for (x, out) in x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                self.isa.run(
                    #[inline(always)]
                    || {
                        for (row, x) in row.iter_mut().zip(x) {
                            *row = x.wide();
                        }
                        let (mean, inverse) = self.statistics(&row);
                        for (((out, x), weight), bias) in out.iter_mut().zip(&row).zip(&weight).zip(&bias) {
                            *out = T::narrow((x - mean) * inverse * weight + bias);
                        }
                    },
                );
            }
        });
        out
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape().clone();
        for_element!(x.dtype(), T => {
            let (weight, bias) = (slice(weight, weight_layout)?, slice(bias, bias_layout)?);
            let out = self.forward::<T>(slice(x, x_layout)?, weight, bias);
            Ok((T::to_cpu_storage_owned(out), shape))
        })
    }

    /// With n the normalised row and h = grad · weight: dx = (h - mean(h) - n mean(h n)) / std, dweight = sum of
    /// grad n, dbias = sum of grad.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
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
                        let (mean, inverse) = self.statistics(x);
                        for ((out, g), w) in out.iter_mut().zip(g).zip(ws) {
                            *out = g * w;
                        }
                        let of_h = lanes::sum(out, |h| h) / width as f32;
                        let of_hn = lanes::sum2(out, x, |h, x| h * (x - mean)) * inverse / width as f32;
                        for (out, x) in out.iter_mut().zip(x) {
                            *out = (*out - of_h - (x - mean) * inverse * of_hn) * inverse;
                        }
                    },
                );
            }
        });
        let num_rows = xs.len() / width.max(1);
        let dw = tape::wants(weight).then(|| {
            rows::sum(num_rows, width, |range, sums| {
                for i in range {
                    let (mean, inverse) = self.statistics(&xs[row(i)]);
                    for ((sum, x), g) in sums.iter_mut().zip(&xs[row(i)]).zip(&gs[row(i)]) {
                        *sum += g * (x - mean) * inverse;
                    }
                }
            })
        });
        let db = tape::wants(bias).then(|| {
            rows::sum(num_rows, width, |range, sums| {
                for i in range {
                    for (sum, g) in sums.iter_mut().zip(&gs[row(i)]) {
                        *sum += g;
                    }
                }
            })
        });
        let dw = dw.map(|dw| tensor_like(dw, weight)).transpose()?;
        Ok((Some(tensor_like(dx, x)?), dw, db.map(|db| tensor_like(db, bias)).transpose()?))
    }
}
