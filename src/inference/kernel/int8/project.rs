//! The last layer of a block: bytes of a band become floats.
#![expect(unsafe_code, reason = "SIMD: each function states what it requires")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::packed::PackedLayer;
use super::vector::Vector;

/// Projects `pixels` pixels of `middle`, `[pixels, 4 * quads]`, into `output`, `[pixels, padded rows]`.
///
/// # Safety
///
/// As for [`Vector`], with the lanes that the layer was packed for; both slices must hold as many pixels.
#[inline(always)]
pub(super) unsafe fn project<V: Vector>(
    layer: &PackedLayer,
    middle: &[u8],
    output: &mut [f32],
    pixels: usize,
) {
    let (middle, output) = (middle.as_ptr(), output.as_mut_ptr());
    let mut first = 0;
    while first < layer.vectors {
        let left = layer.vectors - first;
        // SAFETY: as required of the caller; there are at least as many vectors left as are computed.
        unsafe {
            // As many sums as there are registers for.
            first += match left {
                4.. if V::LANES == 16 => vectors::<V, 4, 5>(layer, first, middle, output, pixels),
                2.. if V::LANES == 16 => vectors::<V, 2, 10>(layer, first, middle, output, pixels),
                2.. => vectors::<V, 2, 5>(layer, first, middle, output, pixels),
                _ => vectors::<V, 1, 10>(layer, first, middle, output, pixels),
            };
        }
    }
}

/// `N` vectors of output channels from `first` on, in tiles of `P` pixels; returns `N`.
///
/// # Safety
///
/// As for [`project`]; the vectors must exist.
#[inline(always)]
unsafe fn vectors<V: Vector, const N: usize, const P: usize>(
    layer: &PackedLayer,
    first: usize,
    middle: *const u8,
    output: *mut f32,
    pixels: usize,
) -> usize {
    let mut at = 0;
    // SAFETY: as required of the caller; tiles end where the pixels do.
    unsafe {
        while at + P <= pixels {
            tile::<V, N, P>(layer, first, middle, output, at);
            at += P;
        }
        while at < pixels {
            tile::<V, N, 1>(layer, first, middle, output, at);
            at += 1;
        }
    }
    N
}

/// `N` vectors of output channels of `P` pixels from `at` on.
///
/// # Safety
///
/// As for [`vectors`]; the pixels must exist.
#[inline(always)]
unsafe fn tile<V: Vector, const N: usize, const P: usize>(
    layer: &PackedLayer,
    first: usize,
    middle: *const u8,
    output: *mut f32,
    at: usize,
) {
    let pixel = layer.quads * 4;
    let out = layer.vectors * V::LANES;
    // SAFETY: as required of the caller.
    unsafe {
        let sums = layer.products::<V, N, P>(first, middle.add(at * pixel), pixel);
        let output = output.add(at * out);
        for (v, sums) in sums.into_iter().enumerate() {
            let [factor, offset] = layer.affine::<V>(first + v);
            for (p, sums) in sums.into_iter().enumerate() {
                let place = output.add(p * out + (first + v) * V::LANES);
                V::store_floats(place, V::scale(sums, factor, offset));
            }
        }
    }
}
