//! silu(gate) · up (Shazeer 2020), with silu(x) = x / (1 + e^-x).

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::lanes::sigmoid;
use super::tape;
use super::values::zip;
use super::values::{tensor_like, values};
use crate::error::Result;

/// gate and up: [.., D] -> [.., D]. silu(gate) is rounded to their type first, as the reference does it.
pub fn swiglu(gate: &Tensor, up: &Tensor, isa: Isa) -> Result<Tensor> {
    if !super::has_kernels(gate.device()) {
        return plain(gate, up);
    }
    tape::apply2(gate, up, SwiGlu { isa })
}

/// The same in candle's operations.
pub fn plain(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok((gate.silu()? * up)?)
}

struct SwiGlu {
    isa: Isa,
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        for_element!(gate.dtype(), T => {
            let (values, up) = (slice::<T>(gate, gate_layout)?, slice::<T>(up, up_layout)?);
            let out = zip(values, up, self.isa, |g, u| T::narrow(g * sigmoid(g)).wide() * u);
            Ok((T::to_cpu_storage_owned(out), gate_layout.shape().clone()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        gate: &candle_core::CudaStorage,
        gate_layout: &Layout,
        up: &candle_core::CudaStorage,
        up_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        use super::cuda::{Arg, SWIGLU, blocks, launch, pointer, suffix, zeros};
        let (device, shape) = (gate.device(), gate_layout.shape().clone());
        let count = shape.elem_count();
        let out = zeros(device, count, gate.dtype())?;
        let args = [
            pointer(gate, gate_layout)?,
            pointer(up, up_layout)?,
            pointer(&out, &Layout::contiguous(&shape))?,
            Arg::Int(count as i32),
        ];
        let kernel = format!("swiglu_forward_{}", suffix(gate.dtype()));
        launch(device, SWIGLU, &kernel, (blocks(count), 1), 0, &args)?;
        Ok((out, shape))
    }

    /// dgate = grad up σ(g) (1 + g (1 - σ(g))), dup = grad silu(g).
    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if gate.device().is_cuda() {
            let both = gate.apply_op3_no_bwd(up, &grad.contiguous()?, &Back)?;
            let part = |i| both.narrow(0, i, 1)?.reshape(gate.shape());
            return Ok((Some(part(0)?), Some(part(1)?)));
        }
        values!(gates = gate, ups = up, gs = grad);
        let slopes = zip(gates, ups, self.isa, |g, u| {
            let s = sigmoid(g);
            u * s * (1.0 + g * (1.0 - s))
        });
        let dgate = zip(&slopes, gs, self.isa, |slope, g| slope * g);
        let dup = zip(gates, gs, self.isa, |gate, g| g * gate * sigmoid(gate));
        Ok((Some(tensor_like(dgate, gate)?), Some(tensor_like(dup, gate)?)))
    }
}

/// The gradients of gate, then of up, on a GPU: [2, n].
#[cfg(feature = "cuda")]
struct Back;

#[cfg(feature = "cuda")]
impl candle_core::CustomOp3 for Back {
    fn name(&self) -> &'static str {
        "swiglu-backward"
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
        gate: &candle_core::CudaStorage,
        gate_layout: &Layout,
        up: &candle_core::CudaStorage,
        up_layout: &Layout,
        grad: &candle_core::CudaStorage,
        grad_layout: &Layout,
    ) -> super::cuda::KernelOutput {
        use super::cuda::{Arg, SWIGLU, blocks, launch, pointer, suffix, zeros};
        let (device, count) = (gate.device(), gate_layout.shape().elem_count());
        let out = zeros(device, 2 * count, gate.dtype())?;
        let shape = Shape::from((2, count));
        let args = [
            pointer(gate, gate_layout)?,
            pointer(up, up_layout)?,
            pointer(grad, grad_layout)?,
            pointer(&out, &Layout::contiguous(&shape))?,
            Arg::Int(count as i32),
        ];
        let kernel = format!("swiglu_backward_{}", suffix(gate.dtype()));
        launch(device, SWIGLU, &kernel, (blocks(count), 1), 0, &args)?;
        Ok((out, shape))
    }
}
