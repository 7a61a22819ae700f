//! Dropout (Srivastava et al. 2014) by a key: which values fall out is a function of the key and the place, so that
//! a training run can be resumed to the last bit.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::tape;
use crate::error::Result;
use crate::random::{GOLDEN, mix};

/// x: any shape -> the same, each value 0 with probability `p`, else divided by 1 - p.
pub fn dropout(x: &Tensor, p: f32, key: u64, isa: Isa) -> Result<Tensor> {
    if p <= 0.0 {
        return Ok(x.clone());
    }
    if !x.device().is_cpu() {
        return plain(x, p, key);
    }
    tape::apply1(x, Dropout { p, key, isa })
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, p: f32, key: u64) -> Result<Tensor> {
    let keep = Keep::new(p, key);
    let factors: Vec<f32> = (0..x.elem_count()).map(|i| keep.factor(i)).collect();
    let mask = Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())?;
    Ok((x * mask)?)
}

/// What stays.
#[derive(Clone, Copy)]
struct Keep {
    key: u64,
    /// Of 65,536 values so many fall out.
    dropped: u32,
    scale: f32,
}

impl Keep {
    fn new(p: f32, key: u64) -> Self {
        Self { key, dropped: (f64::from(p) * 65_536.0).round() as u32, scale: 1.0 / (1.0 - p) }
    }

    /// Sixteen random bits for each of four places at once, those of the first place lowest.
    #[inline(always)]
    fn bits(self, four: usize) -> u64 {
        mix(self.key.wrapping_add((four as u64).wrapping_mul(GOLDEN)))
    }

    #[inline(always)]
    fn of_bits(self, bits: u16) -> f32 {
        if u32::from(bits) < self.dropped { 0.0 } else { self.scale }
    }

    fn factor(self, i: usize) -> f32 {
        self.of_bits((self.bits(i / 4) >> (16 * (i % 4))) as u16)
    }
}

struct Dropout {
    p: f32,
    key: u64,
    isa: Isa,
}

/// Values that a thread takes at a time; a multiple of four.
const PIECE: usize = 1 << 14;

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let keep = Keep::new(self.p, self.key);
        let out = for_element!(x.dtype(), T => {
            let x = slice::<T>(x, layout)?;
            let mut out = vec![T::narrow(0.0); x.len()];
            out.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).enumerate().for_each(|(piece, (out, x))| {
                let first = piece * (PIECE / 4);
                let mut bits = vec![0u64; x.len().div_ceil(4)];
                self.isa.run(
                    #[inline(always)]
                    || {
                        for (four, bits) in bits.iter_mut().enumerate() {
                            *bits = keep.bits(first + four).to_le();
                        }
                        let each: &[u16] = bytemuck::cast_slice(&bits);
                        for ((out, x), bits) in out.iter_mut().zip(x).zip(each) {
                            *out = T::narrow(x.wide() * keep.of_bits(u16::from_le(*bits)));
                        }
                    },
                );
            });
            T::to_cpu_storage_owned(out)
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _res: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        grad.contiguous()?.apply_op1(Self { p: self.p, key: self.key, isa: self.isa }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_share_that_falls_out_is_p_and_the_mean_stays() {
        for p in [0.05f32, 0.5] {
            let ones = Tensor::ones((100, 1003), candle_core::DType::F32, &Device::Cpu).unwrap();
            let kept =
                dropout(&ones, p, 7, Isa::best()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let zeros = kept.iter().filter(|v| **v == 0.0).count() as f32 / kept.len() as f32;
            let mean = kept.iter().sum::<f32>() / kept.len() as f32;
            assert!((zeros - p).abs() < 0.005 && (mean - 1.0).abs() < 0.01, "{p}: {zeros} {mean}");
            let other =
                dropout(&ones, p, 8, Isa::best()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_ne!(kept, other);
        }
    }
}
