//! The pass over a block's rows, band by band, for any instruction set.
#![expect(unsafe_code, reason = "SIMD: each function states what it requires")]
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::expand::{Band, Expansion};
use super::output_conv::PackedOutputConv;
use super::packed::PackedLayer;
use super::project::project;
use super::quantize::{Upsample, copy_bytes, quantize};
use super::spec::{Affine, PlaneSize, Spec};
use super::vector::Vector;
use crate::inference::kernel::buffer::Buffer;

/// Pixels of a band: enough that weights, once read, are used often, and few enough that what lies between the layers stays
/// in the second cache.
const BAND_PIXELS: usize = 320;

/// See [`super::Block`]. Channels are padded to whole vectors, those of bytes to whole quads of four.
#[derive(Debug, Clone)]
pub(super) struct Bands {
    /// Before the stride.
    size: PlaneSize,
    lanes: usize,
    input: Affine,
    skip_channels: usize,
    upsample: Option<Upsample>,
    residual: bool,
    expansion: Expansion,
    project: PackedLayer,
    output_conv: Option<PackedOutputConv>,
    memory: BandMemory,
}

/// A band between the layers.
#[derive(Debug, Clone)]
struct BandMemory {
    /// The input: `[pixels, bytes of a pixel]`.
    input: Vec<u8>,
    /// The output of the depthwise convolution: `[pixels, middle]`.
    middle: Vec<u8>,
    /// The output of the block: `[pixels, out]`.
    output: Buffer,
}

impl Bands {
    /// Packs a block for vectors of this many lanes. `spec` must have been checked.
    pub(super) fn new(spec: &Spec, lanes: usize) -> Self {
        let size = spec.size;
        let expansion = Expansion::new(spec, lanes);
        // The padding of the middle is bytes like others, with weights of zero.
        let middle = expansion.output_bytes();
        let project = PackedLayer::new(&spec.project, middle / 4, lanes, |column| column);
        // A band completes at most as many rows as it takes in.
        let pixels = (BAND_PIXELS / size.width).max(1) * size.width;
        let memory = BandMemory {
            input: vec![0; pixels * expansion.input_bytes()],
            middle: vec![0; pixels * middle],
            output: Buffer::new(pixels * project.padded_rows()),
        };
        let channels = spec.input.factor.len();
        let upsample = spec.upsample;
        Self {
            size,
            lanes,
            input: spec.input.clone(),
            skip_channels: spec.skip_channels,
            upsample: upsample.map(|(small, grid)| Upsample::new(small, size, channels, grid)),
            residual: spec.residual,
            expansion,
            project,
            output_conv: spec.output_conv.as_ref().map(PackedOutputConv::new),
            memory,
        }
    }

    /// Lanes of the vectors that it was packed for.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// See [`super::Block::output`].
    pub(super) fn output(&self) -> [usize; 4] {
        let PlaneSize { height, width } = self.expansion.output_size();
        match &self.output_conv {
            Some(conv) => [1, conv.channels, height, width],
            None => [1, height, width, self.project.rows],
        }
    }

    /// Lengths of the input, of the channels that are bytes, and of the output.
    pub(super) fn lengths(&self) -> [usize; 3] {
        let input = match &self.upsample {
            Some(upsample) => upsample.len,
            None => self.size.pixels() * self.input.factor.len(),
        };
        [
            input,
            self.size.pixels() * self.skip_channels,
            self.output().iter().product(),
        ]
    }

    /// Runs the block.
    ///
    /// # Safety
    ///
    /// As for [`Vector`], with [`Bands::lanes`]; slices must have [`Bands::lengths`].
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector>(&mut self, input: &[f32], skip: &[u8], output: &mut [f32]) {
        self.expansion.reset();
        let rows = (BAND_PIXELS / self.size.width).max(1);
        let mut next = 0;
        // The row after the last one is zero; the last row of the output needs it.
        while next <= self.size.height {
            let end = (next + rows).min(self.size.height + 1);
            let band = self.expansion.band(next..end);
            next = end;
            let pixels = band.output.len() * self.expansion.output_size().width;
            // SAFETY: as required of the caller; the memory holds a band, and each band follows the one before.
            unsafe {
                self.quantize::<V>(&band, input, skip);
                let memory = &mut self.memory;
                (self.expansion).run::<V>(&band, &memory.input, &mut memory.middle);
                project::<V>(&self.project, &memory.middle, &mut memory.output, pixels);
            }
            self.write(&band, input, output);
        }
    }

    /// Quantizes a band of the input.
    ///
    /// # Safety
    ///
    /// As for [`Vector`].
    #[inline(always)]
    unsafe fn quantize<V: Vector>(&mut self, band: &Band, input: &[f32], skip: &[u8]) {
        let channels = self.input.factor.len();
        let (width, pixel_bytes) = (self.size.width, self.expansion.input_bytes());
        let band_rows = band.input.start..band.input.end.min(self.size.height);
        let rows = self.memory.input.chunks_exact_mut(width * pixel_bytes);
        for (row, bytes) in band_rows.zip(rows) {
            if let Some(upsample) = &mut self.upsample {
                upsample.interpolate(row, input);
            }
            let values = match &self.upsample {
                Some(upsample) => upsample.row.as_slice(),
                None => &input[row * width * channels..][..width * channels],
            };
            let pixel = |column: usize| &values[column * channels..][..channels];
            for (column, bytes) in bytes.chunks_exact_mut(pixel_bytes).enumerate() {
                let (pixels, fraction) = match &self.upsample {
                    Some(Upsample { columns, .. }) => {
                        let at = columns[column];
                        ([pixel(at.before), pixel(at.after)], at.fraction)
                    }
                    None => ([pixel(column); 2], 0.0),
                };
                // SAFETY: as required of the caller; all slices have as many channels.
                unsafe {
                    quantize::<V>(pixels, fraction, &self.input, &mut bytes[..channels]);
                }
            }
            if self.skip_channels > 0 {
                let pixels =
                    skip[row * width * self.skip_channels..].chunks_exact(self.skip_channels);
                for (bytes, pixel) in bytes.chunks_exact_mut(pixel_bytes).zip(pixels) {
                    let bytes = &mut bytes[channels..channels + self.skip_channels];
                    copy_bytes(pixel, bytes);
                }
            }
        }
    }

    /// Writes a band of the output, without the padding of its channels.
    #[inline(always)]
    fn write(&self, band: &Band, input: &[f32], output: &mut [f32]) {
        let size = self.expansion.output_size();
        let (channels, width) = (self.project.rows, size.width);
        let range = band.output.start * width * channels..band.output.end * width * channels;
        let padded = self.project.padded_rows();
        let pixels = self.memory.output.chunks_exact(padded);
        if let Some(conv) = &self.output_conv {
            let pixels = pixels.take(band.output.len() * width);
            let residual = self.residual.then(|| &input[range]);
            let output = &mut output[band.output.start * width..];
            conv.run(pixels, residual, channels, output, size.pixels());
            return;
        }
        let output = &mut output[range.clone()];
        match (self.residual, padded == channels) {
            (true, true) => {
                let terms = self.memory.output.iter().zip(&input[range]);
                for (output, (value, residual)) in output.iter_mut().zip(terms) {
                    *output = value + residual;
                }
            }
            (true, false) => {
                let terms = pixels.zip(input[range].chunks_exact(channels));
                for (output, (pixel, residual)) in output.chunks_exact_mut(channels).zip(terms) {
                    for (output, (value, residual)) in
                        output.iter_mut().zip(pixel.iter().zip(residual))
                    {
                        *output = value + residual;
                    }
                }
            }
            (false, true) => {
                let values = &self.memory.output[..output.len()];
                output.copy_from_slice(values);
            }
            (false, false) => {
                for (output, pixel) in output.chunks_exact_mut(channels).zip(pixels) {
                    output.copy_from_slice(&pixel[..channels]);
                }
            }
        }
    }
}
