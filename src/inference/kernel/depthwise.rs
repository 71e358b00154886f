//! The depthwise 3x3 convolution.
#![expect(
    unsafe_code,
    reason = "SIMD on lengths that the methods of `Kernels` have checked"
)]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::operands::{ChannelRange, DepthwiseInput, DepthwiseWeights};
use super::vector::Vector;

/// How the left and right neighbours of a vector's pixels are loaded: each from its own place, through a mask, ..
const MASKED: u8 = 0;
/// .. by shifting the vectors before and after into the vector (stride 1), ..
const SHIFTED: u8 = 1;
/// .. or, as both are in one phase that the pixels are not in, by shifting the right neighbours (stride 2).
const SHIFTED_PHASE: u8 = 2;

/// One channel. `NEIGHBOURS` is one of the constants above.
///
/// # Safety
///
/// As for [`Vector`]; lengths must fit together as [`Kernels::depthwise`](super::kernels::Kernels::depthwise) asserts, for
/// a channel that begins at `values` and goes to the panels at `out`, `group_pitch` values apart.
#[inline(always)]
unsafe fn channel<V: Vector, const NEIGHBOURS: u8>(
    weights: &DepthwiseWeights,
    values: *const f32,
    input: &DepthwiseInput<'_>,
    pixels: usize,
    out: *mut f32,
    group_pitch: usize,
) {
    // SAFETY: as required of the caller: values are there from one vector before the nearest offset (where vectors are
    // shifted) to one vector behind the last pixel; masked loads read only pixels that have the neighbour.
    unsafe {
        let mut taps = [[V::splat(0.0); 3]; 3];
        let rows = taps.iter_mut().enumerate();
        for (y, taps) in rows.filter(|(y, _)| input.valid_rows[*y]) {
            for (x, tap) in taps.iter_mut().enumerate() {
                *tap = V::splat(weights.weights[3 * y + x]);
            }
        }
        let bias = V::splat(weights.bias);
        let offsets = input.offsets;
        // The column that is shifted, and its vectors before the one that is worked on, and there.
        let column = if NEIGHBOURS == SHIFTED_PHASE { 2 } else { 1 };
        let mut before = [bias; 3];
        let mut now = [bias; 3];
        if NEIGHBOURS != MASKED {
            for y in 0..3 {
                let at = values.add(offsets[3 * y + column]);
                before[y] = V::load(at.sub(V::LANES));
                now[y] = V::load(at);
            }
        }
        let vectors = pixels.div_ceil(V::LANES);
        for group in 0..vectors.div_ceil(V::TILE_VECTORS) {
            let out = out.add(group * group_pitch);
            let last = vectors.min(group * V::TILE_VECTORS + V::TILE_VECTORS);
            for vector in group * V::TILE_VECTORS..last {
                let first = vector * V::LANES;
                let mut sums = [bias, V::splat(0.0), V::splat(0.0)];
                for y in 0..3 {
                    let at = [0, 1, 2].map(|x| values.wrapping_add(offsets[3 * y + x] + first));
                    let three = if NEIGHBOURS == MASKED {
                        let [left, right] = input.edge_masks[vector].map(|bits| V::mask(bits));
                        let middle = V::load(at[1]);
                        [
                            V::load_masked(at[0], left),
                            middle,
                            V::load_masked(at[2], right),
                        ]
                    } else {
                        let after = V::load(at[column].add(V::LANES));
                        let left = V::left_of(at[column], before[y], now[y]);
                        let three = if NEIGHBOURS == SHIFTED_PHASE {
                            [left, V::load(at[1]), now[y]]
                        } else {
                            [left, now[y], V::right_of(at[column], now[y], after)]
                        };
                        before[y] = now[y];
                        now[y] = after;
                        three
                    };
                    for x in 0..3 {
                        sums[y] = V::fma(taps[y][x], three[x], sums[y]);
                    }
                }
                let sum = V::relu(V::add(V::add(sums[0], sums[1]), sums[2]));
                V::store(out.add((vector - group * V::TILE_VECTORS) * V::LANES), sum);
            }
        }
    }
}

/// See [`Kernels::depthwise`](super::kernels::Kernels::depthwise).
///
/// # Safety
///
/// As for [`Vector`]; all lengths must fit together as that method asserts.
#[inline(always)]
pub(super) unsafe fn depthwise<V: Vector>(
    weights: &[DepthwiseWeights],
    ChannelRange { first, count }: ChannelRange,
    input: &DepthwiseInput<'_>,
    pixels: usize,
    panels: &mut [f32],
) {
    let panel = V::TILE_VECTORS * V::LANES;
    let group_pitch = weights.len() * panel;
    for (n, weights) in weights[first..first + count].iter().enumerate() {
        // SAFETY: as required of the caller: there are `count` channels in the input, and panels for all channels.
        unsafe {
            let values = input.values.as_ptr().add(n * input.pitch);
            let out = panels.as_mut_ptr().add((first + n) * panel);
            if !input.edge_masks.is_empty() {
                channel::<V, MASKED>(weights, values, input, pixels, out, group_pitch);
            } else if input.offsets[2] == input.offsets[0] + 1 {
                channel::<V, SHIFTED_PHASE>(weights, values, input, pixels, out, group_pitch);
            } else {
                channel::<V, SHIFTED>(weights, values, input, pixels, out, group_pitch);
            }
        }
    }
}
