//! A block row by row: of the expanded picture, no more than the three rows that the next output row needs are there.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::block::{Beside, Layers, depthwise};
use super::buffer::Buffer;
use super::steps::{Add, Channels, Depthwise, Into, Position, Steps, Stretch, Weights, Window};

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
    panels: Buffer,
    /// `[middle, 3, stride, part]`: of each row, its even pixels, then its odd ones, where the step is two.
    expanded: Buffer,
    /// Values of a row, or of its even or odd pixels, with borders.
    part: usize,
    filtered: Buffer,
}

/// The smaller picture: no more than two convolved rows of it are there.
#[derive(Debug, Clone)]
struct BesideRows {
    input: [usize; 3],
    weights: Weights,
    down: Vec<Position>,
    across: Stretch,
    panels: Buffer,
    /// `[middle, 2, pitch]`.
    rows: Buffer,
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
            panels: Buffer::new(steps.panels(channels, most)),
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
            while expanded <= (middle + 1).min(height - 1) {
                self.expand(expanded, input, beside);
                expanded += 1;
            }
            self.filter(middle);
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

    /// Expands a row of the input into its place among three.
    fn expand(&mut self, row: usize, input: &[f32], beside: &[f32]) {
        let [channels, height, width] = self.input;
        let row_pitch = self.stride * self.part;
        let pitch = 3 * row_pitch;
        let values = &input[row * width..];
        for phase in 0..self.stride.min(width) {
            let pixels = (width - phase).div_ceil(self.stride);
            let (values, values_pitch) = if self.stride == 1 {
                (values, height * width)
            } else {
                let picked = self.picked.chunks_exact_mut(pixels);
                for (into, values) in picked.zip(values.chunks(height * width)) {
                    let from = values[phase..width].iter().step_by(2);
                    into.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
                (&*self.picked, pixels)
            };
            self.steps
                .pack(values, values_pitch, channels, pixels, &mut self.panels);
            let first = row % 3 * row_pitch + phase * self.part + BORDER;
            let out = &mut self.expanded[first..];
            let add = match &mut self.beside {
                Some(small) => {
                    small.add_row(row, beside, out, pitch, self.steps);
                    Add::Out
                }
                None => Add::Nothing,
            };
            let into = Into {
                out,
                pitch,
                add,
                rectify: true,
            };
            let all = Channels {
                from: 0,
                count: self.middle,
            };
            self.steps
                .product(&self.expand, all, &self.panels, pixels, into);
        }
    }

    /// The depthwise convolution round the expanded row `middle`.
    fn filter(&mut self, middle: usize) {
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
        let window = Window {
            values: &self.expanded,
            pitch: 3 * row_pitch,
            offsets,
            rows,
            edges: None,
        };
        let pixels = self.output[2];
        self.steps
            .depthwise(&self.depthwise, &window, pixels, &mut self.filtered);
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
            rows: Buffer::new(middle * 2 * pitch),
            pitch,
            next: 0,
        })
    }

    /// Writes the row that belongs to row `row` of the large picture into `out`, a channel `pitch` after the one before.
    fn add_row(
        &mut self,
        row: usize,
        values: &[f32],
        out: &mut [f32],
        pitch: usize,
        steps: &Steps,
    ) {
        let [channels, height, width] = self.input;
        let Position {
            before,
            after,
            part,
        } = self.down[row];
        let count = self.rows.len() / (2 * self.pitch);
        while self.next <= after {
            let values = &values[self.next * width..];
            steps.pack(values, height * width, channels, width, &mut self.panels);
            let into = Into {
                out: &mut self.rows[self.next % 2 * self.pitch..],
                pitch: 2 * self.pitch,
                add: Add::Nothing,
                rectify: false,
            };
            let all = Channels { from: 0, count };
            steps.product(&self.weights, all, &self.panels, width, into);
            self.next += 1;
        }
        let rows = self.rows.chunks_exact(2 * self.pitch);
        for (rows, out) in rows.zip(out.chunks_mut(pitch)) {
            let at = |row: usize| &rows[row % 2 * self.pitch..][..self.pitch];
            steps.upsample([at(before), at(after)], part, &self.across, out);
        }
    }
}
