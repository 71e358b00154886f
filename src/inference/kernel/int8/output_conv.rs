//! The last convolution, in f32.
#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the instruction set"
)]

use super::spec::{MAX_OUTPUT_CONV_CHANNELS, OutputConv};

/// Packed weights: for each input channel a vector of all output channels.
#[derive(Debug, Clone)]
pub(super) struct PackedOutputConv {
    pub(super) channels: usize,
    weights: Vec<[f32; MAX_OUTPUT_CONV_CHANNELS]>,
    bias: [f32; MAX_OUTPUT_CONV_CHANNELS],
}

impl PackedOutputConv {
    pub(super) fn new(conv: &OutputConv) -> Self {
        let channels = conv.bias.len();
        let columns = conv.weights.len() / channels;
        let mut bias = [0.0; MAX_OUTPUT_CONV_CHANNELS];
        bias[..channels].copy_from_slice(&conv.bias);
        let column = |column: usize| {
            let mut weights = [0.0; MAX_OUTPUT_CONV_CHANNELS];
            for (row, weight) in weights[..channels].iter_mut().enumerate() {
                *weight = conv.weights[row * columns + column];
            }
            weights
        };
        Self {
            channels,
            weights: (0..columns).map(column).collect(),
            bias,
        }
    }

    /// Convolves `pixels`, to which those of `residual` (`[pixels, columns]`) are added first. `output` begins with the first
    /// of these pixels in the first of the output channels, which are `plane` values apart.
    #[inline(always)]
    pub(super) fn run<'a>(
        &self,
        pixels: impl Iterator<Item = &'a [f32]>,
        residual: Option<&[f32]>,
        columns: usize,
        output: &mut [f32],
        plane: usize,
    ) {
        for (n, pixel) in pixels.enumerate() {
            let mut sums = self.bias;
            for (column, weights) in self.weights.iter().enumerate() {
                let added = residual.map_or(0.0, |residual| residual[n * columns + column]);
                let value = pixel[column] + added;
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = weight.mul_add(value, *sum);
                }
            }
            for (channel, sum) in sums[..self.channels].iter().enumerate() {
                output[channel * plane + n] = *sum;
            }
        }
    }
}
