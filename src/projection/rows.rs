//! Rows of numbers, wherever they lie.

use crate::error::Result;

/// N rows of as many numbers each, read a few at a time.
pub trait Rows: Sync {
    /// N.
    fn count(&self) -> usize;

    /// D.
    fn width(&self) -> usize;

    /// Rows from `first` on, as many as `values`, [M, D], has room for.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn read(&self, first: usize, values: &mut [f32]) -> Result<()>;
}

/// Rows in memory.
#[derive(Debug, Clone, Copy)]
pub struct InMemory<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> InMemory<'a> {
    /// values: [N, width].
    pub fn new(values: &'a [f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "whole rows");
        Self { values, width }
    }
}

impl Rows for InMemory<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.width
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, first: usize, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.values[first * self.width..][..values.len()]);
        Ok(())
    }
}
