//! A block some channels after others: of the expanded picture, which is small, no more of them are there than the caches
//! nearest to a core hold, and what each makes of the output is summed up.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::block::{Beside, Layers, depthwise};
use super::buffer::Buffer;
use super::kernels::{
    Add, Channels, Depthwise, Edge, Into, Position, Steps, Stretch, Upsampled, Weights, Window,
    edges,
};

/// Bytes of the expanded picture that are there at a time.
const NEAR: usize = 256 << 10;
/// Values that a cache line holds.
const LINE: usize = 16;

/// See [`super::Block`].
#[derive(Debug, Clone)]
pub(super) struct Planes {
    steps: &'static Steps,
    input: [usize; 3],
    output: [usize; 3],
    stride: usize,
    residual: bool,
    expand: Weights,
    depthwise: Arc<[Depthwise]>,
    /// For each group of channels.
    project: Vec<Weights>,
    beside: Option<BesidePlane>,
    /// Channels in a group.
    group: usize,
    edges: Vec<Edge>,
    /// Of the input, the pixels of one phase: see [`Planes::phases`].
    picked: Buffer,
    /// `[phases, channels]`, each in panels.
    panels: Buffer,
    /// `[group, phases, plane]`, each with [`Planes::border`] zeros first and as many last.
    expanded: Buffer,
    plane: usize,
    filtered: Buffer,
}

/// The smaller picture.
#[derive(Debug, Clone)]
struct BesidePlane {
    input: [usize; 3],
    weights: Weights,
    down: Vec<Position>,
    across: Stretch,
    panels: Buffer,
    /// `[group, plane]`.
    planes: Buffer,
    plane: usize,
}

impl Planes {
    /// `layers` with a step of two have even sides.
    pub(super) fn new(layers: &Layers, steps: &'static Steps) -> Result<Self> {
        let ([channels, ..], middle) = (layers.input, layers.middle());
        let output @ [out, rows, columns] = layers.output();
        let pixels = rows * columns;
        let phases = layers.stride * layers.stride;
        let border = (columns + 1).next_multiple_of(LINE);
        let plane = (border + pixels + columns + 1 + LINE).next_multiple_of(LINE);
        let group = NEAR / (4 * phases * plane) / steps.rows * steps.rows;
        let group = group.clamp(steps.rows, middle.next_multiple_of(steps.rows));
        let firsts = (0..middle).step_by(group);
        let project = firsts.map(|first| {
            let count = group.min(middle - first);
            let rows = layers.project.chunks_exact(middle);
            let weights: Vec<f32> = rows
                .flat_map(|row| &row[first..first + count])
                .copied()
                .collect();
            let none = vec![0.0; out];
            let bias = if first == 0 {
                &layers.project_bias
            } else {
                &none
            };
            Weights::new(&weights, bias, count, steps)
        });
        let beside = layers.beside.as_ref();
        Ok(Self {
            steps,
            input: layers.input,
            output,
            stride: layers.stride,
            residual: layers.residual,
            expand: Weights::new(&layers.expand, &layers.expand_bias, channels, steps),
            depthwise: depthwise(layers).into(),
            project: project.collect(),
            beside: beside
                .map(|beside| BesidePlane::new(beside, layers, group, steps))
                .transpose()?,
            group,
            edges: edges(pixels, columns, layers.stride == 2, steps),
            picked: Buffer::new(if phases > 1 { channels * pixels } else { 0 }),
            panels: Buffer::new(phases * steps.panels(channels, pixels)),
            expanded: Buffer::new(group * phases * plane + steps.slack()),
            plane,
            filtered: Buffer::new(steps.panels(group, pixels)),
        })
    }

    /// Zeros before a plane, for neighbours above and on the left.
    fn border(&self) -> usize {
        (self.output[2] + 1).next_multiple_of(LINE)
    }

    /// With a step of two: even or odd rows, and of them even or odd pixels. A pixel's neighbours in any phase lie as far
    /// from it as those of all others.
    fn phases(&self) -> usize {
        self.stride * self.stride
    }

    pub(super) fn run(&mut self, input: &[f32], beside: &[f32], output: &mut [f32]) {
        let [out, rows, columns] = self.output;
        let pixels = rows * columns;
        self.pack(input);
        if let Some(small) = &mut self.beside {
            let [channels, height, width] = small.input;
            let pixels = height * width;
            self.steps
                .pack(beside, pixels, channels, pixels, &mut small.panels);
        }
        for group in 0..self.project.len() {
            let from = group * self.group;
            let count = self.group.min(self.depthwise.len() - from);
            self.expand(Channels { from, count });
            let window = Window {
                values: &self.expanded,
                pitch: self.phases() * self.plane,
                offsets: self.offsets(),
                rows: [true; 3],
                edges: &self.edges,
            };
            let weights = &self.depthwise[from..from + count];
            let all = Channels { from: 0, count };
            self.steps
                .depthwise(weights, all, &window, pixels, &mut self.filtered);
            let add = match group {
                0 if self.residual => Add::Values(input, pixels),
                0 => Add::Nothing,
                _ => Add::Out,
            };
            let into = Into {
                out: output,
                pitch: pixels,
                add,
                rectify: false,
            };
            let all = Channels {
                from: 0,
                count: out,
            };
            let weights = &self.project[group];
            self.steps
                .product(weights, all, &self.filtered, pixels, into);
        }
    }

    /// Puts the input's phases into panels.
    fn pack(&mut self, input: &[f32]) {
        let [channels, height, width] = self.input;
        let [_, rows, columns] = self.output;
        let pixels = rows * columns;
        if self.stride == 1 {
            self.steps
                .pack(input, pixels, channels, pixels, &mut self.panels);
            return;
        }
        let size = self.steps.panels(channels, pixels);
        for (phase, panels) in self.panels.chunks_exact_mut(size).enumerate() {
            let planes = input.chunks_exact(height * width);
            for (plane, picked) in planes.zip(self.picked.chunks_exact_mut(pixels)) {
                let from = plane.chunks_exact(width).skip(phase / 2).step_by(2);
                for (from, to) in from.zip(picked.chunks_exact_mut(columns)) {
                    self.steps.pick(&from[phase % 2..], to);
                }
            }
            self.steps
                .pack(&self.picked, pixels, channels, pixels, panels);
        }
    }

    /// Expands some channels.
    fn expand(&mut self, which: Channels) {
        let [channels, ..] = self.input;
        let [_, rows, columns] = self.output;
        let (pixels, border, phases) = (rows * columns, self.border(), self.phases());
        let size = self.steps.panels(channels, pixels);
        let pitch = phases * self.plane;
        for phase in 0..phases {
            let out = &mut self.expanded[phase * self.plane + border..];
            let add = match &mut self.beside {
                Some(small) => {
                    small.add(which, out, pitch, columns, self.steps);
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
            let panels = &self.panels[phase * size..][..size];
            self.steps
                .product(&self.expand, which, panels, pixels, into);
        }
    }

    /// Where the first pixel's neighbours stand.
    fn offsets(&self) -> [usize; 9] {
        let (border, columns) = (self.border(), self.output[2]);
        let mut offsets = [0; 9];
        for (n, offset) in offsets.iter_mut().enumerate() {
            let (down, across) = (n / 3, n % 3);
            *offset = if self.stride == 1 {
                border + down * columns + across - columns - 1
            } else {
                // Above is an odd row, the one before; on the left is an odd pixel, the one before.
                let phase = usize::from(down != 1) * 2 + usize::from(across != 1);
                let back = usize::from(down == 0) * columns + usize::from(across == 0);
                phase * self.plane + border - back
            };
        }
        offsets
    }
}

impl BesidePlane {
    fn new(beside: &Beside, layers: &Layers, group: usize, steps: &'static Steps) -> Result<Self> {
        let ([channels, height, width], middle) = (beside.input, layers.middle());
        let [_, large_height, large_width] = layers.input;
        let across = beside.grid.positions(width, large_width);
        let plane = (height * width + LINE).next_multiple_of(LINE);
        Ok(Self {
            input: beside.input,
            weights: Weights::new(&beside.weights, &vec![0.0; middle], channels, steps),
            down: beside.grid.positions(height, large_height),
            across: Stretch::new(&across, steps).context("its upsample is too small a one")?,
            panels: Buffer::new(steps.panels(channels, height * width)),
            planes: Buffer::new(group * plane),
            plane,
        })
    }

    /// Writes some channels of it, as large as the other picture, into `out`, each `pitch` after the one before.
    fn add(
        &mut self,
        which: Channels,
        out: &mut [f32],
        pitch: usize,
        columns: usize,
        steps: &Steps,
    ) {
        let [_, height, width] = self.input;
        let into = Into {
            out: &mut self.planes,
            pitch: self.plane,
            add: Add::Nothing,
            rectify: false,
        };
        steps.product(&self.weights, which, &self.panels, height * width, into);
        let planes = self.planes.chunks_exact(self.plane).take(which.count);
        for (plane, out) in planes.zip(out.chunks_mut(pitch)) {
            for (row, out) in self.down.iter().zip(out.chunks_mut(columns)) {
                let row = Upsampled {
                    rows: [row.before, row.after].map(|row| &plane[row * width..]),
                    pitch: 0,
                    part: row.part,
                    stretch: &self.across,
                };
                steps.upsample(&row, out);
            }
        }
    }
}
