//! Products of matrices on the host.

/// A matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub struct MatrixSlice<'a> {
    values: &'a [f32],
    rows: usize,
    cols: usize,
    /// From one row to the next, and from one column to the next.
    strides: [usize; 2],
}

impl<'a> MatrixSlice<'a> {
    /// Rows of `cols` numbers, one after the other.
    pub fn of(values: &'a [f32], cols: usize) -> Self {
        assert!(values.len().is_multiple_of(cols), "whole rows");
        Self { values, rows: values.len() / cols, cols, strides: [cols, 1] }
    }

    /// Its transpose.
    #[must_use]
    pub fn turned(self) -> Self {
        let [row, col] = self.strides;
        Self { rows: self.cols, cols: self.rows, strides: [col, row], ..self }
    }
}

/// a [M, K] times b [K, N], row by row, on one thread.
pub fn multiply(a: MatrixSlice<'_>, b: MatrixSlice<'_>) -> Vec<f32> {
    let mut out = vec![0f32; a.rows * b.cols];
    multiply_into(a, b, &mut out);
    out
}

/// a [M, K] times b [K, N] into `out`, whose first M N numbers it overwrites.
#[expect(unsafe_code, reason = "gemm takes pointers")]
pub fn multiply_into(a: MatrixSlice<'_>, b: MatrixSlice<'_>, out: &mut [f32]) {
    assert!(a.cols == b.rows && out.len() >= a.rows * b.cols, "shapes that fit");
    let step = |stride: usize| stride as isize;
    // SAFETY: strides and sizes of a and b describe their slices, by construction, and `out` has room for all.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out.as_mut_ptr(),
            1,
            step(b.cols),
            false,
            a.values.as_ptr(),
            step(a.strides[1]),
            step(a.strides[0]),
            b.values.as_ptr(),
            step(b.strides[1]),
            step(b.strides[0]),
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices_and_of_their_transposes() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0, 2.0, 1.0, 1.0]);
        assert_eq!(multiply(MatrixSlice::of(&a, 3), MatrixSlice::of(&b, 2)), [2.0, 7.0, 5.0, 16.0]);
        let turned = multiply(MatrixSlice::of(&a, 3), MatrixSlice::of(&a, 3).turned());
        assert_eq!(turned, [14.0, 32.0, 32.0, 77.0]);
        assert_eq!(
            multiply(MatrixSlice::of(&a, 3).turned(), MatrixSlice::of(&b, 3)),
            [9.0, 4.0, 3.0, 12.0, 5.0, 3.0, 15.0, 6.0, 3.0]
        );
    }
}
