//! silu(gate) · up (Shazeer 2020), with silu(x) = x / (1 + e^-x).

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::element::Element;
use super::elementwise::zip;
use super::host::{for_element, slice, values};
use super::isa::Isa;
use super::lanes::sigmoid;
use crate::error::Result;

/// gate and up: [.., D] -> [.., D]. silu(gate) is rounded to their type first, as the reference does it.
pub fn swiglu(gate: &Tensor, up: &Tensor, isa: Isa) -> Result<Tensor> {
    if !gate.device().is_cpu() {
        return plain(gate, up);
    }
    Ok(gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu { isa })?)
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

    /// dgate = grad up σ(g) (1 + g (1 - σ(g))), dup = grad silu(g).
    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        values!(gates = gate, ups = up, gs = grad);
        let slopes = zip(gates, ups, self.isa, |g, u| {
            let s = sigmoid(g);
            u * s * (1.0 + g * (1.0 - s))
        });
        let dgate = zip(&slopes, gs, self.isa, |slope, g| slope * g);
        let dup = zip(gates, gs, self.isa, |gate, g| g * gate * sigmoid(gate));
        let like =
            |values: Vec<f32>| Tensor::from_vec(values, gate.shape(), gate.device())?.to_dtype(gate.dtype());
        Ok((Some(like(dgate)?), Some(like(dup)?)))
    }
}
