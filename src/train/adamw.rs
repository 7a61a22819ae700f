//! `AdamW` (Loshchilov and Hutter 2019), in the order of operations of `PyTorch`'s, with moments that can be saved.

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var};
use rayon::prelude::*;

use super::recipe::Optimizer;
use crate::error::Result;

/// Values that a thread takes at a time.
const PIECE: usize = 1 << 14;

/// Running means of the gradient and of its square, of one variable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// First.
    pub mean: Vec<f32>,
    /// Second.
    pub square: Vec<f32>,
}

/// The optimizer of a list of variables.
#[derive(Debug, Clone)]
pub struct AdamW {
    betas: [f64; 2],
    epsilon: f64,
    /// Updates made.
    pub step: usize,
    /// Of each variable.
    pub moments: Vec<Moments>,
}

impl AdamW {
    /// For variables of these sizes.
    pub fn new(options: &Optimizer, sizes: impl IntoIterator<Item = usize>) -> Self {
        let zeros = |size| Moments { mean: vec![0.0; size], square: vec![0.0; size] };
        let moments = sizes.into_iter().map(zeros).collect();
        Self { betas: options.betas, epsilon: options.epsilon, step: 0, moments }
    }

    /// Begins the next update.
    pub fn begin(&mut self) {
        self.step += 1;
    }

    /// Updates variable number `index` by its gradient, scaled first.
    #[expect(clippy::disallowed_methods, reason = "an update is no part of a graph")]
    pub fn update(
        &mut self,
        index: usize,
        var: &Var,
        grad: &Tensor,
        scale: f32,
        rate: f64,
        decay: f64,
    ) -> Result<()> {
        let power = |beta: f64| 1.0 - beta.powi(self.step as i32);
        let [beta1, beta2] = self.betas;
        let update = Update {
            moments: std::sync::Mutex::new(&mut self.moments[index]),
            scale,
            keep: (1.0 - rate * decay) as f32,
            betas: [beta1, beta2],
            root: power(beta2).sqrt() as f32,
            size: (rate / power(beta1)) as f32,
            epsilon: self.epsilon as f32,
        };
        let grad = grad.contiguous()?;
        if var.device().is_cpu() {
            var.inplace_op2(&grad, &update)?;
            return Ok(());
        }
        // Elsewhere the values make the way to the host and back.
        let cpu = candle_core::Device::Cpu;
        let copy = Tensor::from_vec(var.flatten_all()?.to_vec1::<f32>()?, var.shape(), &cpu)?;
        copy.inplace_op2(&grad.to_device(&cpu)?, &update)?;
        var.set(&copy.to_device(var.device())?)?;
        Ok(())
    }
}

struct Update<'a> {
    moments: std::sync::Mutex<&'a mut Moments>,
    scale: f32,
    keep: f32,
    betas: [f64; 2],
    root: f32,
    size: f32,
    epsilon: f32,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), CpuStorage::F32(grad)) = (values, grad) else {
            candle_core::bail!("what is trained is f32")
        };
        let range = |layout: &Layout| {
            let Some((start, end)) = layout.contiguous_offsets() else {
                candle_core::bail!("what is trained is contiguous")
            };
            Ok(start..end)
        };
        let (values, grad) = (&mut values[range(layout)?], &grad[range(grad_layout)?]);
        let mut moments = self.moments.lock().expect("nobody else has it");
        let Moments { mean, square } = &mut **moments;
        let (grow1, keep2, grow2) =
            ((1.0 - self.betas[0]) as f32, self.betas[1] as f32, (1.0 - self.betas[1]) as f32);
        let pieces = values.par_chunks_mut(PIECE).zip(grad.par_chunks(PIECE));
        let moments = mean.par_chunks_mut(PIECE).zip(square.par_chunks_mut(PIECE));
        pieces.zip(moments).for_each(|((values, grad), (mean, square))| {
            for i in 0..values.len() {
                let g = grad[i] * self.scale;
                values[i] *= self.keep;
                mean[i] += grow1 * (g - mean[i]);
                square[i] = square[i] * keep2 + grow2 * g * g;
                values[i] -= self.size * (mean[i] / (square[i].sqrt() / self.root + self.epsilon));
            }
        });
        Ok(())
    }
}

/// Values whose squares are added up in one go: the same sums on any number of threads.
const SUM: usize = 1 << 12;

/// The length of all gradients together, and the factor that shortens them to `most` (0 leaves them), as `PyTorch`'s
/// `clip_grad_norm_` computes both.
pub fn clip<'a>(grads: impl IntoIterator<Item = &'a Tensor>, most: f64) -> Result<(f64, f32)> {
    let mut total = 0.0f64;
    for grad in grads {
        let values = grad.flatten_all()?.to_device(&candle_core::Device::Cpu)?.to_vec1::<f32>()?;
        let squares = |piece: &[f32]| piece.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
        let sums: Vec<f64> = values.par_chunks(SUM).map(squares).collect();
        total += sums.iter().sum::<f64>();
    }
    let norm = total.sqrt();
    let factor = if most > 0.0 { (most / (norm + 1e-6)).min(1.0) } else { 1.0 };
    Ok((norm, factor as f32))
}
