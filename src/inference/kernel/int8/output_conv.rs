//! The last convolution, in f32.

use super::{HEAD_CHANNELS, Head};

/// A head's weights, a vector of all its channels for each that comes in.
#[derive(Debug, Clone)]
pub(super) struct PackedHead {
    pub(super) channels: usize,
    weights: Vec<[f32; HEAD_CHANNELS]>,
    bias: [f32; HEAD_CHANNELS],
}

impl PackedHead {
    pub(super) fn new(head: &Head) -> Self {
        let channels = head.bias.len();
        let columns = head.weights.len() / channels;
        let mut bias = [0.0; HEAD_CHANNELS];
        bias[..channels].copy_from_slice(&head.bias);
        let column = |column: usize| {
            let mut weights = [0.0; HEAD_CHANNELS];
            for (row, weight) in weights[..channels].iter_mut().enumerate() {
                *weight = head.weights[row * columns + column];
            }
            weights
        };
        Self {
            channels,
            weights: (0..columns).map(column).collect(),
            bias,
        }
    }

    /// Of pixels `made`, to which `x` is added, the head's planes of `plane` pixels; `output` starts at the first of them.
    #[inline(always)]
    pub(super) fn run<'a>(
        &self,
        made: impl Iterator<Item = &'a [f32]>,
        x: Option<&[f32]>,
        columns: usize,
        output: &mut [f32],
        pixels: usize,
        plane: usize,
    ) {
        for (pixel, made) in made.take(pixels).enumerate() {
            let mut sums = self.bias;
            for (column, weights) in self.weights.iter().enumerate() {
                let value = made[column] + x.map_or(0.0, |x| x[pixel * columns + column]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = weight.mul_add(value, *sum);
                }
            }
            for (channel, sum) in sums[..self.channels].iter().enumerate() {
                output[channel * plane + pixel] = *sum;
            }
        }
    }
}
