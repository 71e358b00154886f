//! A block a few channels at a time: of the expanded picture, only as many channels are in memory as fit into the caches
//! nearest to a core. What each group of them contributes to the output is added up.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::buffer::Buffer;
use super::grid::Position;
use super::kernels::Kernels;
use super::layers::{Layers, UpsampledInput};
use super::operands::{
    Addend, ChannelRange, DepthwiseInput, DepthwiseWeights, Destination, EdgeMasks, PackedWeights,
    UpsampledColumns, UpsampledRow, depthwise_weights, edge_masks,
};

/// Bytes of the expanded picture that are in memory at a time.
const GROUP_BYTES: usize = 256 << 10;
/// Values in a cache line.
const LINE: usize = 16;

/// See [`super::Block`]. With a stride of 2, the input is split into four *phases*: the even or odd pixels of the even or
/// odd rows. The neighbours of neighbouring output pixels are neighbours in their phase.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    kernels: &'static Kernels,
    input: [usize; 3],
    output: [usize; 3],
    stride: usize,
    residual: bool,
    expand: PackedWeights,
    depthwise: Arc<[DepthwiseWeights]>,
    /// For each group of channels.
    project: Vec<PackedWeights>,
    small: Option<UpsampledPlanes>,
    /// Channels in a group.
    group: usize,
    edge_masks: Vec<EdgeMasks>,
    /// One phase of the input, `[channels, pixels]`.
    phase_pixels: Buffer,
    /// The input: `[phases]`, each in panels.
    panels: Buffer,
    /// `[group, phases, plane]`; a plane has [`Planes::border`] zeros before its pixels, and at least as many behind.
    expanded: Buffer,
    plane: usize,
    /// The output of the depthwise convolution, in panels.
    filtered: Buffer,
}

/// The smaller picture.
#[derive(Debug, Clone)]
struct UpsampledPlanes {
    input: [usize; 3],
    weights: PackedWeights,
    positions: Vec<Position>,
    columns: UpsampledColumns,
    panels: Buffer,
    /// The convolved picture, `[group, plane]`.
    planes: Buffer,
    plane: usize,
}

impl Planes {
    /// With a stride of 2, the height and width of the input must be even.
    pub(super) fn new(layers: &Layers, kernels: &'static Kernels) -> Result<Self> {
        let ([channels, ..], middle) = (layers.input, layers.middle());
        let output @ [_, rows, columns] = layers.output();
        let pixels = rows * columns;
        let phases = layers.stride * layers.stride;
        let border = (columns + 1).next_multiple_of(LINE);
        let plane = (border + pixels + columns + 1 + LINE).next_multiple_of(LINE);
        let tile = kernels.tile_channels;
        let group = GROUP_BYTES / (4 * phases * plane) / tile * tile;
        let group = group.clamp(tile, middle.next_multiple_of(tile));
        let small = layers.upsampled_input.as_ref();
        let phase_pixels = if phases > 1 { channels * pixels } else { 0 };
        Ok(Self {
            kernels,
            input: layers.input,
            output,
            stride: layers.stride,
            residual: layers.residual,
            expand: PackedWeights::new(&layers.expand, &layers.expand_bias, channels, tile),
            depthwise: depthwise_weights(layers).into(),
            project: project_by_group(layers, group, tile),
            small: small
                .map(|small| UpsampledPlanes::new(small, layers, group, kernels))
                .transpose()?,
            group,
            edge_masks: edge_masks(pixels, columns, layers.stride == 2, kernels.lanes),
            phase_pixels: Buffer::new(phase_pixels),
            panels: Buffer::new(phases * kernels.panels(channels, pixels)),
            expanded: Buffer::new(group * phases * plane + kernels.slack()),
            plane,
            filtered: Buffer::new(kernels.panels(group, pixels)),
        })
    }

    /// Zeros before the pixels of a plane, for the neighbours above and on the left.
    fn border(&self) -> usize {
        (self.output[2] + 1).next_multiple_of(LINE)
    }

    fn phases(&self) -> usize {
        self.stride * self.stride
    }

    pub(super) fn run(&mut self, input: &[f32], upsampled_input: &[f32], output: &mut [f32]) {
        let [out, rows, columns] = self.output;
        let pixels = rows * columns;
        self.pack(input);
        if let Some(small) = &mut self.small {
            let [channels, height, width] = small.input;
            let (pixels, panels) = (height * width, &mut small.panels);
            self.kernels
                .pack(upsampled_input, pixels, channels, pixels, panels);
        }
        for group in 0..self.project.len() {
            let first = group * self.group;
            let count = self.group.min(self.depthwise.len() - first);
            self.expand(ChannelRange { first, count });
            let expanded = DepthwiseInput {
                values: &self.expanded,
                pitch: self.phases() * self.plane,
                offsets: self.offsets(),
                valid_rows: [true; 3],
                edge_masks: &self.edge_masks,
            };
            let weights = &self.depthwise[first..first + count];
            let all = ChannelRange { first: 0, count };
            self.kernels
                .depthwise(weights, all, &expanded, pixels, &mut self.filtered);
            let addend = match group {
                0 if self.residual => Addend::Values {
                    values: input,
                    pitch: pixels,
                },
                0 => Addend::None,
                _ => Addend::Output,
            };
            let destination = Destination {
                out: output,
                pitch: pixels,
                addend,
                relu: false,
            };
            let all = ChannelRange {
                first: 0,
                count: out,
            };
            let weights = &self.project[group];
            self.kernels
                .pointwise(weights, all, &self.filtered, pixels, destination);
        }
    }

    /// Packs the phases of the input.
    fn pack(&mut self, input: &[f32]) {
        let [channels, height, width] = self.input;
        let [_, rows, columns] = self.output;
        let pixels = rows * columns;
        if self.stride == 1 {
            self.kernels
                .pack(input, pixels, channels, pixels, &mut self.panels);
            return;
        }
        let size = self.kernels.panels(channels, pixels);
        for (phase, panels) in self.panels.chunks_exact_mut(size).enumerate() {
            let planes = input.chunks_exact(height * width);
            let phase_planes = self.phase_pixels.chunks_exact_mut(pixels);
            for (plane, phase_plane) in planes.zip(phase_planes) {
                let rows = plane.chunks_exact(width).skip(phase / 2).step_by(2);
                for (row, phase_row) in rows.zip(phase_plane.chunks_exact_mut(columns)) {
                    self.kernels.every_other(&row[phase % 2..], phase_row);
                }
            }
            self.kernels
                .pack(&self.phase_pixels, pixels, channels, pixels, panels);
        }
    }

    /// Expands some channels.
    fn expand(&mut self, group: ChannelRange) {
        let [channels, ..] = self.input;
        let [_, rows, columns] = self.output;
        let (pixels, border, phases) = (rows * columns, self.border(), self.phases());
        let size = self.kernels.panels(channels, pixels);
        let pitch = phases * self.plane;
        for phase in 0..phases {
            let out = &mut self.expanded[phase * self.plane + border..];
            let addend = match &mut self.small {
                Some(small) => {
                    small.write(group, out, pitch, columns, self.kernels);
                    Addend::Output
                }
                None => Addend::None,
            };
            let destination = Destination {
                out,
                pitch,
                addend,
                relu: true,
            };
            let panels = &self.panels[phase * size..][..size];
            self.kernels
                .pointwise(&self.expand, group, panels, pixels, destination);
        }
    }

    /// Where the neighbours of the first pixel are.
    fn offsets(&self) -> [usize; 9] {
        let (border, columns) = (self.border(), self.output[2]);
        let mut offsets = [0; 9];
        for (n, offset) in offsets.iter_mut().enumerate() {
            let (y, x) = (n / 3, n % 3);
            *offset = if self.stride == 1 {
                border + y * columns + x - columns - 1
            } else {
                // The row above is the odd row before, the pixel on the left the odd pixel before.
                let phase = usize::from(y != 1) * 2 + usize::from(x != 1);
                let back = usize::from(y == 0) * columns + usize::from(x == 0);
                phase * self.plane + border - back
            };
        }
        offsets
    }
}

/// The weights of the last convolution, split by the group of channels that they are multiplied with. The bias is the first
/// group's.
fn project_by_group(layers: &Layers, group: usize, tile_channels: usize) -> Vec<PackedWeights> {
    let middle = layers.middle();
    let no_bias = vec![0.0; layers.project_bias.len()];
    let groups = (0..middle).step_by(group).map(|first| {
        let count = group.min(middle - first);
        let rows = layers.project.chunks_exact(middle);
        let weights: Vec<f32> = rows
            .flat_map(|row| &row[first..first + count])
            .copied()
            .collect();
        let bias = if first == 0 {
            &layers.project_bias
        } else {
            &no_bias
        };
        PackedWeights::new(&weights, bias, count, tile_channels)
    });
    groups.collect()
}

impl UpsampledPlanes {
    fn new(
        small: &UpsampledInput,
        layers: &Layers,
        group: usize,
        kernels: &Kernels,
    ) -> Result<Self> {
        let ([channels, height, width], middle) = (small.input, layers.middle());
        let [_, large_height, large_width] = layers.input;
        let columns = small.grid.positions(width, large_width);
        let columns = UpsampledColumns::new(&columns, kernels.lanes);
        let plane = (height * width + LINE).next_multiple_of(LINE);
        let bias = vec![0.0; middle];
        Ok(Self {
            input: small.input,
            weights: PackedWeights::new(&small.weights, &bias, channels, kernels.tile_channels),
            positions: small.grid.positions(height, large_height),
            columns: columns.context("the picture is not enlarged enough")?,
            panels: Buffer::new(kernels.panels(channels, height * width)),
            planes: Buffer::new(group * plane),
            plane,
        })
    }

    /// Writes some channels, upsampled, into `out`; the next channel follows `pitch` values later.
    fn write(
        &mut self,
        channels: ChannelRange,
        out: &mut [f32],
        pitch: usize,
        columns: usize,
        kernels: &Kernels,
    ) {
        let [_, height, width] = self.input;
        let (pixels, weights) = (height * width, &self.weights);
        let destination = Destination {
            out: &mut self.planes,
            pitch: self.plane,
            addend: Addend::None,
            relu: false,
        };
        kernels.pointwise(weights, channels, &self.panels, pixels, destination);
        let planes = self.planes.chunks_exact(self.plane).take(channels.count);
        for (plane, out) in planes.zip(out.chunks_mut(pitch)) {
            for (position, out) in self.positions.iter().zip(out.chunks_mut(columns)) {
                let rows = [position.before, position.after];
                let row = UpsampledRow {
                    rows: rows.map(|row| &plane[row * width..]),
                    pitch: 0,
                    fraction: position.fraction,
                    columns: &self.columns,
                };
                kernels.upsample(&row, out);
            }
        }
    }
}
