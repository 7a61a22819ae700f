//! Rows of numbers, wherever they lie.

use crate::error::{Error, Result};

/// A point of the layout.
pub type Point = [f64; 2];

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

/// Rows whose squares can be added in single precision: others multiplied by a power of two where theirs would overflow or
/// vanish, which changes no layout.
pub struct Scaled<'a> {
    rows: &'a dyn Rows,
    factor: f32,
}

/// Magnitudes between which rows stay as they are.
const PLAIN: std::ops::Range<f32> = 1e-12..1e12;

impl<'a> Scaled<'a> {
    /// Looks at all of them.
    ///
    /// # Errors
    /// Rows that cannot be read, numbers that are not finite.
    pub fn new(rows: &'a dyn Rows) -> Result<Self> {
        const BLOCK: usize = 2048;
        let (count, width) = (rows.count(), rows.width());
        let mut largest = 0f32;
        let mut block = vec![0f32; BLOCK.min(count) * width];
        for first in (0..count).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(count - first) * width];
            rows.read(first, block)?;
            if let Some(place) = block.iter().position(|v| !v.is_finite()) {
                let (row, found) = (first + place / width, block[place]);
                return Err(Error::Request(format!(
                    "states: expected finite numbers, found {found} in row {row}"
                )));
            }
            largest = block.iter().fold(largest, |most, v| most.max(v.abs()));
        }
        let is_plain = largest == 0.0 || PLAIN.contains(&largest);
        // 2^-126 is the least that has all its bits.
        let factor = if is_plain { 1.0 } else { (-largest.log2().floor()).clamp(-126.0, 126.0).exp2() };
        Ok(Self { rows, factor })
    }
}

impl Rows for Scaled<'_> {
    fn count(&self) -> usize {
        self.rows.count()
    }

    fn width(&self) -> usize {
        self.rows.width()
    }

    fn read(&self, first: usize, values: &mut [f32]) -> Result<()> {
        self.rows.read(first, values)?;
        if self.factor != 1.0 {
            for value in values {
                *value *= self.factor;
            }
        }
        Ok(())
    }
}
