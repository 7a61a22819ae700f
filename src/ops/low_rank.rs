//! The low-rank updates of adapters.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::element::Element;
use super::host::{for_element, slice};
use super::linear::sizes;
use super::matmul::dense::{MatrixView, Threads, multiply, rows_by};
use super::tape;
use super::values::{tensor_like, values};
use crate::error::Result;

/// The update of `LoRA` (Hu et al. 2021): scale · (x Aᵀ) Bᵀ for a: [r, in], b: [out, r], both f32.
///
/// x: [T, in] in any type -> [T, out] in f32.
pub fn low_rank(x: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if !x.device().is_cpu() || a.dtype() != DType::F32 || b.dtype() != DType::F32 {
        return plain_low_rank(x, a, b, scale);
    }
    let op = LowRank { scale: scale as f32 };
    tape::apply3(x, a, b, op)
}

/// The same in candle's operations.
pub fn plain_low_rank(x: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    let inner = x.to_dtype(a.dtype())?.matmul(&a.t()?)?;
    Ok((inner.matmul(&b.t()?)? * scale)?)
}

/// Rows of a low-rank update's input widened at once.
const ROWS_AT_ONCE: usize = 256;

struct LowRank {
    scale: f32,
}

impl CustomOp3 for LowRank {
    fn name(&self) -> &'static str {
        "low-rank"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rank, inner) = a_layout.shape().dims2()?;
        let cols = b_layout.shape().dims2()?.0;
        let [rows, ..] = sizes(x_layout, (rank, inner))?;
        let (a, b) = (slice::<f32>(a, a_layout)?, slice::<f32>(b, b_layout)?);
        let mut low = vec![0f32; rows * rank];
        for_element!(x.dtype(), T => {
            let x = slice::<T>(x, x_layout)?;
            // A stretch of rows at a time: x is never widened whole.
            let pieces = low.par_chunks_mut((ROWS_AT_ONCE * rank).max(1)).zip(x.par_chunks((ROWS_AT_ONCE * inner).max(1)));
            pieces.for_each(|(low, x)| {
                let wide: Vec<f32> = x.iter().map(|x| x.wide()).collect();
                let count = wide.len() / inner.max(1);
                rows_by([count, inner, rank], &wide, a, 1.0, low, Threads::One);
            });
        });
        let mut out = vec![0f32; rows * cols];
        rows_by([rows, rank, cols], &low, b, self.scale, &mut out, Threads::All);
        Ok((f32::to_cpu_storage_owned(out), (rows, cols).into()))
    }

    /// With h = scale · grad B: dx = h A, dA = hᵀ x, dB = scale · gradᵀ (x Aᵀ).
    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((rows, inner), (cols, rank)) = (x.dims2()?, b.dims2()?);
        let (dx, da, db) = {
            values!(xs = x, avs = a, bs = b, gs = grad);
            let (x_view, a_view) = (MatrixView::rows(xs, inner), MatrixView::rows(avs, inner));
            let (b_view, g_view) = (MatrixView::rows(bs, rank), MatrixView::rows(gs, cols));
            let mut h = vec![0f32; rows * rank];
            multiply([rows, cols, rank], g_view, b_view, self.scale, &mut h, rank, false, Threads::All);
            let h_view = MatrixView::rows(&h, rank);
            let dx = tape::wants(x).then(|| {
                let mut dx = vec![0f32; rows * inner];
                multiply([rows, rank, inner], h_view, a_view, 1.0, &mut dx, inner, false, Threads::All);
                dx
            });
            let mut da = vec![0f32; rank * inner];
            multiply([rank, rows, inner], h_view.t(), x_view, 1.0, &mut da, inner, false, Threads::All);
            let mut low = vec![0f32; rows * rank];
            multiply([rows, inner, rank], x_view, a_view.t(), 1.0, &mut low, rank, false, Threads::All);
            let mut db = vec![0f32; cols * rank];
            multiply(
                [cols, rows, rank],
                g_view.t(),
                MatrixView::rows(&low, rank),
                self.scale,
                &mut db,
                rank,
                false,
                Threads::All,
            );
            (dx, da, db)
        };
        let dx = dx.map(|dx| tensor_like(dx, x)).transpose()?;
        let da = Tensor::from_vec(da, a.shape(), a.device())?;
        let db = Tensor::from_vec(db, b.shape(), b.device())?;
        Ok((dx, tape::wants(a).then_some(da), tape::wants(b).then_some(db)))
    }
}
