//! Packing pixels into panels.
#![expect(
    unsafe_code,
    reason = "SIMD on lengths that the methods of `Kernels` have checked"
)]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::vector::Vector;

/// See [`Kernels::every_other`](super::kernels::Kernels::every_other).
#[inline(always)]
pub(super) fn every_other(values: &[f32], out: &mut [f32]) {
    let (pairs, last) = values.as_chunks::<2>();
    for (to, [from, _]) in out.iter_mut().zip(pairs) {
        *to = *from;
    }
    if let (Some(to), [from]) = (out.get_mut(pairs.len()), last) {
        *to = *from;
    }
}

/// Packs one group of `pixels` pixels; `ahead` is how many pixels later the next ones will be wanted.
///
/// # Safety
///
/// As for [`Vector`]; `panel` holds one panel for each channel, and of each channel, `values` has `pixels` values.
#[inline(always)]
pub(super) unsafe fn pack<V: Vector>(
    values: &[f32],
    pitch: usize,
    pixels: usize,
    ahead: usize,
    panel: &mut [f32],
) {
    let channels = panel.chunks_exact_mut(V::TILE_VECTORS * V::LANES);
    for (channel, panel) in channels.enumerate() {
        for vector in 0..V::TILE_VECTORS {
            let first = vector * V::LANES;
            let lanes = pixels.saturating_sub(first).min(V::LANES);
            let bits = u32::MAX.checked_shr(32 - lanes as u32).unwrap_or(0);
            // SAFETY: as required of the caller: only lanes of the channel's pixels are read, and a panel has room for
            // all vectors. The address to prefetch need not be valid.
            unsafe {
                let at = values.as_ptr().wrapping_add(channel * pitch + first);
                // The next pixels of each channel are likely to be packed next. The processor does not foresee that, as
                // channels are far apart.
                V::prefetch(at.wrapping_add(ahead));
                let lanes = V::mask(bits as u16);
                V::store(panel.as_mut_ptr().add(first), V::load_masked(at, lanes));
            }
        }
    }
}
