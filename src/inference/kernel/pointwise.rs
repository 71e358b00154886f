//! The 1x1 convolution: a matrix product, tile by tile.
#![expect(
    unsafe_code,
    reason = "SIMD on lengths that the methods of `Kernels` have checked"
)]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::operands::{Addend, ChannelRange, Destination, PackedWeights, UpsampledRow};
use super::upsample::UpsampleVector;
use super::vector::Vector;

/// Bytes of weights that stay in the nearest caches while pixels go by.
const CACHED_WEIGHTS: usize = 256 << 10;

/// One tile: `M` output channels times `N` vectors of pixels.
struct Tile<'a> {
    /// Its first output channel, counted from the first one that is computed, and its first pixel.
    channel: usize,
    pixel: usize,
    weights: *const f32,
    bias: *const f32,
    /// Input channels.
    inputs: usize,
    panel: *const f32,
    out: *mut f32,
    pitch: usize,
    /// Null if nothing is added.
    addend: *const f32,
    addend_pitch: usize,
    upsampled: Option<&'a UpsampledRow<'a>>,
    /// How many of the `M` output channels are stored.
    stored: usize,
    /// Which lanes of the last vector are stored.
    lanes: u16,
    relu: bool,
}

/// Computes a tile.
///
/// # Safety
///
/// As for [`Vector`]; the tile's pointers must be valid for `M` weights of each input channel, `M` biases, a panel of all
/// input channels, and for the channels and lanes that are stored, in `out` and in what is added.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize>(t: &Tile<'_>) {
    // SAFETY: as required of the caller. All offsets stay within what the pointers are valid for; what is added and stored
    // is masked by `stored` and `lanes`.
    unsafe {
        let last_lanes = V::mask(t.lanes);
        let mut sums = [[V::splat(0.0); N]; M];
        for (i, sums) in sums.iter_mut().enumerate() {
            sums.fill(V::splat(*t.bias.add(i)));
        }
        if let Some(row) = t.upsampled {
            let pitch = row.pitch;
            let [above, below] = row.rows.map(|row| row.as_ptr().add(t.channel * pitch));
            for j in 0..N {
                let vector = UpsampleVector::<V>::new(row, t.pixel + j * V::LANES);
                for (i, sums) in sums.iter_mut().enumerate().take(t.stored) {
                    let at = i * pitch;
                    sums[j] = V::add(sums[j], vector.of(above.add(at), below.add(at)));
                }
            }
        }
        if !t.addend.is_null() {
            for (i, sums) in sums.iter_mut().enumerate().take(t.stored) {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let at = t.addend.add(i * t.addend_pitch + j * V::LANES);
                    let value = if j + 1 == N {
                        V::load_masked(at, last_lanes)
                    } else {
                        V::load(at)
                    };
                    *sum = V::add(*sum, value);
                }
            }
        }
        let (mut weights, mut panel) = (t.weights, t.panel);
        for _ in 0..t.inputs {
            let mut pixels = [V::splat(0.0); N];
            for (j, pixels) in pixels.iter_mut().enumerate() {
                *pixels = V::load(panel.add(j * V::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*weights.add(i));
                for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                    *sum = V::fma(weight, pixels, *sum);
                }
            }
            weights = weights.add(M);
            panel = panel.add(V::TILE_VECTORS * V::LANES);
        }
        for (i, sums) in sums.iter().enumerate().take(t.stored) {
            for (j, &sum) in sums.iter().enumerate() {
                let sum = if t.relu { V::relu(sum) } else { sum };
                let at = t.out.add(i * t.pitch + j * V::LANES);
                if j + 1 == N {
                    V::store_masked(at, last_lanes, sum);
                } else {
                    V::store(at, sum);
                }
            }
        }
    }
}

/// See [`Kernels::pointwise`](super::kernels::Kernels::pointwise).
///
/// # Safety
///
/// As for [`Vector`]; all lengths must fit together as that method asserts.
#[inline(always)]
pub(super) unsafe fn pointwise<V: Vector, const M: usize>(
    weights: &PackedWeights,
    channels: ChannelRange,
    panels: &[f32],
    pixels: usize,
    destination: &mut Destination<'_>,
) {
    let tiles = pixels.div_ceil(V::TILE_VECTORS * V::LANES);
    let groups = channels.count.div_ceil(M);
    // The smaller operand stays in the cache while the larger one goes by.
    let outer_pixels = 4 * weights.channels * channels.count <= CACHED_WEIGHTS;
    let (outer, inner) = if outer_pixels {
        (tiles, groups)
    } else {
        (groups, tiles)
    };
    for a in 0..outer {
        for b in 0..inner {
            let (group, at) = if outer_pixels { (b, a) } else { (a, b) };
            let t = full_tile::<V, M>(weights, channels, panels, destination, group, at);
            let left = pixels - at * V::TILE_VECTORS * V::LANES;
            let vectors = left.div_ceil(V::LANES).min(V::TILE_VECTORS);
            let lanes = (left - (vectors - 1) * V::LANES).min(V::LANES);
            let t = Tile {
                lanes: (u32::MAX >> (32 - lanes)) as u16,
                ..t
            };
            // SAFETY: as required of the caller. `full_tile` takes its pointers from slices; the tile has as many vectors,
            // and the last one as many lanes, as there are pixels left.
            unsafe {
                match vectors {
                    1 => tile::<V, M, 1>(&t),
                    2 => tile::<V, M, 2>(&t),
                    _ => tile::<V, M, 3>(&t),
                }
            }
        }
    }
}

/// The tile of a group of output channels and the panel `at`, with all lanes stored.
#[inline(always)]
fn full_tile<'a, V: Vector, const M: usize>(
    weights: &PackedWeights,
    channels: ChannelRange,
    panels: &[f32],
    destination: &mut Destination<'a>,
    group: usize,
    at: usize,
) -> Tile<'a> {
    let inputs = weights.channels;
    let panel = V::TILE_VECTORS * V::LANES;
    let (channel, pixel) = (group * M, at * panel);
    let out = destination.out[channel * destination.pitch + pixel..].as_mut_ptr();
    let (addend, addend_pitch) = match destination.addend {
        Addend::None | Addend::Row(_) => (std::ptr::null(), 0),
        Addend::Output => (out.cast_const(), destination.pitch),
        Addend::Values { values, pitch } => (values[channel * pitch + pixel..].as_ptr(), pitch),
    };
    let upsampled = match destination.addend {
        Addend::Row(row) => Some(row),
        _ => None,
    };
    Tile {
        channel,
        pixel,
        weights: weights.packed[(channels.first + channel) * inputs..].as_ptr(),
        bias: weights.bias[channels.first + channel..].as_ptr(),
        inputs,
        panel: panels[at * inputs * panel..].as_ptr(),
        out,
        pitch: destination.pitch,
        addend,
        addend_pitch,
        upsampled,
        stored: (channels.count - channel).min(M),
        lanes: u16::MAX,
        relu: destination.relu,
    }
}
