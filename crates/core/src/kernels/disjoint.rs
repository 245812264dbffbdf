//! Writes from many threads to places that never coincide.

use std::marker::PhantomData;

/// A slice whose elements threads write in any order, each place by one thread only.
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    marker: PhantomData<&'a mut [T]>,
}

// SAFETY: the caller of `write` promises that no place is written by two threads; nothing is read.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T: Copy> Disjoint<'a, T> {
    /// Takes the slice for as long as it is written.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), marker: PhantomData }
    }

    /// Writes one element.
    ///
    /// # Safety
    /// No other thread writes to the same place while this value lives.
    #[inline(always)]
    pub unsafe fn write(&self, place: usize, value: T) {
        assert!(place < self.len, "place {place} of {}", self.len);
        // SAFETY: the place is inside, and this thread alone writes to it.
        unsafe { self.start.add(place).write(value) }
    }
}
