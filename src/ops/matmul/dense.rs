//! Products of f32, by the `gemm` crate.

use gemm::Parallelism;

/// A matrix of f32 in memory: its values from the first on, and the distances between rows and between columns.
#[derive(Debug, Clone, Copy)]
pub struct MatrixView<'a> {
    data: &'a [f32],
    strides: [usize; 2],
}

impl<'a> MatrixView<'a> {
    /// Rows and columns at these distances.
    pub fn new(data: &'a [f32], strides: [usize; 2]) -> Self {
        Self { data, strides }
    }

    /// Rows of `width` one after the other.
    pub fn rows(data: &'a [f32], width: usize) -> Self {
        Self::new(data, [width, 1])
    }

    /// Rows as columns.
    #[must_use]
    pub fn t(self) -> Self {
        Self { data: self.data, strides: [self.strides[1], self.strides[0]] }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.strides[0] + (cols - 1) * self.strides[1] < self.data.len()
    }
}

/// Which threads compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The one that asks.
    One,
    /// All of the pool.
    All,
}

/// out [m, n] = scale · x [m, k] wᵀ for w [n, k], rows of both one after the other: each row of `out` has the same bits however
/// many there are. The crate takes other ways for outputs that are small, so that rows of nothing are put beside few.
pub fn rows_by([m, k, n]: [usize; 3], x: &[f32], w: &[f32], scale: f32, out: &mut [f32], threads: Threads) {
    /// Outputs of so many values or fewer are summed in another order.
    const SMALL: usize = 16 * 16;
    /// So narrow an output of so long a sum is cut by other sizes where its rows are few.
    const NARROW: usize = 64;
    const LONG: usize = 512;
    let mut least = (SMALL / n.max(1) + 1).max(2);
    if n <= NARROW && k > LONG {
        least = least.max(NARROW + 1);
    }
    let w = MatrixView::rows(w, k).t();
    if m >= least || m == 0 {
        return multiply([m, k, n], MatrixView::rows(x, k), w, scale, out, n.max(1), false, threads);
    }
    let mut padded = vec![0f32; least * k];
    padded[..m * k].copy_from_slice(&x[..m * k]);
    let mut all = vec![0f32; least * n];
    multiply([least, k, n], MatrixView::rows(&padded, k), w, scale, &mut all, n.max(1), false, threads);
    out[..m * n].copy_from_slice(&all[..m * n]);
}

/// out [m, n] (+)= scale · a [m, k] b [k, n], rows of `out` being `out_stride` apart.
#[expect(clippy::too_many_arguments, reason = "as many as the product it asks for")]
pub fn multiply(
    [m, k, n]: [usize; 3],
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    scale: f32,
    out: &mut [f32],
    out_stride: usize,
    add: bool,
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.holds(m, k) && b.holds(k, n), "values of both sides of a product");
    assert!(out_stride >= n && (m - 1) * out_stride + n <= out.len(), "room for a product");
    if k == 0 {
        if !add {
            for row in out.chunks_mut(out_stride) {
                row[..n].fill(0.0);
            }
        }
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(rayon::current_num_threads()),
    };
    #[expect(unsafe_code, reason = "the crate takes pointers")]
    // SAFETY: both sides and the output hold all that their sizes and strides reach, as just asserted.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            add,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            if add { 1.0 } else { 0.0 },
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
