//! Dense arrays on the host whose shape and values always agree.

/// A dense array in row order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Default for Array {
    /// No values: shape [0].
    fn default() -> Self {
        Self { shape: vec![0], data: Vec::new() }
    }
}

impl Array {
    /// Its values, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// `data` in the order of `shape`, outermost first, last axis fastest.
    ///
    /// # Panics
    /// Where there are not as many values as the shape says.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(Self::count(&shape), Some(data.len()), "values of an array of shape {shape:?}");
        Self { shape, data }
    }

    /// Values of an array of a shape; `None` where no machine can count so many.
    pub fn count(shape: &[usize]) -> Option<usize> {
        shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))
    }

    /// Zeros of a shape.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, last axis fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The same values in another shape.
    #[must_use]
    pub fn reshaped(self, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(shape, self.data)
    }

    /// The part under the leading indices: `[a, b]` of `[A, B, C, D]` is `[C, D]`.
    pub fn at(&self, leading: &[usize]) -> &[f32] {
        let mut range = 0..self.data.len();
        for (index, size) in leading.iter().zip(&self.shape) {
            assert!(index < size, "index {leading:?} of an array {:?}", self.shape);
            let step = range.len() / size;
            range = range.start + index * step..range.start + (index + 1) * step;
        }
        &self.data[range]
    }

    /// Slices along the last axis, in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[f32]> {
        let width = self.shape.last().copied().unwrap_or(1).max(1);
        self.data.chunks_exact(width)
    }

    /// The last slice along the last axis; empty where there is none.
    pub fn last(&self) -> &[f32] {
        self.rows().next_back().unwrap_or_default()
    }

    /// Appends along the first axis; the other sizes must be alike. An array without values takes any.
    pub fn extend(&mut self, other: Self) {
        if self.data.is_empty() {
            *self = other;
            return;
        }
        assert_eq!(self.shape[1..], other.shape[1..], "arrays joined along the first axis");
        self.shape[0] += other.shape[0];
        self.data.extend(other.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_indices_pick_a_part() {
        let array = Array::new([2, 2, 3], (0..12).map(|v| v as f32).collect());
        assert_eq!(array.at(&[1, 0]), [6.0, 7.0, 8.0]);
        assert_eq!(array.at(&[]).len(), 12);
        assert_eq!(array.last(), [9.0, 10.0, 11.0]);
        assert_eq!(array.rows().count(), 4);
        assert!(Array::default().last().is_empty());
    }

    #[test]
    fn arrays_grow_along_the_first_axis() {
        let mut array = Array::default();
        array.extend(Array::new([1, 2], vec![1.0, 2.0]));
        array.extend(Array::new([2, 2], vec![3.0, 4.0, 5.0, 6.0]));
        assert_eq!((array.shape(), array.last()), ([3, 2].as_slice(), [5.0, 6.0].as_slice()));
    }

    #[test]
    #[should_panic(expected = "shape [2, 3]")]
    fn a_shape_that_disagrees_is_refused() {
        Array::new([2, 3], vec![0.0; 5]);
    }
}
