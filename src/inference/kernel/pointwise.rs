//! The steps, written once with vectors, and compiled for each instruction set.
//!
//! What is generic here must be inlined into a function that was compiled for its instruction set: closures are not.
#![expect(
    unsafe_code,
    reason = "SIMD on lengths that the functions of `Steps` have checked"
)]
#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the instruction set"
)]

use super::kernels::{Add, Channels, Depthwise, Into, Steps, Upsampled, Weights, Window};
use super::vector::{Avx2, Avx512, Workers};

/// Bytes of weights that stay in the caches nearest to a core while pixels go by.
const NEAR: usize = 256 << 10;

/// One tile of a product: `M` channels times `N` vectors.
struct Tile<'a> {
    /// Its first channel and pixel in the product.
    first: usize,
    pixel: usize,
    weights: *const f32,
    bias: *const f32,
    channels: usize,
    panel: *const f32,
    out: *mut f32,
    pitch: usize,
    /// Null for none.
    add: *const f32,
    add_pitch: usize,
    upsampled: Option<&'a Upsampled<'a>>,
    /// Of the M channels, those that are wanted.
    rows: usize,
    /// Of the last vector, the lanes that are wanted.
    lanes: u16,
    rectify: bool,
}

#[inline(always)]
unsafe fn tile<L: Workers, const M: usize, const N: usize>(t: &Tile<'_>) {
    unsafe {
        let some = L::mask(t.lanes);
        let mut sums = [[L::splat(0.0); N]; M];
        for (i, sums) in sums.iter_mut().enumerate() {
            sums.fill(L::splat(*t.bias.add(i)));
        }
        if let Some(row) = t.upsampled {
            let pitch = row.pitch;
            let [above, below] = row.rows.map(|row| row.as_ptr().add(t.first * pitch));
            for j in 0..N {
                let between = Between::<L>::new(row, t.pixel + j * L::LANES);
                for (i, sums) in sums.iter_mut().enumerate().take(t.rows) {
                    let at = i * pitch;
                    sums[j] = L::add(sums[j], between.of(above.add(at), below.add(at)));
                }
            }
        }
        if !t.add.is_null() {
            for (i, sums) in sums.iter_mut().enumerate().take(t.rows) {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let at = t.add.add(i * t.add_pitch + j * L::LANES);
                    let value = if j + 1 == N {
                        L::load_some(at, some)
                    } else {
                        L::load(at)
                    };
                    *sum = L::add(*sum, value);
                }
            }
        }
        let (mut weights, mut panel) = (t.weights, t.panel);
        for _ in 0..t.channels {
            let mut pixels = [L::splat(0.0); N];
            for (j, pixels) in pixels.iter_mut().enumerate() {
                *pixels = L::load(panel.add(j * L::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let weight = L::splat(*weights.add(i));
                for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                    *sum = L::fma(weight, pixels, *sum);
                }
            }
            weights = weights.add(M);
            panel = panel.add(L::VECTORS * L::LANES);
        }
        for (i, sums) in sums.iter().enumerate().take(t.rows) {
            for (j, &sum) in sums.iter().enumerate() {
                let sum = if t.rectify { L::rectify(sum) } else { sum };
                let at = t.out.add(i * t.pitch + j * L::LANES);
                if j + 1 == N {
                    L::store_some(at, some, sum);
                } else {
                    L::store(at, sum);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn product<L: Workers, const M: usize>(
    weights: &Weights,
    Channels { from, count }: Channels,
    panels: &[f32],
    pixels: usize,
    into: &mut Into<'_>,
) {
    let tiles = pixels.div_ceil(L::VECTORS * L::LANES);
    let groups = count.div_ceil(M);
    // What is smaller stays near while what is larger goes by.
    let outer_pixels = 4 * weights.channels * count <= NEAR;
    let (outer, inner) = if outer_pixels {
        (tiles, groups)
    } else {
        (groups, tiles)
    };
    for a in 0..outer {
        for b in 0..inner {
            let (group, at) = if outer_pixels { (b, a) } else { (a, b) };
            let t = place::<L, M>(weights, Channels { from, count }, panels, into, group, at);
            let left = pixels - at * L::VECTORS * L::LANES;
            let vectors = left.div_ceil(L::LANES).min(L::VECTORS);
            let lanes = (left - (vectors - 1) * L::LANES).min(L::LANES);
            let t = Tile {
                lanes: (u32::MAX >> (32 - lanes)) as u16,
                ..t
            };
            unsafe {
                match vectors {
                    1 => tile::<L, M, 1>(&t),
                    2 => tile::<L, M, 2>(&t),
                    _ => tile::<L, M, 3>(&t),
                }
            }
        }
    }
}

/// The tile of a group of channels and a panel, all lanes wanted.
#[inline(always)]
fn place<'a, L: Workers, const M: usize>(
    weights: &Weights,
    Channels { from, count }: Channels,
    panels: &[f32],
    into: &mut Into<'a>,
    group: usize,
    at: usize,
) -> Tile<'a> {
    let k = weights.channels;
    let panel = L::VECTORS * L::LANES;
    let (first, pixel) = (group * M, at * panel);
    let out = into.out[first * into.pitch + pixel..].as_mut_ptr();
    let (add, add_pitch) = match into.add {
        Add::Nothing | Add::Upsampled(_) => (std::ptr::null(), 0),
        Add::Out => (out.cast_const(), into.pitch),
        Add::Values(values, pitch) => (values[first * pitch + pixel..].as_ptr(), pitch),
    };
    let upsampled = match into.add {
        Add::Upsampled(row) => Some(row),
        _ => None,
    };
    Tile {
        first,
        pixel,
        weights: weights.packed[(from + first) * k..].as_ptr(),
        bias: weights.bias[from + first..].as_ptr(),
        channels: k,
        panel: panels[at * k * panel..].as_ptr(),
        out,
        pitch: into.pitch,
        add,
        add_pitch,
        upsampled,
        rows: (count - first).min(M),
        lanes: u16::MAX,
        rectify: into.rectify,
    }
}

/// Where a pixel's neighbours on the left and right stand.
const APART: u8 = 0;
/// In the vectors before and after.
const IN_LINE: u8 = 1;
/// In another line, which begins with the right one's.
const IN_ANOTHER: u8 = 2;

/// One channel; `SIDES` is one of the above.
#[inline(always)]
unsafe fn channel<L: Workers, const SIDES: u8>(
    weights: &Depthwise,
    values: *const f32,
    window: &Window<'_>,
    pixels: usize,
    out: *mut f32,
    group_pitch: usize,
) {
    unsafe {
        let mut taps = [[L::splat(0.0); 3]; 3];
        for (y, taps) in taps.iter_mut().enumerate().filter(|(y, _)| window.rows[*y]) {
            for (x, tap) in taps.iter_mut().enumerate() {
                *tap = L::splat(weights.weights[3 * y + x]);
            }
        }
        let bias = L::splat(weights.bias);
        let offsets = window.offsets;
        // The line that is shifted, and what of it came before.
        let line = if SIDES == IN_ANOTHER { 2 } else { 1 };
        let mut before = [bias; 3];
        let mut now = [bias; 3];
        if SIDES != APART {
            for y in 0..3 {
                let at = values.add(offsets[3 * y + line]);
                before[y] = L::load(at.sub(L::LANES));
                now[y] = L::load(at);
            }
        }
        let vectors = pixels.div_ceil(L::LANES);
        for group in 0..vectors.div_ceil(L::VECTORS) {
            let out = out.add(group * group_pitch);
            let last = vectors.min(group * L::VECTORS + L::VECTORS);
            for vector in group * L::VECTORS..last {
                let first = vector * L::LANES;
                let mut sums = [bias, L::splat(0.0), L::splat(0.0)];
                for y in 0..3 {
                    let at = [0, 1, 2].map(|x| values.wrapping_add(offsets[3 * y + x] + first));
                    let three = if SIDES == APART {
                        let [left, right] = window.edges[vector].map(|bits| L::mask(bits));
                        let middle = L::load(at[1]);
                        [
                            L::load_some(at[0], left),
                            middle,
                            L::load_some(at[2], right),
                        ]
                    } else {
                        let after = L::load(at[line].add(L::LANES));
                        let left = L::left_of(at[line], before[y], now[y]);
                        let three = if SIDES == IN_ANOTHER {
                            [left, L::load(at[1]), now[y]]
                        } else {
                            [left, now[y], L::right_of(at[line], now[y], after)]
                        };
                        before[y] = now[y];
                        now[y] = after;
                        three
                    };
                    for x in 0..3 {
                        sums[y] = L::fma(taps[y][x], three[x], sums[y]);
                    }
                }
                let sum = L::rectify(L::add(L::add(sums[0], sums[1]), sums[2]));
                L::store(out.add((vector - group * L::VECTORS) * L::LANES), sum);
            }
        }
    }
}

#[inline(always)]
unsafe fn neighbours<L: Workers>(
    weights: &[Depthwise],
    Channels { from, count }: Channels,
    window: &Window<'_>,
    pixels: usize,
    panels: &mut [f32],
) {
    let panel = L::VECTORS * L::LANES;
    let group_pitch = weights.len() * panel;
    for (n, weights) in weights[from..from + count].iter().enumerate() {
        unsafe {
            let values = window.values.as_ptr().add(n * window.pitch);
            let out = panels.as_mut_ptr().add((from + n) * panel);
            if !window.edges.is_empty() {
                channel::<L, APART>(weights, values, window, pixels, out, group_pitch);
            } else if window.offsets[2] == window.offsets[0] + 1 {
                channel::<L, IN_ANOTHER>(weights, values, window, pixels, out, group_pitch);
            } else {
                channel::<L, IN_LINE>(weights, values, window, pixels, out, group_pitch);
            }
        }
    }
}

/// A vector's worth of an upsampled row, in whichever channel.
struct Between<L: Workers> {
    from: usize,
    part: L::V,
    left: L::I,
    right: L::I,
    across: L::V,
}

impl<L: Workers> Between<L> {
    /// For the vector that begins at pixel `first`.
    #[inline(always)]
    unsafe fn new(row: &Upsampled<'_>, first: usize) -> Self {
        let stretch = row.stretch;
        unsafe {
            Self {
                from: *stretch.from.get_unchecked(first / L::LANES),
                part: L::splat(row.part),
                left: L::load_lanes(stretch.left.as_ptr().add(first)),
                right: L::load_lanes(stretch.right.as_ptr().add(first)),
                across: L::load(stretch.part.as_ptr().add(first)),
            }
        }
    }

    /// Of a channel's rows `above` and `below`.
    #[inline(always)]
    unsafe fn of(&self, above: *const f32, below: *const f32) -> L::V {
        unsafe {
            let above = L::load(above.add(self.from));
            let below = L::load(below.add(self.from));
            let values = L::fma(self.part, L::sub(below, above), above);
            let left = L::permute(values, self.left);
            let right = L::permute(values, self.right);
            L::fma(self.across, L::sub(right, left), left)
        }
    }
}

#[inline(always)]
unsafe fn upsample<L: Workers>(row: &Upsampled<'_>, out: &mut [f32]) {
    unsafe {
        let [above, below] = row.rows.map(<[f32]>::as_ptr);
        for first in (0..row.stretch.width).step_by(L::LANES) {
            let value = Between::<L>::new(row, first).of(above, below);
            let at = out.as_mut_ptr().add(first);
            let lanes = row.stretch.width - first;
            if lanes < L::LANES {
                L::store_some(at, L::mask((1 << lanes) - 1), value);
            } else {
                L::store(at, value);
            }
        }
    }
}

#[inline(always)]
fn pick(values: &[f32], out: &mut [f32]) {
    let (pairs, last) = values.as_chunks::<2>();
    for (to, [from, _]) in out.iter_mut().zip(pairs) {
        *to = *from;
    }
    if let (Some(to), [from]) = (out.get_mut(pairs.len()), last) {
        *to = *from;
    }
}

/// One group of `pixels` pixels of a panel; `ahead` is how many pixels later the next ones will be wanted.
#[inline(always)]
unsafe fn pack<L: Workers>(
    values: &[f32],
    pitch: usize,
    pixels: usize,
    ahead: usize,
    panel: &mut [f32],
) {
    for (channel, into) in panel.chunks_exact_mut(L::VECTORS * L::LANES).enumerate() {
        for vector in 0..L::VECTORS {
            let first = vector * L::LANES;
            let lanes = pixels.saturating_sub(first).min(L::LANES);
            unsafe {
                let at = values.as_ptr().add(channel * pitch + first);
                // What comes next in each channel is likely to be wanted next, which hardware does not foresee, as
                // channels are far from each other.
                L::prefetch(at.wrapping_add(ahead));
                let some = L::mask((u32::MAX.checked_shr(32 - lanes as u32).unwrap_or(0)) as u16);
                L::store(into.as_mut_ptr().add(first), L::load_some(at, some));
            }
        }
    }
}

/// Compiles the steps for an instruction set.
macro_rules! steps {
    ($constant:ident, $module:ident, $name:literal, $lanes:ty, $features:literal) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) unsafe fn product(
                weights: &Weights,
                channels: Channels,
                panels: &[f32],
                pixels: usize,
                into: &mut Into<'_>,
            ) {
                unsafe {
                    super::product::<$lanes, { <$lanes as Workers>::ROWS }>(
                        weights, channels, panels, pixels, into,
                    );
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn neighbours(
                weights: &[Depthwise],
                which: Channels,
                window: &Window<'_>,
                pixels: usize,
                panels: &mut [f32],
            ) {
                unsafe { super::neighbours::<$lanes>(weights, which, window, pixels, panels) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn upsample(row: &Upsampled<'_>, out: &mut [f32]) {
                unsafe { super::upsample::<$lanes>(row, out) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pick(values: &[f32], out: &mut [f32]) {
                super::pick(values, out);
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pack(
                values: &[f32],
                pitch: usize,
                pixels: usize,
                ahead: usize,
                panel: &mut [f32],
            ) {
                unsafe { super::pack::<$lanes>(values, pitch, pixels, ahead, panel) }
            }
        }

        pub(super) static $constant: Steps = Steps {
            name: $name,
            lanes: <$lanes as Workers>::LANES,
            rows: <$lanes as Workers>::ROWS,
            vectors: <$lanes as Workers>::VECTORS,
            product: $module::product,
            neighbours: $module::neighbours,
            upsample: $module::upsample,
            pack: $module::pack,
            pick: $module::pick,
        };
    };
}

steps!(AVX512, avx512, "AVX-512", Avx512, "avx512f");
steps!(AVX2, avx2, "AVX2", Avx2, "avx2,fma");
