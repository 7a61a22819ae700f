//! x Φ(x) (Hendrycks and Gimpel 2016), exactly or by its approximation with tanh.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use super::host::{for_element, slice};
use super::isa::Isa;
use super::lanes::{erf, exp, tanh};
use super::tape;
use super::values::{chain, zip};
use crate::error::Result;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By the error function.
    Erf,
    /// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))).
    Tanh,
}

/// x: any shape -> the same.
pub fn gelu(x: &Tensor, form: Form, isa: Isa) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return plain(x, form);
    }
    tape::apply1(x, Gelu { form, isa })
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, form: Form) -> Result<Tensor> {
    Ok(match form {
        Form::Erf => x.gelu_erf()?,
        Form::Tanh => x.gelu()?,
    })
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn value(x: f32, form: Form) -> f32 {
    match form {
        Form::Erf => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
        Form::Tanh => 0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))),
    }
}

#[inline(always)]
fn slope(x: f32, form: Form) -> f32 {
    match form {
        Form::Erf => {
            const INV_SQRT_TAU: f32 = 0.398_942_3;
            0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * INV_SQRT_TAU * exp(-0.5 * x * x)
        }
        Form::Tanh => {
            let t = tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x)
        }
    }
}

struct Gelu {
    form: Form,
    isa: Isa,
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        for_element!(x.dtype(), T => {
            let values = slice::<T>(x, layout)?;
            let out = match self.form {
                Form::Erf => zip(values, values, self.isa, |x, _| value(x, Form::Erf)),
                Form::Tanh => zip(values, values, self.isa, |x, _| value(x, Form::Tanh)),
            };
            Ok((T::to_cpu_storage_owned(out), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        // The form outside of the loop: inside, it would not be turned into vectors.
        match self.form {
            Form::Erf => chain(x, grad, self.isa, |x| slope(x, Form::Erf)).map(Some),
            Form::Tanh => chain(x, grad, self.isa, |x| slope(x, Form::Tanh)).map(Some),
        }
    }
}
