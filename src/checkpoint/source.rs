//! Where weights come from, whatever the file format: the only door to them. Safetensors today.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::progress::Observer;

impl From<candle_core::Error> for Error {
    /// candle's errors carry a backtrace after the first line.
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// What is known of a tensor before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor<'a> {
    /// Its canonical name.
    pub name: &'a str,
    /// Its shape in the file.
    pub shape: &'a [usize],
    /// Its type in the file, as people read it: `BF16`.
    pub dtype: String,
}

impl StoredTensor<'_> {
    /// Values it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// How the matrix of a linear layer is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A value for each place, of one type.
    Dense,
    /// Whole numbers of a few bits, in groups that share a scale.
    Grouped(Grouped),
}

/// A matrix [rows, cols] of whole numbers: value = (code - zero) * scale, where each row's `group` consecutive columns share
/// scale and zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    /// Of a code: 4 or 8.
    pub bits: u32,
    /// Columns that share a scale; they divide evenly.
    pub group: usize,
    /// [rows, cols], a byte each.
    pub codes: Vec<u8>,
    /// [rows, cols / group].
    pub scales: Vec<f32>,
    /// [rows, cols / group], in steps: 128 for 8 bits around zero.
    pub zeros: Vec<f32>,
}

impl Grouped {
    /// Its values, [rows, cols].
    pub fn values(&self) -> Vec<f32> {
        let groups = self.codes.chunks(self.group).zip(self.scales.iter().zip(&self.zeros));
        groups
            .flat_map(|(codes, (scale, zero))| {
                codes.iter().map(move |code| (f32::from(*code) - zero) * scale)
            })
            .collect()
    }
}

/// Tensors by canonical name.
pub trait WeightSource {
    /// Is there such a tensor?
    fn has(&self, name: &str) -> bool;

    /// Are there values behind the tensors it hands out?
    fn has_values(&self) -> bool;

    /// All there are, by name; none where they are made as they are asked for.
    fn tensors(&self) -> Vec<StoredTensor<'_>>;

    /// The type that most of the values have.
    fn stored_dtype(&self) -> DType;

    /// Is the tensor there, in this shape and in a type that can be read?
    ///
    /// # Errors
    /// What is wrong with it.
    fn expect(&self, name: &str, shape: &[usize]) -> Result<()>;

    /// The tensor of this name and shape, as `dtype` on `device`.
    ///
    /// # Errors
    /// A tensor that is not there or of another shape; values that are not finite.
    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor>;

    /// How the matrix of a linear layer is stored: what is dense is then taken by [`Self::read`], what is grouped is here, so
    /// that nothing is rounded twice.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn linear(&self, _name: &str, _shape: &[usize]) -> Result<Stored> {
        Ok(Stored::Dense)
    }

    /// The SHA-256 of the bytes of each of [`Self::tensors`] in the file; none of what is made as it is asked for.
    ///
    /// # Errors
    /// A file that cannot be read, a stop.
    fn digests(&self, _observer: &dyn Observer) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Bytes of all tensors as stored.
    fn size_bytes(&self) -> usize;

    /// Bytes of one tensor as stored; 0 where it is not there.
    fn size_of(&self, name: &str) -> usize;
}

/// Values of all tensors.
pub fn parameters(source: &dyn WeightSource) -> usize {
    source.tensors().iter().map(StoredTensor::count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_values_of_their_codes() {
        let grouped = Grouped {
            bits: 4,
            group: 2,
            codes: vec![0, 15, 8, 9],
            scales: vec![0.5, 2.0],
            zeros: vec![8.0, 8.0],
        };
        assert_eq!(grouped.values(), [-4.0, 3.5, 0.0, 2.0]);
    }
}
