//! Memory that is aligned to cache lines.

use std::ops::{Deref, DerefMut};

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line<T>([T; 16]);

/// Values of four bytes. A new buffer holds zeros, and so does a clone: it is working memory, not data.
#[derive(Debug)]
pub(super) struct Buffer<T = f32>(Vec<Line<T>>);

impl<T: Copy + Default> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::new(self.len())
    }
}

impl<T: Copy + Default> Buffer<T> {
    /// `len` zeros, and as many more as fill the last cache line.
    pub(super) fn new(len: usize) -> Self {
        const { assert!(size_of::<T>() == 4, "a cache line is 16 values") };
        Self(vec![Line([T::default(); 16]); len.div_ceil(16)])
    }
}

#[expect(
    unsafe_code,
    reason = "cache lines are read as the values they consist of"
)]
impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the vector holds this many initialized values: a line is 16 of them, without padding (`new` is the only
        // constructor, and checks the size of a value).
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), 16 * self.0.len()) }
    }
}

#[expect(
    unsafe_code,
    reason = "cache lines are read as the values they consist of"
)]
impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), 16 * self.0.len()) }
    }
}
