//! One output written by many threads, each in places of its own.

use std::marker::PhantomData;
use std::ops::Range;

/// A slice whose disjoint parts may be written at the same time.
pub struct Shared<'a, T> {
    first: *mut T,
    len: usize,
    _slice: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "disjoint parts, as `range` asks")]
// SAFETY: it stands for a `&mut [T]`, and `range` hands out its parts under the caller's promise.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Over all of a slice.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), _slice: PhantomData }
    }

    /// A part of it.
    ///
    /// # Safety
    /// No other part that is in use at the same time overlaps this one.
    ///
    /// # Panics
    /// Past the end.
    #[expect(unsafe_code, reason = "the caller sees to it that parts are disjoint")]
    #[expect(clippy::mut_from_ref, reason = "many threads write through one reference")]
    pub unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the slice, as just asserted; disjoint from every other part by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}
