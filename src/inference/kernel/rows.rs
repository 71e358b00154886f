//! A block row by row: of the expanded picture, no more than the three rows that the next output row needs are there.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::block::{Beside, Layers, depthwise};
use super::buffer::Buffer;
use super::kernels::{
    Add, Channels, Depthwise, Into, Position, Steps, Stretch, Upsampled, Weights, Window,
};

/// Zeros before a row: for the neighbour on the left, and so that rows begin where cache lines do.
const BORDER: usize = 16;

/// See [`super::Block`].
#[derive(Debug, Clone)]
pub(super) struct Rows {
    steps: &'static Steps,
    input: [usize; 3],
    output: [usize; 3],
    middle: usize,
    stride: usize,
    residual: bool,
    expand: Weights,
    depthwise: Arc<[Depthwise]>,
    project: Weights,
    beside: Option<BesideRows>,
    /// Of a row of the input, every `stride`th pixel from one on, `[channels, width / stride]`.
    picked: Buffer,
    /// Two rows of the input, each of them or its even and its odd pixels in panels.
    panels: Buffer,
    /// `[middle, 3, stride, part]`: of each row, its even pixels, then its odd ones, where the step is two.
    expanded: Buffer,
    /// Values of a row, or of its even or odd pixels, with borders.
    part: usize,
    filtered: Buffer,
}

/// The smaller picture: no more than three convolved rows of it are there.
#[derive(Debug, Clone)]
struct BesideRows {
    input: [usize; 3],
    weights: Weights,
    down: Vec<Position>,
    across: Stretch,
    panels: Buffer,
    /// `[middle, 3, pitch]`.
    rows: Buffer,
    all: Channels,
    pitch: usize,
    /// The first row that was not convolved yet.
    next: usize,
}

impl Rows {
    pub(super) fn new(layers: &Layers, steps: &'static Steps) -> Result<Self> {
        let ([channels, _, width], middle) = (layers.input, layers.middle());
        let output = layers.output();
        let weights =
            |weights: &[f32], bias: &[f32], channels| Weights::new(weights, bias, channels, steps);
        let stride = layers.stride;
        let most = width.div_ceil(stride);
        let part = BORDER + (most + 1).next_multiple_of(BORDER);
        let beside = layers.beside.as_ref();
        Ok(Self {
            steps,
            input: layers.input,
            output,
            middle,
            stride,
            residual: layers.residual,
            expand: weights(&layers.expand, &layers.expand_bias, channels),
            depthwise: depthwise(layers).into(),
            project: weights(&layers.project, &layers.project_bias, middle),
            beside: beside
                .map(|beside| BesideRows::new(beside, layers, steps))
                .transpose()?,
            picked: Buffer::new(if stride > 1 { channels * most } else { 0 }),
            panels: Buffer::new(2 * stride * steps.panels(channels, most)),
            expanded: Buffer::new(middle * 3 * stride * part + steps.slack()),
            part,
            filtered: Buffer::new(steps.panels(middle, output[2])),
        })
    }

    pub(super) fn run(&mut self, input: &[f32], beside: &[f32], output: &mut [f32]) {
        let [_, height, width] = self.input;
        let [out, rows, columns] = self.output;
        if let Some(beside) = &mut self.beside {
            beside.next = 0;
        }
        let mut expanded = 0;
        for row in 0..rows {
            let middle = row * self.stride;
            let needed = (middle + 2).min(height);
            for row in expanded..needed {
                self.pack(row, &input[row * width..]);
                if let Some(small) = &mut self.beside {
                    small.convolve_for(row, beside, self.steps);
                }
            }
            // What is expanded is filtered while it is near.
            let group = self.steps.rows;
            for from in (0..self.middle).step_by(group) {
                let count = group.min(self.middle - from);
                let which = Channels { from, count };
                (expanded..needed).for_each(|row| self.expand(row, which));
                self.filter(middle, which);
            }
            expanded = needed;
            let add = if self.residual {
                Add::Values(&input[row * width..], height * width)
            } else {
                Add::Nothing
            };
            let into = Into {
                out: &mut output[row * columns..],
                pitch: rows * columns,
                add,
                rectify: false,
            };
            let all = Channels {
                from: 0,
                count: out,
            };
            self.steps
                .product(&self.project, all, &self.filtered, columns, into);
        }
    }

    /// Where the panels of a row, or of its even or odd pixels, lie, and how many pixels they hold.
    fn panels_of(&self, row: usize, phase: usize) -> (Range<usize>, usize) {
        let [channels, _, width] = self.input;
        let size = self.steps.panels(channels, width.div_ceil(self.stride));
        let first = (row % 2 * self.stride + phase) * size;
        let pixels = (width - phase).div_ceil(self.stride);
        (first..first + size, pixels)
    }

    /// Puts a row of the input, which `values` begin with, into panels.
    fn pack(&mut self, row: usize, values: &[f32]) {
        let [channels, height, width] = self.input;
        for phase in 0..self.stride.min(width) {
            let (range, pixels) = self.panels_of(row, phase);
            let (values, pitch) = if self.stride == 1 {
                (values, height * width)
            } else {
                let picked = self.picked.chunks_exact_mut(pixels);
                for (into, values) in picked.zip(values.chunks(height * width)) {
                    self.steps.pick(&values[phase..width], into);
                }
                (&*self.picked, pixels)
            };
            let panels = &mut self.panels[range];
            self.steps.pack(values, pitch, channels, pixels, panels);
        }
    }

    /// Expands a row of the input into some channels, at its place among three.
    fn expand(&mut self, row: usize, which: Channels) {
        let row_pitch = self.stride * self.part;
        let pitch = 3 * row_pitch;
        for phase in 0..self.stride.min(self.input[2]) {
            let (range, pixels) = self.panels_of(row, phase);
            let first = which.from * pitch + row % 3 * row_pitch + phase * self.part + BORDER;
            let small = self.beside.as_ref().map(|small| small.row(row, which));
            let into = Into {
                out: &mut self.expanded[first..],
                pitch,
                add: small.as_ref().map_or(Add::Nothing, Add::Upsampled),
                rectify: true,
            };
            let panels = &self.panels[range];
            self.steps
                .product(&self.expand, which, panels, pixels, into);
        }
    }

    /// The depthwise convolution of some channels round the expanded row `middle`.
    fn filter(&mut self, middle: usize, which: Channels) {
        let [_, height, _] = self.input;
        let row_pitch = self.stride * self.part;
        // Odd pixels lie one part behind even ones; the one on the left is the odd one before.
        let columns = match self.stride {
            1 => [BORDER - 1, BORDER, BORDER + 1],
            _ => [self.part + BORDER - 1, BORDER, self.part + BORDER],
        };
        let mut offsets = [0; 9];
        let mut rows = [true; 3];
        for (n, offset) in offsets.iter_mut().enumerate() {
            // The row above the first and the one below the last are not there, and do not count.
            let row = (middle + n / 3).checked_sub(1).filter(|&row| row < height);
            rows[n / 3] = row.is_some();
            *offset = row.unwrap_or(middle) % 3 * row_pitch + columns[n % 3];
        }
        let pitch = 3 * row_pitch;
        let window = Window {
            values: &self.expanded[which.from * pitch..],
            pitch,
            offsets,
            rows,
            edges: &[],
        };
        let pixels = self.output[2];
        let filtered = &mut self.filtered;
        self.steps
            .depthwise(&self.depthwise, which, &window, pixels, filtered);
    }
}

impl BesideRows {
    fn new(beside: &Beside, layers: &Layers, steps: &'static Steps) -> Result<Self> {
        let ([channels, height, width], middle) = (beside.input, layers.middle());
        let [_, large_height, large_width] = layers.input;
        let across = beside.grid.positions(width, large_width);
        let pitch = width.next_multiple_of(BORDER) + BORDER;
        Ok(Self {
            input: beside.input,
            weights: Weights::new(&beside.weights, &vec![0.0; middle], channels, steps),
            down: beside.grid.positions(height, large_height),
            across: Stretch::new(&across, steps).context("its upsample is too small a one")?,
            panels: Buffer::new(steps.panels(channels, width)),
            rows: Buffer::new(middle * 3 * pitch),
            all: Channels {
                from: 0,
                count: middle,
            },
            pitch,
            next: 0,
        })
    }

    /// Convolves the rows that row `row` of the large picture needs.
    fn convolve_for(&mut self, row: usize, values: &[f32], steps: &Steps) {
        let [channels, height, width] = self.input;
        while self.next <= self.down[row].after {
            let values = &values[self.next * width..];
            steps.pack(values, height * width, channels, width, &mut self.panels);
            let into = Into {
                out: &mut self.rows[self.next % 3 * self.pitch..],
                pitch: 3 * self.pitch,
                add: Add::Nothing,
                rectify: false,
            };
            steps.product(&self.weights, self.all, &self.panels, width, into);
            self.next += 1;
        }
    }

    /// What belongs to some channels of row `row` of the large picture.
    fn row(&self, row: usize, which: Channels) -> Upsampled<'_> {
        let Position {
            before,
            after,
            part,
        } = self.down[row];
        let pitch = 3 * self.pitch;
        let rows = [before, after].map(|row| which.from * pitch + row % 3 * self.pitch);
        Upsampled {
            rows: rows.map(|first| &self.rows[first..]),
            pitch,
            part,
            stretch: &self.across,
        }
    }
}
