//! The losses of rows of scores, and their gradient, by kernels of our own.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};

use crate::ops::cuda::{Arg, CROSS_ENTROPY, KernelOutput, ints, launch, pointer, zeros};

pub struct OfScores {
    pub targets: Vec<u32>,
}

impl OfScores {
    fn run(
        &self,
        kernel: &str,
        scores: &CudaStorage,
        layout: &Layout,
        grad: Option<Arg>,
        count: usize,
    ) -> Result<CudaStorage> {
        let (device, (rows, vocab)) = (scores.device(), layout.shape().dims2()?);
        let (_held, targets) = ints(device, &self.targets.iter().map(|id| *id as i32).collect::<Vec<_>>())?;
        let out = zeros(device, count, DType::F32)?;
        let written = pointer(&out, &Layout::contiguous(count))?;
        let mut args = vec![pointer(scores, layout)?, targets];
        args.extend(grad);
        args.extend([written, Arg::Int(vocab as i32)]);
        launch(device, CROSS_ENTROPY, kernel, (rows, 1), 0, &args)?;
        Ok(out)
    }
}

impl CustomOp1 for OfScores {
    fn name(&self) -> &'static str {
        "cross-entropy-of-scores"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the CPU has a forward pass of its own")
    }

    fn cuda_fwd(&self, scores: &CudaStorage, layout: &Layout) -> KernelOutput {
        let rows = layout.shape().dims2()?.0;
        Ok((self.run("cross_entropy_forward_f32", scores, layout, None, rows)?, rows.into()))
    }

    fn bwd(&self, scores: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Back(Self { targets: self.targets.clone() });
        scores.apply_op2_no_bwd(&grad.contiguous()?, &back).map(Some)
    }
}

struct Back(OfScores);

impl CustomOp2 for Back {
    fn name(&self) -> &'static str {
        "cross-entropy-of-scores-backward"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the CPU has a backward pass of its own")
    }

    fn cuda_fwd(
        &self,
        scores: &CudaStorage,
        layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
    ) -> KernelOutput {
        let grad = pointer(grad, grad_layout)?;
        let count = layout.shape().elem_count();
        let out = self.0.run("cross_entropy_backward_f32", scores, layout, Some(grad), count)?;
        Ok((out, layout.shape().clone()))
    }
}
