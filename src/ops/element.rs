//! The element types of tensors, as the operations read and write them: arithmetic is in f32.

use candle_core::{DType, WithDType};
use half::{bf16, f16};

use super::matmul::tiles::{narrow_bf16, widen_f16};

/// f32, bf16 or f16.
pub trait Element: WithDType + Copy + Default + bytemuck::Zeroable + Send + Sync {
    /// Is this bf16?
    const IS_BF16: bool = false;

    /// As f32, exactly.
    fn wide(self) -> f32;

    /// The nearest of this type.
    fn narrow(value: f32) -> Self;

    /// The bits of the nearest bf16.
    #[inline(always)]
    fn bf16_bits(self) -> u16 {
        narrow_bf16(self.wide())
    }
}

impl Element for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    const IS_BF16: bool = true;

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        Self::from_bits(narrow_bf16(value))
    }

    #[inline(always)]
    fn bf16_bits(self) -> u16 {
        self.to_bits()
    }
}

impl Element for f16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        widen_f16(u32::from(self.to_bits()))
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Is this a type the operations work in?
pub fn is_element(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16 | DType::F16)
}
