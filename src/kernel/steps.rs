//! The three steps that a block is made of, for whichever instruction set the machine has.
//!
//! The right-hand side of a product lies in *panels*: pixels in groups of [`Steps::panel`], and within a group one channel
//! after the other, `[groups, channels, panel]`. What is read one after the other lies one after the other so.

use std::sync::{Arc, OnceLock};

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Lanes};

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
    /// A row of a smaller picture, upsampled.
    Upsampled(&'a Upsampled<'a>),
}

/// A row that lies between two rows of a smaller picture.
pub(super) struct Upsampled<'a> {
    /// The rows above and below; a channel comes `pitch` after the one before.
    pub(super) rows: [&'a [f32]; 2],
    pub(super) pitch: usize,
    /// How far it is from the one above to the one below.
    pub(super) part: f32,
    pub(super) stretch: &'a Stretch,
}

impl Upsampled<'_> {
    /// Values that are read of the rows of so many channels.
    fn reach(&self, channels: usize, lanes: usize) -> usize {
        let last = self.stretch.from.iter().max().copied().unwrap_or_default();
        (channels - 1) * self.pitch + last + lanes
    }
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

/// Neighbours to leave out: of a vector, the lanes whose pixel has one on the left, and on the right.
pub(super) type Edge = [u16; 2];

/// The edges of all vectors of `pixels` pixels in rows of `width`; the last of a row may have a neighbour on the `right` all
/// the same.
pub(super) fn edges(pixels: usize, width: usize, right: bool, steps: &Steps) -> Vec<Edge> {
    let vectors = (0..pixels).step_by(steps.lanes).map(|first| {
        let mut bits = [0, 0];
        for lane in 0..steps.lanes.min(pixels - first) {
            let column = (first + lane) % width;
            bits[0] |= u16::from(column > 0) << lane;
            bits[1] |= u16::from(right || column + 1 < width) << lane;
        }
        bits
    });
    vectors.collect()
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
    /// None where zeros stand beyond the edges: then the neighbours on the left come right before the pixels in the middle
    /// or, with a step of two, before those on the right.
    pub(super) edges: &'a [Edge],
}

type Product = unsafe fn(&Weights, Channels, &[f32], usize, &mut Into<'_>);
type Neighbours = unsafe fn(&[Depthwise], Channels, &Window<'_>, usize, &mut [f32]);
type Upsample = unsafe fn(&Upsampled<'_>, &mut [f32]);
type Pick = unsafe fn(&[f32], &mut [f32]);
type Pack = unsafe fn(&[f32], usize, usize, usize, &mut [f32]);

/// The steps in one instruction set.
pub struct Steps {
    /// Its name.
    pub name: &'static str,
    /// Values in a vector.
    pub(super) lanes: usize,
    /// Output channels that are summed up side by side.
    pub(super) rows: usize,
    /// Vectors in a panel.
    vectors: usize,
    product: Product,
    neighbours: Neighbours,
    upsample: Upsample,
    pack: Pack,
    pick: Pick,
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
        self.vectors * self.lanes
    }

    /// Values in the panels of `pixels` pixels in `channels` channels.
    pub(super) fn panels(&self, channels: usize, pixels: usize) -> usize {
        pixels.div_ceil(self.panel()) * channels * self.panel()
    }

    /// Values that may be read, but not used, beyond the last one: allow for them behind every buffer.
    pub(super) fn slack(&self) -> usize {
        self.panel() + 1
    }

    /// Every other one of `values`, from the first one on.
    pub(super) fn pick(&self, values: &[f32], out: &mut [f32]) {
        assert!(values.len() + 1 >= 2 * out.len());
        // SAFETY: the machine has the instruction set; nothing else is asked for.
        unsafe { (self.pick)(values, out) };
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
            unsafe { (self.pack)(&values[first..], pitch, count, pixels, into) };
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
        match into.add {
            Add::Nothing | Add::Out => {}
            Add::Values(values, pitch) => assert!(values.len() >= (count - 1) * pitch + pixels),
            Add::Upsampled(row) => {
                let reach = row.reach(count, self.lanes);
                assert!(row.rows.iter().all(|row| row.len() >= reach));
                assert_eq!(row.stretch.width, pixels);
            }
        }
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.product)(weights, channels, panels, pixels, &mut into) };
    }

    /// The depthwise 3x3 convolution of `pixels` pixels in some channels, whose values `window` begins with, what is below
    /// zero made zero, into panels of as many channels as there are `weights`.
    pub(super) fn depthwise(
        &self,
        weights: &[Depthwise],
        which: Channels,
        window: &Window<'_>,
        pixels: usize,
        panels: &mut [f32],
    ) {
        let last = window.offsets.into_iter().max().unwrap_or_default();
        let padded = pixels.next_multiple_of(self.lanes) + self.lanes;
        assert!(which.count > 0 && which.from + which.count <= weights.len() && pixels > 0);
        assert!(window.values.len() >= (which.count - 1) * window.pitch + last + padded);
        assert!(panels.len() >= self.panels(weights.len(), pixels));
        let edges = window.edges.len() * self.lanes;
        let first = window.offsets.into_iter().min().unwrap_or_default();
        assert!(edges >= pixels || (edges == 0 && first + 1 >= self.lanes));
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.neighbours)(weights, which, window, pixels, panels) };
    }

    /// One channel of `row` into `out`.
    pub(super) fn upsample(&self, row: &Upsampled<'_>, out: &mut [f32]) {
        let reach = row.reach(1, self.lanes);
        assert!(row.rows.iter().all(|row| row.len() >= reach));
        assert!(out.len() >= row.stretch.width);
        // SAFETY: the machine has the instruction set, and all lengths were checked above.
        unsafe { (self.upsample)(row, out) };
    }
}

/// Bytes of weights that stay in the caches nearest to a core while pixels go by.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 256 << 10;

/// One tile of a product: `M` channels times `N` vectors.
#[cfg(target_arch = "x86_64")]
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

/// The steps once for all instruction sets. Each must be inlined into a function that was compiled for the set of `L`.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "SIMD on lengths that the safe functions above have checked"
)]
mod generic {
    use super::{Add, Channels, Depthwise, Into, Lanes, NEAR, Tile, Upsampled, Weights, Window};

    #[inline(always)]
    unsafe fn tile<L: Lanes, const M: usize, const N: usize>(t: &Tile<'_>) {
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
    pub(super) unsafe fn product<L: Lanes, const M: usize>(
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
    fn place<'a, L: Lanes, const M: usize>(
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
    unsafe fn channel<L: Lanes, const SIDES: u8>(
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
    pub(super) unsafe fn neighbours<L: Lanes>(
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
    struct Between<L: Lanes> {
        from: usize,
        part: L::V,
        left: L::I,
        right: L::I,
        across: L::V,
    }

    impl<L: Lanes> Between<L> {
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
    pub(super) unsafe fn upsample<L: Lanes>(row: &Upsampled<'_>, out: &mut [f32]) {
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
    pub(super) fn pick(values: &[f32], out: &mut [f32]) {
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
    pub(super) unsafe fn pack<L: Lanes>(
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
    ($constant:ident, $module:ident, $name:literal, $lanes:ty, $features:literal) => {
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
                    generic::product::<$lanes, { <$lanes as Lanes>::ROWS }>(
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
                unsafe { generic::neighbours::<$lanes>(weights, which, window, pixels, panels) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn upsample(row: &Upsampled<'_>, out: &mut [f32]) {
                unsafe { generic::upsample::<$lanes>(row, out) }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pick(values: &[f32], out: &mut [f32]) {
                generic::pick(values, out);
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn pack(
                values: &[f32],
                pitch: usize,
                pixels: usize,
                ahead: usize,
                panel: &mut [f32],
            ) {
                unsafe { generic::pack::<$lanes>(values, pitch, pixels, ahead, panel) }
            }
        }

        static $constant: Steps = Steps {
            name: $name,
            lanes: <$lanes as Lanes>::LANES,
            rows: <$lanes as Lanes>::ROWS,
            vectors: <$lanes as Lanes>::VECTORS,
            product: $module::product,
            neighbours: $module::neighbours,
            upsample: $module::upsample,
            pack: $module::pack,
            pick: $module::pick,
        };
    };
}

#[cfg(target_arch = "x86_64")]
steps!(AVX512, avx512, "AVX-512", Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
steps!(AVX2, avx2, "AVX2", Avx2, "avx2,fma");
