//! What comes in becomes bytes.

#![expect(unsafe_code, reason = "SIMD: what each function asks for stands at it")]

use super::vector::Bytes;
use super::{Affine, Size};
use crate::inference::kernel::Grid;
use crate::inference::kernel::kernels::Position;

/// Bilinear upsampling.
#[derive(Debug, Clone)]
pub(super) struct Upsample {
    /// Values of the small picture.
    pub(super) len: usize,
    pub(super) rows: Vec<Position>,
    pub(super) columns: Vec<Position>,
    /// A row of the large picture in the columns of the small one: `[width, channels]`.
    pub(super) mixed: Vec<f32>,
}

impl Upsample {
    pub(super) fn new(small: Size, large: Size, channels: usize, grid: Grid) -> Self {
        Self {
            len: small.pixels() * channels,
            rows: grid.positions(small.height, large.height),
            columns: grid.positions(small.width, large.width),
            mixed: vec![0.0; small.width * channels],
        }
    }

    /// Mixes row `row` of the large picture, in the columns of the small one, `x`.
    #[inline(always)]
    pub(super) fn mix(&mut self, row: usize, x: &[f32]) {
        let at = self.rows[row];
        let row_len = self.mixed.len();
        let of = |row: usize| &x[row * row_len..][..row_len];
        let pairs = of(at.before).iter().zip(of(at.after));
        for (mixed, (first, second)) in self.mixed.iter_mut().zip(pairs) {
            *mixed = (second - first).mul_add(at.part, *first);
        }
    }
}

/// Bytes of values that lie between two others, `part` of the way to the second.
#[inline(always)]
pub(super) unsafe fn between<S: Bytes>(
    values: [&[f32]; 2],
    part: f32,
    affine: &Affine,
    bytes: &mut [u8],
) {
    let channels = bytes.len();
    let whole = channels - channels % S::LANES;
    // SAFETY: as asked of the caller; the slices have `channels` values, of which whole vectors are read and written.
    unsafe {
        let part = S::spread_real(part);
        for at in (0..whole).step_by(S::LANES) {
            let [first, second] = values.map(|values| S::load_reals(values.as_ptr().add(at)));
            let value = S::fma(S::sub(second, first), part, first);
            let factor = S::load_reals(affine.factor.as_ptr().add(at));
            let offset = S::load_reals(affine.offset.as_ptr().add(at));
            let byte = S::rounded(S::fma(value, factor, offset));
            S::store_bytes(bytes.as_mut_ptr().add(at), byte);
        }
        for at in whole..channels {
            let [first, second] = values.map(|values| S::spread_real(values[at]));
            let value = S::fma(S::sub(second, first), part, first);
            let [factor, offset] =
                [affine.factor[at], affine.offset[at]].map(|real| S::spread_real(real));
            let mut lanes = [0; 16];
            let byte = S::rounded(S::fma(value, factor, offset));
            S::store_bytes(lanes.as_mut_ptr(), byte);
            bytes[at] = lanes[0];
        }
    }
}

/// Copies a few bytes, without asking anybody how to do it best.
#[inline(always)]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<16>(), to.as_chunks_mut::<16>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}
