//! Bilinear upsampling of a row.
#![expect(
    unsafe_code,
    reason = "SIMD on lengths that the methods of `Kernels` have checked"
)]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::operands::UpsampledRow;
use super::vector::Vector;

/// Makes a vector of an upsampled row, in any channel.
pub(super) struct UpsampleVector<V: Vector> {
    start: usize,
    fraction: V::Values,
    left: V::Indices,
    right: V::Indices,
    column_fractions: V::Values,
}

impl<V: Vector> UpsampleVector<V> {
    /// For the vector that begins at pixel `first`.
    ///
    /// # Safety
    ///
    /// As for [`Vector`]; `first` must be a multiple of the lanes, and less than the row's width.
    #[inline(always)]
    pub(super) unsafe fn new(row: &UpsampledRow<'_>, first: usize) -> Self {
        let columns = row.columns;
        // SAFETY: the columns hold a start for each vector, and whole vectors of everything else.
        unsafe {
            Self {
                start: *columns.starts.get_unchecked(first / V::LANES),
                fraction: V::splat(row.fraction),
                left: V::load_indices(columns.left.as_ptr().add(first)),
                right: V::load_indices(columns.right.as_ptr().add(first)),
                column_fractions: V::load(columns.fractions.as_ptr().add(first)),
            }
        }
    }

    /// The vector of the channel whose rows above and below these are.
    ///
    /// # Safety
    ///
    /// As for [`Vector`]; both rows must be valid for [`UpsampledRow::reach`] values.
    #[inline(always)]
    pub(super) unsafe fn of(&self, above: *const f32, below: *const f32) -> V::Values {
        // SAFETY: the vector that begins at `start` is within the reach, by its definition.
        unsafe {
            let above = V::load(above.add(self.start));
            let below = V::load(below.add(self.start));
            let values = V::fma(self.fraction, V::sub(below, above), above);
            let left = V::permute(values, self.left);
            let right = V::permute(values, self.right);
            V::fma(self.column_fractions, V::sub(right, left), left)
        }
    }
}

/// See [`Kernels::upsample`](super::kernels::Kernels::upsample).
///
/// # Safety
///
/// As for [`Vector`]; the rows must have [`UpsampledRow::reach`] values, and `out` as many as the upsampled row is wide.
#[inline(always)]
pub(super) unsafe fn upsample<V: Vector>(row: &UpsampledRow<'_>, out: &mut [f32]) {
    let [above, below] = row.rows.map(<[f32]>::as_ptr);
    for first in (0..row.columns.width).step_by(V::LANES) {
        let lanes = row.columns.width - first;
        // SAFETY: as required of the caller; of the last vector, only the lanes within the row are written.
        unsafe {
            let value = UpsampleVector::<V>::new(row, first).of(above, below);
            let at = out.as_mut_ptr().add(first);
            if lanes < V::LANES {
                V::store_masked(at, V::mask((1 << lanes) - 1), value);
            } else {
                V::store(at, value);
            }
        }
    }
}
