//! A block row by row: of the expanded picture, only the three rows that the next output row needs are in memory.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::buffer::Buffer;
use super::grid::Position;
use super::kernels::Kernels;
use super::layers::{Layers, UpsampledInput};
use super::operands::{
    Addend, ChannelRange, DepthwiseInput, DepthwiseWeights, Destination, PackedWeights,
    UpsampledColumns, UpsampledRow, depthwise_weights,
};

/// Zeros before a row: for the left neighbour of its first pixel, and so that rows are aligned to cache lines.
const BORDER: usize = 16;

/// See [`super::Block`]. With a stride of 2, the even and the odd pixels of a row are its two *phases*, which are kept
/// apart, so that neighbouring output pixels need neighbouring values.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    kernels: &'static Kernels,
    input: [usize; 3],
    output: [usize; 3],
    middle: usize,
    stride: usize,
    residual: bool,
    expand: PackedWeights,
    depthwise: Arc<[DepthwiseWeights]>,
    project: PackedWeights,
    small: Option<UpsampledRows>,
    /// One phase of a row of the input, `[channels, width / stride]`.
    phase_pixels: Buffer,
    /// Two rows of the input, `[2, phases]`, each in panels.
    panels: Buffer,
    /// Three expanded rows: `[middle, 3, phases, phase_pitch]`.
    expanded: Buffer,
    /// Values of a phase of an expanded row, with its border.
    phase_pitch: usize,
    /// The output row of the depthwise convolution, in panels.
    filtered: Buffer,
}

/// The smaller picture, of which only three convolved rows are in memory.
#[derive(Debug, Clone)]
struct UpsampledRows {
    input: [usize; 3],
    weights: PackedWeights,
    positions: Vec<Position>,
    columns: UpsampledColumns,
    /// A row of the input.
    panels: Buffer,
    /// Three convolved rows: `[middle, 3, pitch]`.
    rows: Buffer,
    /// All output channels.
    all: ChannelRange,
    pitch: usize,
    /// The first row that is not convolved yet.
    next: usize,
}

impl Rows {
    pub(super) fn new(layers: &Layers, kernels: &'static Kernels) -> Result<Self> {
        let ([channels, _, width], middle) = (layers.input, layers.middle());
        let output = layers.output();
        let packed = |weights: &[f32], bias: &[f32], channels| {
            PackedWeights::new(weights, bias, channels, kernels.tile_channels)
        };
        let stride = layers.stride;
        let most = width.div_ceil(stride);
        let phase_pitch = BORDER + (most + 1).next_multiple_of(BORDER);
        let small = layers.upsampled_input.as_ref();
        let phase_pixels = if stride > 1 { channels * most } else { 0 };
        Ok(Self {
            kernels,
            input: layers.input,
            output,
            middle,
            stride,
            residual: layers.residual,
            expand: packed(&layers.expand, &layers.expand_bias, channels),
            depthwise: depthwise_weights(layers).into(),
            project: packed(&layers.project, &layers.project_bias, middle),
            small: small
                .map(|small| UpsampledRows::new(small, layers, kernels))
                .transpose()?,
            phase_pixels: Buffer::new(phase_pixels),
            panels: Buffer::new(2 * stride * kernels.panels(channels, most)),
            expanded: Buffer::new(middle * 3 * stride * phase_pitch + kernels.slack()),
            phase_pitch,
            filtered: Buffer::new(kernels.panels(middle, output[2])),
        })
    }

    pub(super) fn run(&mut self, input: &[f32], upsampled_input: &[f32], output: &mut [f32]) {
        let [_, height, width] = self.input;
        let [out, rows, columns] = self.output;
        if let Some(small) = &mut self.small {
            small.next = 0;
        }
        let mut expanded = 0;
        for row in 0..rows {
            let middle = row * self.stride;
            let needed = (middle + 2).min(height);
            for row in expanded..needed {
                self.pack(row, &input[row * width..]);
                if let Some(small) = &mut self.small {
                    small.convolve_for(row, upsampled_input, self.kernels);
                }
            }
            // A few channels at a time, so that what was expanded is filtered while it is in the nearest cache.
            let group = self.kernels.tile_channels;
            for first in (0..self.middle).step_by(group) {
                let count = group.min(self.middle - first);
                let channels = ChannelRange { first, count };
                (expanded..needed).for_each(|row| self.expand(row, channels));
                self.filter(middle, channels);
            }
            expanded = needed;
            let addend = if self.residual {
                Addend::Values {
                    values: &input[row * width..],
                    pitch: height * width,
                }
            } else {
                Addend::None
            };
            let destination = Destination {
                out: &mut output[row * columns..],
                pitch: rows * columns,
                addend,
                relu: false,
            };
            let all = ChannelRange {
                first: 0,
                count: out,
            };
            self.kernels
                .pointwise(&self.project, all, &self.filtered, columns, destination);
        }
    }

    /// Where the panels of a phase of a row are, and how many pixels they hold.
    fn panels_of(&self, row: usize, phase: usize) -> (Range<usize>, usize) {
        let [channels, _, width] = self.input;
        let size = self.kernels.panels(channels, width.div_ceil(self.stride));
        let first = (row % 2 * self.stride + phase) * size;
        let pixels = (width - phase).div_ceil(self.stride);
        (first..first + size, pixels)
    }

    /// Packs a row of the input, with which `values` begin.
    fn pack(&mut self, row: usize, values: &[f32]) {
        let [channels, height, width] = self.input;
        for phase in 0..self.stride.min(width) {
            let (range, pixels) = self.panels_of(row, phase);
            let (values, pitch) = if self.stride == 1 {
                (values, height * width)
            } else {
                let channels = self.phase_pixels.chunks_exact_mut(pixels);
                for (phase_pixels, values) in channels.zip(values.chunks(height * width)) {
                    self.kernels
                        .every_other(&values[phase..width], phase_pixels);
                }
                (&*self.phase_pixels, pixels)
            };
            let panels = &mut self.panels[range];
            self.kernels.pack(values, pitch, channels, pixels, panels);
        }
    }

    /// Expands a row of the input into some channels of the three expanded rows.
    fn expand(&mut self, row: usize, channels: ChannelRange) {
        let row_pitch = self.stride * self.phase_pitch;
        let pitch = 3 * row_pitch;
        for phase in 0..self.stride.min(self.input[2]) {
            let (range, pixels) = self.panels_of(row, phase);
            let place = row % 3 * row_pitch + phase * self.phase_pitch + BORDER;
            let small = self.small.as_ref();
            let small = small.map(|small| small.row(row, channels));
            let destination = Destination {
                out: &mut self.expanded[channels.first * pitch + place..],
                pitch,
                addend: small.as_ref().map_or(Addend::None, Addend::Row),
                relu: true,
            };
            let panels = &self.panels[range];
            self.kernels
                .pointwise(&self.expand, channels, panels, pixels, destination);
        }
    }

    /// The depthwise convolution of some channels, around the expanded row `middle`.
    fn filter(&mut self, middle: usize, channels: ChannelRange) {
        let [_, height, _] = self.input;
        let row_pitch = self.stride * self.phase_pitch;
        // Odd pixels are one phase behind even ones; the left neighbour of an even pixel is the odd one before it.
        let columns = match self.stride {
            1 => [BORDER - 1, BORDER, BORDER + 1],
            _ => [
                self.phase_pitch + BORDER - 1,
                BORDER,
                self.phase_pitch + BORDER,
            ],
        };
        let mut offsets = [0; 9];
        let mut valid_rows = [true; 3];
        for (n, offset) in offsets.iter_mut().enumerate() {
            let row = (middle + n / 3).checked_sub(1).filter(|&row| row < height);
            valid_rows[n / 3] = row.is_some();
            *offset = row.unwrap_or(middle) % 3 * row_pitch + columns[n % 3];
        }
        let pitch = 3 * row_pitch;
        let input = DepthwiseInput {
            values: &self.expanded[channels.first * pitch..],
            pitch,
            offsets,
            valid_rows,
            edge_masks: &[],
        };
        let pixels = self.output[2];
        let filtered = &mut self.filtered;
        self.kernels
            .depthwise(&self.depthwise, channels, &input, pixels, filtered);
    }
}

impl UpsampledRows {
    fn new(small: &UpsampledInput, layers: &Layers, kernels: &Kernels) -> Result<Self> {
        let ([channels, height, width], middle) = (small.input, layers.middle());
        let [_, large_height, large_width] = layers.input;
        let columns = small.grid.positions(width, large_width);
        let columns = UpsampledColumns::new(&columns, kernels.lanes);
        let pitch = width.next_multiple_of(BORDER) + BORDER;
        let bias = vec![0.0; middle];
        Ok(Self {
            input: small.input,
            weights: PackedWeights::new(&small.weights, &bias, channels, kernels.tile_channels),
            positions: small.grid.positions(height, large_height),
            columns: columns.context("the picture is not enlarged enough")?,
            panels: Buffer::new(kernels.panels(channels, width)),
            rows: Buffer::new(middle * 3 * pitch),
            all: ChannelRange {
                first: 0,
                count: middle,
            },
            pitch,
            next: 0,
        })
    }

    /// Convolves the rows that row `row` of the large picture needs.
    fn convolve_for(&mut self, row: usize, values: &[f32], kernels: &Kernels) {
        let [channels, height, width] = self.input;
        while self.next <= self.positions[row].after {
            let values = &values[self.next * width..];
            kernels.pack(values, height * width, channels, width, &mut self.panels);
            let destination = Destination {
                out: &mut self.rows[self.next % 3 * self.pitch..],
                pitch: 3 * self.pitch,
                addend: Addend::None,
                relu: false,
            };
            kernels.pointwise(&self.weights, self.all, &self.panels, width, destination);
            self.next += 1;
        }
    }

    /// Row `row` of the large picture, beginning with the first of some channels.
    fn row(&self, row: usize, channels: ChannelRange) -> UpsampledRow<'_> {
        let position = self.positions[row];
        let pitch = 3 * self.pitch;
        let rows = [position.before, position.after]
            .map(|row| &self.rows[channels.first * pitch + row % 3 * self.pitch..]);
        UpsampledRow {
            rows,
            pitch,
            fraction: position.fraction,
            columns: &self.columns,
        }
    }
}
