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
