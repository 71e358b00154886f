//! The three steps that a block is made of, for whichever instruction set the machine has.
//!
//! The right-hand side of a product lies in *panels*: pixels in groups of [`Steps::panel`], and within a group one channel
//! after the other, `[groups, channels, panel]`. What is read one after the other lies one after the other so.

use std::sync::{Arc, OnceLock};

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Lanes};

/// Vectors in a panel: with [`Steps::rows`] output channels, as many sums as registers can hold.
const VECTORS: usize = 3;

/// The left-hand side of a product: weights `[channels out, channels in]` of a 1x1 convolution, those of [`Steps::rows`]
/// output channels side by side (`[out / rows, in, rows]`, the last ones filled up with zeros), and a bias for each.
/// Copies share them.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    packed: Arc<[f32]>,
    bias: Arc<[f32]>,
    channels: usize,
    out: usize,
    rows: usize,
}

impl Weights {
    /// Of `weights` `[out, channels]`.
    pub(super) fn new(weights: &[f32], bias: &[f32], channels: usize, steps: &Steps) -> Self {
        let (rows, out) = (steps.rows, bias.len());
        let groups = out.div_ceil(rows);
        let mut packed = vec![0.0; groups * channels * rows];
        for (o, row) in weights.chunks_exact(channels).enumerate() {
            for (c, &weight) in row.iter().enumerate() {
                packed[(o / rows * channels + c) * rows + o % rows] = weight;
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(groups * rows, 0.0);
        Self {
            packed: packed.into(),
            bias: bias.into(),
            channels,
            out,
            rows,
        }
    }
}

/// Where a product goes, and what is added to it.
pub(super) struct Into<'a> {
    /// Pixel 0 of the first channel comes first, and each channel `pitch` after the one before.
    pub(super) out: &'a mut [f32],
    pub(super) pitch: usize,
    pub(super) add: Add<'a>,
    /// Whether what is below zero becomes zero.
    pub(super) rectify: bool,
}

/// What is added to a product beside its bias.
pub(super) enum Add<'a> {
    Nothing,
    /// What stands in the output.
    Out,
    /// Values, with a channel `pitch` after the one before.
    Values(&'a [f32], usize),
}

/// Which of the weights' output channels a product makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channels {
    /// A multiple of [`Steps::rows`].
    pub(super) from: usize,
    pub(super) count: usize,
}

/// A vector's place in an upsampled row: which values it is made of.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Where the values of each vector begin in the small row.
    from: Vec<usize>,
    /// For each pixel, the two values beside it, counted from there, ..
    left: Vec<i32>,
    right: Vec<i32>,
    /// .. and how far it is from the left to the right one.
    part: Vec<f32>,
    width: usize,
}

impl Stretch {
    /// A row whose pixels lie at `positions` of the small row. None if a vector would need more values than one has lanes.
    pub(super) fn new(positions: &[Position], steps: &Steps) -> Option<Self> {
        let width = positions.len();
        let padded = width.next_multiple_of(steps.lanes);
        let mut stretch = Self {
            from: Vec::new(),
            left: vec![0; padded],
            right: vec![0; padded],
            part: vec![0.0; padded],
            width,
        };
        for (n, vector) in positions.chunks(steps.lanes).enumerate() {
            let first = vector[0].before;
            stretch.from.push(first);
            for (lane, position) in vector.iter().enumerate() {
                let at = n * steps.lanes + lane;
                stretch.left[at] = position.before.checked_sub(first)? as i32;
                stretch.right[at] = position.after.checked_sub(first)? as i32;
                stretch.part[at] = position.part;
                if position.before.max(position.after) - first >= steps.lanes {
                    return None;
                }
            }
        }
        Some(stretch)
    }
}

/// A place between two values of a row or column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) before: usize,
    pub(super) after: usize,
    /// 0 at `before`, 1 at `after`.
    pub(super) part: f32,
}

/// Neighbours to leave out: of each vector, the lanes whose pixel has one on the left, and on the right.
#[derive(Debug, Clone)]
pub(super) struct Edges(Vec<[u16; 2]>);

impl Edges {
    /// For `pixels` pixels in rows of `width`; the last of a row may have a neighbour on the right all the same.
    pub(super) fn new(pixels: usize, width: usize, right: bool, steps: &Steps) -> Self {
        let vectors = (0..pixels).step_by(steps.lanes).map(|first| {
            let mut bits = [0, 0];
            for lane in 0..steps.lanes.min(pixels - first) {
                let column = (first + lane) % width;
                bits[0] |= u16::from(column > 0) << lane;
                bits[1] |= u16::from(right || column + 1 < width) << lane;
            }
            bits
        });
        Self(vectors.collect())
    }
}

/// Depthwise 3x3: a channel's weights and bias.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depthwise {
    pub(super) weights: [f32; 9],
    pub(super) bias: f32,
}

/// The source of a depthwise step.
pub(super) struct Window<'a> {
    /// A channel `pitch` after the one before.
    pub(super) values: &'a [f32],
    pub(super) pitch: usize,
    /// Where, in a channel, the first pixel's nine neighbours stand, row by row.
    pub(super) offsets: [usize; 9],
    /// Rows that count: others are beyond the picture's edge, and taken as zeros.
    pub(super) rows: [bool; 3],
    pub(super) edges: Option<&'a Edges>,
}

type Product = unsafe fn(&Weights, Channels, &[f32], usize, &mut Into<'_>);
type Neighbours = unsafe fn(&[Depthwise], &Window<'_>, usize, &mut [f32]);
type Upsample = unsafe fn([&[f32]; 2], f32, &Stretch, &mut [f32]);
type Pack = unsafe fn(&[f32], usize, usize, &mut [f32]);

/// The steps in one instruction set.
pub struct Steps {
    /// Its name.
    pub name: &'static str,
    /// Values in a vector.
    pub(super) lanes: usize,
    /// Output channels that are summed up side by side.
    pub(super) rows: usize,
    product: Product,
    neighbours: Neighbours,
    upsample: Upsample,
    pack: Pack,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[expect(
    unsafe_code,
    reason = "functions compiled for an instruction set, called where the machine has it"
)]
impl Steps {
    /// Those of the best instruction set that this machine has; none if it has no set that they were written for.
    pub fn best() -> Option<&'static Self> {
        static BEST: OnceLock<Option<&'static Steps>> = OnceLock::new();
        BEST.get_or_init(|| Self::all().next()).as_ref().copied()
    }

    /// Those of every instruction set that this machine has, the best first.
    #[cfg(target_arch = "x86_64")]
    pub fn all() -> impl Iterator<Item = &'static Self> {
        let avx512 = is_x86_feature_detected!("avx512f");
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let known = [(avx512, &AVX512), (avx2, &AVX2)];
        known
            .into_iter()
            .filter_map(|(has, steps)| has.then_some(steps))
    }

    /// None: there are no steps for this kind of processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn all() -> impl Iterator<Item = &'static Self> {
        std::iter::empty()
    }

    /// Pixels in a panel.
    pub(super) fn panel(&self) -> usize {
        VECTORS * self.lanes
    }

    /// Values in the panels of `pixels` pixels in `channels` channels.
    pub(super) fn panels(&self, channels: usize, pixels: usize) -> usize {
        pixels.div_ceil(self.panel()) * channels * self.panel()
    }

    /// Values that may be read, but not used, beyond the last one: allow for them behind every buffer.
    pub(super) fn slack(&self) -> usize {
        self.panel() + 1
    }

    /// Puts `pixels` pixels of `channels` channels into panels; a channel of `values` comes `pitch` after the one before.
    pub(super) fn pack(
        &self,
        values: &[f32],
        pitch: usize,
        channels: usize,
        pixels: usize,
        panels: &mut [f32],
    ) {
        assert!(values.len() >= (channels - 1) * pitch + pixels);
        assert!(panels.len() >= self.panels(channels, pixels));
        let panel = self.panel();
        for (group, into) in panels.chunks_exact_mut(channels * panel).enumerate() {
            let first = group * panel;
            let Some(count) = pixels.checked_sub(first).filter(|&left| left > 0) else {
                break;
            };
            let count = count.min(panel);
            // SAFETY: the machine has the instruction set, and the lengths were checked above.
            unsafe { (self.pack)(&values[first..], pitch, count, into) };
        }
    }

    /// The 1x1 convolution of `pixels` pixels in `panels` with `weights`.
    pub(super) fn product(
        &self,
        weights: &Weights,
        channels: Channels,
        panels: &[f32],
        pixels: usize,
        mut into: Into<'_>,
    ) {
        let Channels { from, count } = channels;
        assert_eq!(
            weights.rows, self.rows,
            "packed for another instruction set"
        );
        assert!(from.is_multiple_of(self.rows) && from + count <= weights.out);
        assert!(count > 0 && pixels > 0);
        assert!(panels.len() >= self.panels(weights.channels, pixels));
        assert!(into.out.len() >= (count - 1) * into.pitch + pixels);
        if let Add::Values(values, pitch) = into.add {
            assert!(values.len() >= (count - 1) * pitch + pixels);
        }
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.product)(weights, channels, panels, pixels, &mut into) };
    }

    /// The depthwise 3x3 convolution of `pixels` pixels in as many channels as there are `weights`, what is below zero
    /// made zero, into panels.
    pub(super) fn depthwise(
        &self,
        weights: &[Depthwise],
        window: &Window<'_>,
        pixels: usize,
        panels: &mut [f32],
    ) {
        let last = window.offsets.into_iter().max().unwrap_or_default();
        let padded = pixels.next_multiple_of(self.lanes);
        assert!(!weights.is_empty() && pixels > 0);
        assert!(window.values.len() >= (weights.len() - 1) * window.pitch + last + padded);
        assert!(panels.len() >= self.panels(weights.len(), pixels));
        assert!(
            window
                .edges
                .is_none_or(|edges| edges.0.len() * self.lanes >= pixels)
        );
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.neighbours)(weights, window, pixels, panels) };
    }

    /// A row that lies `part` of the way from the row `above` to the one `below`, with its pixels as `stretch` says.
    pub(super) fn upsample(
        &self,
        [above, below]: [&[f32]; 2],
        part: f32,
        stretch: &Stretch,
        out: &mut [f32],
    ) {
        let last = stretch.from.iter().max().copied().unwrap_or_default();
        assert!(above.len().min(below.len()) >= last + self.lanes);
        assert!(out.len() >= stretch.width);
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.upsample)([above, below], part, stretch, out) };
    }
}

/// Bytes of weights that stay in the caches nearest to a core while pixels go by.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 256 << 10;

/// One tile of a product: `M` channels times `N` vectors.
#[cfg(target_arch = "x86_64")]
struct Tile {
    weights: *const f32,
    bias: *const f32,
    channels: usize,
    panel: *const f32,
    out: *mut f32,
    pitch: usize,
    /// Null for none.
    add: *const f32,
    add_pitch: usize,
    /// Of the M channels, those that are wanted.
    rows: usize,
    /// Of the last vector, the lanes that are wanted.
    lanes: u16,
    rectify: bool,
}

/// The steps once for all instruction sets. Each must be inlined into a function that was compiled for the set of `L`.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "SIMD on lengths that the safe functions above have checked"
)]
mod generic {
    use super::{
        Add, Channels, Depthwise, Edges, Into, Lanes, NEAR, Stretch, Tile, VECTORS, Weights, Window,
    };

    #[inline(always)]
    unsafe fn tile<L: Lanes, const M: usize, const N: usize>(t: &Tile) {
        unsafe {
            let some = L::mask(t.lanes);
            let mut sums = [[L::splat(0.0); N]; M];
            for (i, sums) in sums.iter_mut().enumerate() {
                sums.fill(L::splat(*t.bias.add(i)));
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
                panel = panel.add(VECTORS * L::LANES);
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
    pub(super) unsafe fn product<L: Lanes, const M: usize>(
        weights: &Weights,
        Channels { from, count }: Channels,
        panels: &[f32],
        pixels: usize,
        into: &mut Into<'_>,
    ) {
        let tiles = pixels.div_ceil(VECTORS * L::LANES);
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
                let left = pixels - at * VECTORS * L::LANES;
                let vectors = left.div_ceil(L::LANES).min(VECTORS);
                let lanes = (left - (vectors - 1) * L::LANES).min(L::LANES);
                let t = Tile {
                    lanes: (u32::MAX >> (32 - lanes)) as u16,
                    ..t
                };
                unsafe {
                    match vectors {
                        1 => tile::<L, M, 1>(&t),
                        2 => tile::<L, M, 2>(&t),
                        _ => tile::<L, M, VECTORS>(&t),
                    }
                }
            }
        }
    }

    /// The tile of a group of channels and a panel, all lanes wanted.
    #[inline(always)]
    fn place<L: Lanes, const M: usize>(
        weights: &Weights,
        Channels { from, count }: Channels,
        panels: &[f32],
        into: &mut Into<'_>,
        group: usize,
        at: usize,
    ) -> Tile {
        let k = weights.channels;
        let panel = VECTORS * L::LANES;
        let (first, pixel) = (group * M, at * panel);
        let out = into.out[first * into.pitch + pixel..].as_mut_ptr();
        let (add, add_pitch) = match into.add {
            Add::Nothing => (std::ptr::null(), 0),
            Add::Out => (out.cast_const(), into.pitch),
            Add::Values(values, pitch) => (values[first * pitch + pixel..].as_ptr(), pitch),
        };
        Tile {
            weights: weights.packed[(from + first) * k..].as_ptr(),
            bias: weights.bias[from + first..].as_ptr(),
            channels: k,
            panel: panels[at * k * panel..].as_ptr(),
            out,
            pitch: into.pitch,
            add,
            add_pitch,
            rows: (count - first).min(M),
            lanes: u16::MAX,
            rectify: into.rectify,
        }
    }

    #[inline(always)]
    unsafe fn channel<L: Lanes, const EDGES: bool>(
        weights: &Depthwise,
        values: *const f32,
        window: &Window<'_>,
        pixels: usize,
        out: *mut f32,
        group_pitch: usize,
    ) {
        unsafe {
            let no_edges = Edges(Vec::new());
            let edges = window.edges.unwrap_or(&no_edges);
            let mut taps = [L::splat(0.0); 9];
            for (n, tap) in taps.iter_mut().enumerate() {
                let counts = window.rows[n / 3];
                *tap = L::splat(if counts { weights.weights[n] } else { 0.0 });
            }
            let bias = L::splat(weights.bias);
            let offsets = window.offsets;
            for vector in 0..pixels.div_ceil(L::LANES) {
                let first = vector * L::LANES;
                let mut sums = [bias, L::splat(0.0), L::splat(0.0)];
                for (n, &tap) in taps.iter().enumerate() {
                    let from = values.add(offsets[n] + first);
                    let value = if EDGES && n % 3 != 1 {
                        let lanes = *edges.0.get_unchecked(vector).get_unchecked(n % 3 / 2);
                        L::load_some(from, L::mask(lanes))
                    } else {
                        L::load(from)
                    };
                    sums[n / 3] = L::fma(tap, value, sums[n / 3]);
                }
                let sum = L::rectify(L::add(L::add(sums[0], sums[1]), sums[2]));
                let into = vector / VECTORS * group_pitch + vector % VECTORS * L::LANES;
                L::store(out.add(into), sum);
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn neighbours<L: Lanes>(
        weights: &[Depthwise],
        window: &Window<'_>,
        pixels: usize,
        panels: &mut [f32],
    ) {
        let panel = VECTORS * L::LANES;
        let group_pitch = weights.len() * panel;
        for (n, weights) in weights.iter().enumerate() {
            unsafe {
                let values = window.values.as_ptr().add(n * window.pitch);
                let out = panels.as_mut_ptr().add(n * panel);
                if window.edges.is_some() {
                    channel::<L, true>(weights, values, window, pixels, out, group_pitch);
                } else {
                    channel::<L, false>(weights, values, window, pixels, out, group_pitch);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn upsample<L: Lanes>(
        [above, below]: [&[f32]; 2],
        part: f32,
        stretch: &Stretch,
        out: &mut [f32],
    ) {
        unsafe {
            let part = L::splat(part);
            for (vector, &from) in stretch.from.iter().enumerate() {
                let first = vector * L::LANES;
                let above = L::load(above.as_ptr().add(from));
                let below = L::load(below.as_ptr().add(from));
                let values = L::fma(part, L::sub(below, above), above);
                let left = L::permute(values, stretch.left.as_ptr().add(first));
                let right = L::permute(values, stretch.right.as_ptr().add(first));
                let across = L::load(stretch.part.as_ptr().add(first));
                let value = L::fma(across, L::sub(right, left), left);
                let at = out.as_mut_ptr().add(first);
                let lanes = stretch.width - first;
                if lanes < L::LANES {
                    L::store_some(at, L::mask((1 << lanes) - 1), value);
                } else {
                    L::store(at, value);
                }
            }
        }
    }

    /// One group of a panel.
    #[inline(always)]
    pub(super) unsafe fn pack<L: Lanes>(
        values: &[f32],
        pitch: usize,
        pixels: usize,
        panel: &mut [f32],
    ) {
        for (channel, into) in panel.chunks_exact_mut(VECTORS * L::LANES).enumerate() {
            for vector in 0..VECTORS {
                let first = vector * L::LANES;
                let lanes = pixels.saturating_sub(first).min(L::LANES);
                unsafe {
                    let at = values.as_ptr().add(channel * pitch + first);
                    let some =
                        L::mask((u32::MAX.checked_shr(32 - lanes as u32).unwrap_or(0)) as u16);
                    L::store(into.as_mut_ptr().add(first), L::load_some(at, some));
                }
            }
        }
    }
}

/// Compiles the steps for an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! steps {
    ($constant:ident, $module:ident, $name:literal, $lanes:ty, $rows:literal, $features:literal) => {
        #[expect(
            unsafe_code,
            reason = "functions that need an instruction set are unsafe to call"
        )]
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
                    generic::product::<$lanes, $rows>(weights, channels, panels, pixels, into);
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn neighbours(
                weights: &[Depthwise],
                window: &Window<'_>,
                pixels: usize,
                panels: &mut [f32],
            ) {
                unsafe { generic::neighbours::<$lanes>(weights, window, pixels, panels) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn upsample(
                rows: [&[f32]; 2],
                part: f32,
                stretch: &Stretch,
                out: &mut [f32],
            ) {
                unsafe { generic::upsample::<$lanes>(rows, part, stretch, out) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pack(
                values: &[f32],
                pitch: usize,
                pixels: usize,
                panel: &mut [f32],
            ) {
                unsafe { generic::pack::<$lanes>(values, pitch, pixels, panel) }
            }
        }

        static $constant: Steps = Steps {
            name: $name,
            lanes: <$lanes as Lanes>::LANES,
            rows: $rows,
            product: $module::product,
            neighbours: $module::neighbours,
            upsample: $module::upsample,
            pack: $module::pack,
        };
    };
}

#[cfg(target_arch = "x86_64")]
steps!(AVX512, avx512, "AVX-512", Avx512, 8, "avx512f");
#[cfg(target_arch = "x86_64")]
steps!(AVX2, avx2, "AVX2", Avx2, 4, "avx2,fma");
