//! x Wᵀ + bias.

use std::sync::Arc;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::element::Element;
use super::host::{for_element, slice};
use super::isa::Isa;
use super::matmul::dense::{MatrixView, Threads, multiply, rows_by};
use super::matmul::packed::{Format, Matrix, Packed};
use super::matmul::tiles::Half;
use super::matmul::{RowsOf, product, product_back};
use super::shared::Shared;
use super::tape;
use super::values::{tensor_like, values};
use super::weight::Weight;
use super::{lanes, rows};
use crate::error::Result;

/// x: [T, in], weight: [out, in], bias: [out] -> [T, out], in the type of x; sums in f32.
///
/// A dense weight and its bias get gradients where they are variables; a packed one never does.
pub fn linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, isa: Isa) -> Result<Tensor> {
    linear_of(x, weight, bias, RowsOf::Whole, isa)
}

/// The same of rows that are of whole sequences or of steps.
pub fn linear_of(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, of: RowsOf, isa: Isa) -> Result<Tensor> {
    match weight {
        Weight::Packed(packed) => {
            let op = Frozen { weight: packed.clone(), of, isa };
            match bias {
                Some(bias) => tape::apply2(x, bias, op),
                None => tape::apply1(x, op),
            }
        }
        Weight::Mixed(weight) => match bias {
            Some(bias) => tape::apply3(x, weight, bias, Product(Mixed { isa })),
            None => tape::apply2(x, weight, Product(Mixed { isa })),
        },
        Weight::Dense(weight) if weight.device().is_cpu() && weight.dtype() == DType::F32 => match bias {
            Some(bias) => tape::apply3(x, weight, bias, Product(Dense { of, isa })),
            None => tape::apply2(x, weight, Product(Dense { of, isa })),
        },
        Weight::Dense(weight) => match bias {
            Some(bias) => tape::native(&[x, weight, bias], |of| plain(&of[0], &of[1], Some(&of[2]))),
            None => tape::native(&[x, weight], |of| plain(&of[0], &of[1], None)),
        },
    }
}

/// The same in candle's operations.
pub fn plain(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

pub(super) fn sizes(x: &Layout, weight: (usize, usize)) -> candle_core::Result<[usize; 3]> {
    let (rows, inner) = x.shape().dims2()?;
    let (out, expected) = weight;
    if inner != expected {
        candle_core::bail!("a linear layer of {expected} inputs was given {inner}");
    }
    Ok([rows, inner, out])
}

/// A weight that is a tensor of f32.
struct Dense {
    of: RowsOf,
    isa: Isa,
}

/// out [m, n] = x [m, k] wᵀ for w [n, k], all f32, on all threads. For rows of steps each part of the weight is read from
/// memory once, and from cache for every row.
pub(in crate::ops) fn product_f32(
    rows: usize,
    inner: usize,
    x: &[f32],
    w: &[f32],
    out: &mut [f32],
    of: RowsOf,
    isa: Isa,
) {
    /// Rows of the weight of one task.
    const COLUMNS: usize = 32;
    let cols = out.len() / rows.max(1);
    if of == RowsOf::Whole || inner == 0 {
        return rows_by([rows, inner, cols], x, w, 1.0, out, Threads::All);
    }
    let shared = Shared::new(out);
    let some = |(i, w): (usize, &[f32])| {
        let (first, count) = (i * COLUMNS, w.len() / inner);
        for (row, x) in x.chunks_exact(inner).enumerate() {
            let place = row * cols + first;
            #[expect(unsafe_code, reason = "tasks write columns of one matrix")]
            // SAFETY: every task has columns of its own.
            let out = unsafe { shared.range(place..place + count) };
            isa.dispatch(lanes::Dots { x, rows: w, out });
        }
    };
    if w.len() < 1 << 16 {
        w.chunks(COLUMNS * inner).enumerate().for_each(some);
    } else {
        w.par_chunks(COLUMNS * inner).enumerate().for_each(some);
    }
}

impl Kernel for Dense {
    const NAMES: [&'static str; 2] = ["linear", "linear-bias"];

    fn forward(
        &self,
        [rows, inner, cols]: [usize; 3],
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> candle_core::Result<Vec<f32>> {
        let (x, w) = (slice(x.0, x.1)?, slice(w.0, w.1)?);
        let mut out = vec![0f32; rows * cols];
        product_f32(rows, inner, x, w, &mut out, self.of, self.isa);
        if let Some(bias) = bias {
            rows::fill(&mut out, cols, |_, piece| {
                for row in piece.chunks_exact_mut(cols) {
                    for (y, b) in row.iter_mut().zip(bias) {
                        *y += b;
                    }
                }
            });
        }
        Ok(out)
    }

    fn back(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, inner), cols) = (x.dims2()?, weight.dim(0)?);
        values!(xs = x, ws = weight, gs = grad);
        let (x_view, w_view, g_view) =
            (MatrixView::rows(xs, inner), MatrixView::rows(ws, inner), MatrixView::rows(gs, cols));
        let dx = tape::wants(x).then(|| {
            let mut dx = vec![0f32; rows * inner];
            multiply([rows, cols, inner], g_view, w_view, 1.0, &mut dx, inner, false, Threads::All);
            Tensor::from_vec(dx, x.shape(), x.device())
        });
        let dw = tape::wants(weight).then(|| {
            let mut dw = vec![0f32; cols * inner];
            multiply([cols, rows, inner], g_view.t(), x_view, 1.0, &mut dw, inner, false, Threads::All);
            Tensor::from_vec(dw, weight.shape(), weight.device())
        });
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

/// A weight that is a tensor of f32, multiplied in bf16 both ways.
struct Mixed {
    isa: Isa,
}

const BF16: Format = Format::Half(Half::Bf16);

impl Kernel for Mixed {
    const NAMES: [&'static str; 2] = ["linear-mixed", "linear-mixed-bias"];

    fn forward(
        &self,
        [rows, inner, cols]: [usize; 3],
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> candle_core::Result<Vec<f32>> {
        let weight = Packed::new(Matrix::new(slice::<f32>(w.0, w.1)?, cols, inner), BF16);
        let x = Matrix::new(slice::<f32>(x.0, x.1)?, rows, inner);
        Ok(product(x, &weight, bias, RowsOf::Whole, self.isa))
    }

    fn back(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, inner), cols) = (x.dims2()?, weight.dim(0)?);
        values!(xs = x, ws = weight, gs = grad);
        let (x_of, w_of, g_of) =
            (Matrix::new(xs, rows, inner), Matrix::new(ws, cols, inner), Matrix::new(gs, rows, cols));
        let dx = tape::wants(x).then(|| {
            let dx = product(g_of, &Packed::new(w_of.t(), BF16), None, RowsOf::Whole, self.isa);
            Tensor::from_vec(dx, x.shape(), x.device())
        });
        let dw = tape::wants(weight).then(|| {
            let dw = product(g_of.t(), &Packed::new(x_of.t(), BF16), None, RowsOf::Whole, self.isa);
            Tensor::from_vec(dw, weight.shape(), weight.device())
        });
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

/// A weight that is a tensor of f32, multiplied one way or another.
trait Kernel: Send + Sync {
    /// Of the operation without a bias, and with one.
    const NAMES: [&'static str; 2];

    /// x: [T, in], w: [out, in] -> [T, out].
    fn forward(
        &self,
        sizes: [usize; 3],
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> candle_core::Result<Vec<f32>>;

    /// dx = grad W; dW = gradᵀ x.
    fn back(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)>;
}

/// The operation of a kernel: of two without a bias, of three with one.
struct Product<K>(K);

impl<K: Kernel> Product<K> {
    fn run(
        &self,
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = sizes(x.1, w.1.shape().dims2()?)?;
        let out = self.0.forward(sizes, x, w, bias)?;
        Ok((f32::to_cpu_storage_owned(out), (sizes[0], sizes[2]).into()))
    }
}

impl<K: Kernel> CustomOp2 for Product<K> {
    fn name(&self) -> &'static str {
        K::NAMES[0]
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run((x, x_layout), (w, w_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.0.back(x, weight, grad)
    }
}

impl<K: Kernel> CustomOp3 for Product<K> {
    fn name(&self) -> &'static str {
        K::NAMES[1]
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run((x, x_layout), (w, w_layout), Some(slice(bias, bias_layout)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.0.back(x, weight, grad)?;
        let db = tape::wants(bias).then(|| column_sums(grad)).transpose()?;
        Ok((dx, dw, db))
    }
}

/// Sums over rows: [T, n] -> [n].
fn column_sums(grad: &Tensor) -> candle_core::Result<Tensor> {
    let (num_rows, width) = grad.dims2()?;
    values!(gs = grad);
    let sums = rows::sum(num_rows, width, |range, sums| {
        for row in gs[range.start * width..range.end * width].chunks_exact(width) {
            for (sum, g) in sums.iter_mut().zip(row) {
                *sum += g;
            }
        }
    });
    Tensor::from_vec(sums, width, grad.device())
}

/// A packed weight.
struct Frozen {
    weight: Arc<Packed>,
    of: RowsOf,
    isa: Isa,
}

impl Frozen {
    fn forward(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        bias: Option<&[f32]>,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let [rows, inner, cols] = sizes(layout, self.weight.dims())?;
        for_element!(x.dtype(), T => {
            let x = Matrix::new(slice::<T>(x, layout)?, rows, inner);
            let out = product(x, &self.weight, bias, self.of, self.isa);
            Ok((T::to_cpu_storage_owned(out), (rows, cols).into()))
        })
    }

    fn back(&self, x: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        values!(gs = grad);
        let mut dx = vec![0f32; x.elem_count()];
        product_back(gs, &self.weight, &mut dx);
        tensor_like(dx, x).map(Some)
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "linear-packed"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.forward(x, layout, None)
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.back(x, grad)
    }
}

impl CustomOp2 for Frozen {
    fn name(&self) -> &'static str {
        "linear-packed-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let bias: Vec<f32> = for_element!(bias.dtype(), T => {
            slice::<T>(bias, bias_layout)?.iter().map(|b| b.wide()).collect()
        });
        self.forward(x, x_layout, Some(&bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let db = tape::wants(bias).then(|| column_sums(grad)?.to_dtype(bias.dtype())).transpose()?;
        Ok((self.back(x, grad)?, db))
    }
}
