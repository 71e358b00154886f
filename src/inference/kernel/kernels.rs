//! The steps that a block is made of, for one instruction set: a table of compiled functions, behind methods that check
//! every length, so that the rest of the code is safe.
//!
//! Pixels that a 1x1 convolution reads are packed into *panels*: groups of [`Kernels::panel`] pixels, and within a group
//! one channel after the other, `[groups, channels, panel]`.
#![expect(
    unsafe_code,
    reason = "calls functions compiled for the instruction set, after checking all lengths"
)]

use super::operands::{
    Addend, ChannelRange, DepthwiseInput, DepthwiseWeights, Destination, PackedWeights,
    UpsampledRow,
};

/// See [`Kernels::pointwise`].
pub(super) type PointwiseFn =
    unsafe fn(&PackedWeights, ChannelRange, &[f32], usize, &mut Destination<'_>);
/// See [`Kernels::depthwise`].
pub(super) type DepthwiseFn =
    unsafe fn(&[DepthwiseWeights], ChannelRange, &DepthwiseInput<'_>, usize, &mut [f32]);
/// See [`Kernels::upsample`].
pub(super) type UpsampleFn = unsafe fn(&UpsampledRow<'_>, &mut [f32]);
/// See [`Kernels::pack`]; packs one group.
pub(super) type PackFn = unsafe fn(&[f32], usize, usize, usize, &mut [f32]);
/// See [`Kernels::every_other`].
pub(super) type EveryOtherFn = unsafe fn(&[f32], &mut [f32]);

/// The kernels of one instruction set. Outside of [`tables`](super::tables), they are reached only through an
/// [`InstructionSet`](super::InstructionSet), which exists only where the processor has the instructions.
pub(super) struct Kernels {
    pub(super) name: &'static str,
    /// Whether the processor has every instruction set that the functions were compiled for.
    pub(super) is_detected: fn() -> bool,
    /// Whether these are vector instructions.
    pub(super) is_fast: bool,
    /// Values in a vector.
    pub(super) lanes: usize,
    /// Output channels of a tile, whose sums are in registers at the same time.
    pub(super) tile_channels: usize,
    /// Vectors in a panel.
    pub(super) tile_vectors: usize,
    pub(super) pointwise: PointwiseFn,
    pub(super) depthwise: DepthwiseFn,
    pub(super) upsample: UpsampleFn,
    pub(super) pack: PackFn,
    pub(super) every_other: EveryOtherFn,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernels {
    /// Pixels in a panel.
    pub(super) fn panel(&self) -> usize {
        self.tile_vectors * self.lanes
    }

    /// Values in the panels of `pixels` pixels in `channels` channels.
    pub(super) fn panels(&self, channels: usize, pixels: usize) -> usize {
        pixels.div_ceil(self.panel()) * channels * self.panel()
    }

    /// Values that may be read, but not used, behind the last one of a buffer.
    pub(super) fn slack(&self) -> usize {
        self.panel() + 1
    }

    /// Copies every other one of `values`, beginning with the first.
    pub(super) fn every_other(&self, values: &[f32], out: &mut [f32]) {
        assert!(values.len() + 1 >= 2 * out.len());
        // SAFETY: the processor has the instruction set (see `Kernels`); the function requires nothing else.
        unsafe { (self.every_other)(values, out) };
    }

    /// Packs `pixels` pixels of `channels` channels into panels. In `values`, the next channel follows `pitch` values later.
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
        for (group, panels) in panels.chunks_exact_mut(channels * panel).enumerate() {
            let first = group * panel;
            let Some(count) = pixels.checked_sub(first).filter(|&left| left > 0) else {
                break;
            };
            let count = count.min(panel);
            // SAFETY: the processor has the instruction set. `panels` holds one vector group per channel, and each
            // channel has `count` values from `first` on: the last one by the first assertion, others before it.
            unsafe { (self.pack)(&values[first..], pitch, count, pixels, panels) };
        }
    }

    /// The 1x1 convolution of `pixels` pixels in `panels`, for some output channels of `weights`.
    pub(super) fn pointwise(
        &self,
        weights: &PackedWeights,
        channels: ChannelRange,
        panels: &[f32],
        pixels: usize,
        mut destination: Destination<'_>,
    ) {
        let ChannelRange { first, count } = channels;
        assert_eq!(
            weights.tile_channels, self.tile_channels,
            "weights were packed for another instruction set"
        );
        assert!(first.is_multiple_of(self.tile_channels) && first + count <= weights.out);
        assert!(count > 0 && pixels > 0);
        assert!(panels.len() >= self.panels(weights.channels, pixels));
        assert!(destination.out.len() >= (count - 1) * destination.pitch + pixels);
        match destination.addend {
            Addend::None | Addend::Output => {}
            Addend::Values { values, pitch } => {
                assert!(values.len() >= (count - 1) * pitch + pixels);
            }
            Addend::Row(row) => {
                let reach = row.reach(count, self.lanes);
                assert!(row.rows.iter().all(|row| row.len() >= reach));
                assert_eq!(row.columns.width, pixels);
            }
        }
        // SAFETY: the processor has the instruction set, and the assertions above are what the function requires.
        unsafe { (self.pointwise)(weights, channels, panels, pixels, &mut destination) };
    }

    /// The depthwise 3x3 convolution of `pixels` pixels of some channels, then a ReLU, into the panels of all channels of
    /// `weights`. `input` begins with the first of these channels.
    pub(super) fn depthwise(
        &self,
        weights: &[DepthwiseWeights],
        channels: ChannelRange,
        input: &DepthwiseInput<'_>,
        pixels: usize,
        panels: &mut [f32],
    ) {
        let ChannelRange { first, count } = channels;
        let offsets = input.offsets.into_iter();
        let (nearest, farthest) = (offsets.clone().min(), offsets.max());
        let farthest = farthest.unwrap_or_default();
        let padded = pixels.next_multiple_of(self.lanes) + self.lanes;
        assert!(count > 0 && first + count <= weights.len() && pixels > 0);
        assert!(input.values.len() >= (count - 1) * input.pitch + farthest + padded);
        assert!(panels.len() >= self.panels(weights.len(), pixels));
        if input.edge_masks.is_empty() {
            assert!(nearest.unwrap_or_default() + 1 >= self.lanes);
            let is_phase = input.offsets[2] == input.offsets[0] + 1;
            let rows = input.offsets.as_chunks::<3>().0;
            assert!(rows.iter().all(|&[left, middle, right]| if is_phase {
                right == left + 1
            } else {
                middle == left + 1 && right == middle + 1
            }));
        } else {
            assert!(input.edge_masks.len() * self.lanes >= pixels);
        }
        // SAFETY: the processor has the instruction set, and the assertions above are what the function requires.
        unsafe { (self.depthwise)(weights, channels, input, pixels, panels) };
    }

    /// Upsamples one channel of `row` into `out`.
    pub(super) fn upsample(&self, row: &UpsampledRow<'_>, out: &mut [f32]) {
        let reach = row.reach(1, self.lanes);
        assert!(row.rows.iter().all(|row| row.len() >= reach));
        assert!(out.len() >= row.columns.width);
        // SAFETY: the processor has the instruction set, and the assertions above are what the function requires.
        unsafe { (self.upsample)(row, out) };
    }
}
