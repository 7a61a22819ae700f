//! The output rows of the vocabulary, dense or packed, and products with them.

use crate::ops::isa::Isa;
use crate::ops::linear::product_f32;
use crate::ops::matmul::dense::{MatrixView, Threads, multiply};
use crate::ops::matmul::packed::{Matrix, Packed};
use crate::ops::matmul::{RowsOf, product, product_back};

/// The output rows of the vocabulary.
pub(super) enum Table<'a> {
    Dense(&'a [f32]),
    Packed(&'a Packed),
}

impl Table<'_> {
    /// hidden [M, D] -> scores [M, V].
    pub fn multiply(&self, hidden: &[f32], width: usize, vocab: usize, isa: Isa) -> Vec<f32> {
        let rows = hidden.len() / width.max(1);
        match self {
            Self::Dense(table) => {
                let mut out = vec![0f32; rows * vocab];
                product_f32(rows, width, hidden, table, &mut out, RowsOf::Whole, isa);
                out
            }
            Self::Packed(table) => product(Matrix::new(hidden, rows, width), table, None, RowsOf::Whole, isa),
        }
    }

    /// d [M, V] -> d W, [M, D].
    pub fn multiply_back(&self, d: &[f32], width: usize, out: &mut [f32]) {
        let rows = out.len() / width.max(1);
        let cols = d.len() / rows.max(1);
        match self {
            Self::Dense(table) => {
                multiply(
                    [rows, cols, width],
                    MatrixView::rows(d, cols.max(1)),
                    MatrixView::rows(table, width),
                    1.0,
                    out,
                    width,
                    false,
                    Threads::All,
                );
            }
            Self::Packed(table) => product_back(d, table, out),
        }
    }
}
