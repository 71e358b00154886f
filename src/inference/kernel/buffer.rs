//! Memory that begins where cache lines do.

use std::ops::{Deref, DerefMut};

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line<T>([T; 16]);

/// Values of four bytes, zeros at first; in a copy, too.
#[derive(Debug)]
pub(super) struct Buffer<T = f32>(Vec<Line<T>>);

impl<T: Copy + Default> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::new(self.len())
    }
}

impl<T: Copy + Default> Buffer<T> {
    /// Of `len` values or a few more.
    pub(super) fn new(len: usize) -> Self {
        const { assert!(size_of::<T>() == 4, "sixteen values are a line") };
        Self(vec![Line([T::default(); 16]); len.div_ceil(16)])
    }
}

#[expect(unsafe_code, reason = "lines are values and nothing else")]
impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: a line is sixteen values without anything between them.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), 16 * self.0.len()) }
    }
}

#[expect(unsafe_code, reason = "lines are values and nothing else")]
impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), 16 * self.0.len()) }
    }
}
