//! Memory that begins where cache lines do.

use std::ops::{Deref, DerefMut};

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as part of a slice")] [f32; 16]);

/// Values, zeros at first; in a copy, too.
#[derive(Debug)]
pub(super) struct Buffer(Vec<Line>);

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::new(self.len())
    }
}

impl Buffer {
    /// Of `len` values or a few more.
    pub(super) fn new(len: usize) -> Self {
        Self(vec![Line([0.0; 16]); len.div_ceil(16)])
    }
}

#[expect(unsafe_code, reason = "lines are values and nothing else")]
impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen values without anything between them.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), 16 * self.0.len()) }
    }
}

#[expect(unsafe_code, reason = "lines are values and nothing else")]
impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: see above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), 16 * self.0.len()) }
    }
}
