//! One output written by many threads, each in places of its own.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
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
    #[inline(always)]
    #[expect(unsafe_code, reason = "the caller sees to it that parts are disjoint")]
    #[expect(clippy::mut_from_ref, reason = "many threads write through one reference")]
    pub unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the slice, as just asserted; disjoint from every other part by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}

/// A vector whose every value `fill` writes: what is written anyway need not be zeroed first.
///
/// # Safety
/// `fill` writes every value.
#[expect(unsafe_code, reason = "memory that is written before it is read")]
pub unsafe fn written<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values: Vec<MaybeUninit<T>> = Vec::with_capacity(len);
    // SAFETY: there is room for so many, and such values may hold anything.
    unsafe { values.set_len(len) };
    fill(&mut values);
    let mut values = ManuallyDrop::new(values);
    // SAFETY: the same allocation, of the same layout, all of it written by the caller's promise.
    unsafe { Vec::from_raw_parts(values.as_mut_ptr().cast::<T>(), len, values.capacity()) }
}
