//! The input becomes bytes.
#![expect(unsafe_code, reason = "SIMD: each function states what it requires")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::spec::{Affine, PlaneSize};
use super::vector::Vector;
use crate::inference::kernel::grid::{Grid, Position};

/// Bilinear upsampling of the input.
#[derive(Debug, Clone)]
pub(super) struct Upsample {
    /// Values of the small picture.
    pub(super) len: usize,
    rows: Vec<Position>,
    /// Positions of the large picture's columns.
    pub(super) columns: Vec<Position>,
    /// A row of the large picture, as wide as the small one: `[width, channels]`.
    pub(super) row: Vec<f32>,
}

impl Upsample {
    pub(super) fn new(small: PlaneSize, large: PlaneSize, channels: usize, grid: Grid) -> Self {
        Self {
            len: small.pixels() * channels,
            rows: grid.positions(small.height, large.height),
            columns: grid.positions(small.width, large.width),
            row: vec![0.0; small.width * channels],
        }
    }

    /// Interpolates row `row` of the large picture between two rows of the small one, `input`.
    #[inline(always)]
    pub(super) fn interpolate(&mut self, row: usize, input: &[f32]) {
        let position = self.rows[row];
        let row_len = self.row.len();
        let input_row = |row: usize| &input[row * row_len..][..row_len];
        let pairs = input_row(position.before)
            .iter()
            .zip(input_row(position.after));
        for (value, (first, second)) in self.row.iter_mut().zip(pairs) {
            *value = (second - first).mul_add(position.fraction, *first);
        }
    }
}

/// Quantizes values between two pixels, `fraction` of the way to the second one.
///
/// # Safety
///
/// As for [`Vector`]; both pixels and the scales must have as many channels as `bytes`.
#[inline(always)]
pub(super) unsafe fn quantize<V: Vector>(
    pixels: [&[f32]; 2],
    fraction: f32,
    affine: &Affine,
    bytes: &mut [u8],
) {
    let channels = bytes.len();
    let whole = channels - channels % V::LANES;
    // SAFETY: as required of the caller; pointers are used for whole vectors of the channels, and for an array that has
    // room for the widest vector.
    unsafe {
        let fraction = V::splat(fraction);
        for at in (0..whole).step_by(V::LANES) {
            let [first, second] = pixels.map(|pixel| V::load_floats(pixel.as_ptr().add(at)));
            let value = V::fma(V::sub(second, first), fraction, first);
            let factor = V::load_floats(affine.factor.as_ptr().add(at));
            let offset = V::load_floats(affine.offset.as_ptr().add(at));
            let byte = V::round(V::fma(value, factor, offset));
            V::store_bytes(bytes.as_mut_ptr().add(at), byte);
        }
        for at in whole..channels {
            let [first, second] = pixels.map(|pixel| V::splat(pixel[at]));
            let value = V::fma(V::sub(second, first), fraction, first);
            let [factor, offset] =
                [affine.factor[at], affine.offset[at]].map(|value| V::splat(value));
            let mut lanes = [0; 16];
            let byte = V::round(V::fma(value, factor, offset));
            V::store_bytes(lanes.as_mut_ptr(), byte);
            bytes[at] = lanes[0];
        }
    }
}

/// Copies a few bytes; faster than a call of `memcpy`.
#[inline(always)]
pub(super) fn copy_bytes(from: &[u8], to: &mut [u8]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<16>(), to.as_chunks_mut::<16>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}
