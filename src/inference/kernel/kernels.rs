//! The three steps that a block is made of, for whichever instruction set the machine has.
//!
//! The right-hand side of a product lies in *panels*: pixels in groups of [`Steps::panel`], and within a group one channel
//! after the other, `[groups, channels, panel]`. What is read one after the other lies one after the other so.

use std::sync::{Arc, OnceLock};

#[cfg(target_arch = "x86_64")]
use super::pointwise::{AVX2, AVX512};

/// The left-hand side of a product: weights `[channels out, channels in]` of a 1x1 convolution, those of [`Steps::rows`]
/// output channels side by side (`[out / rows, in, rows]`, the last ones filled up with zeros), and a bias for each.
/// Copies share them.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    pub(super) packed: Arc<[f32]>,
    pub(super) bias: Arc<[f32]>,
    pub(super) channels: usize,
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
    pub(super) from: Vec<usize>,
    /// For each pixel, the two values beside it, counted from there, ..
    pub(super) left: Vec<i32>,
    pub(super) right: Vec<i32>,
    /// .. and how far it is from the left to the right one.
    pub(super) part: Vec<f32>,
    pub(super) width: usize,
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
    pub(super) vectors: usize,
    pub(super) product: Product,
    pub(super) neighbours: Neighbours,
    pub(super) upsample: Upsample,
    pub(super) pack: Pack,
    pub(super) pick: Pick,
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
