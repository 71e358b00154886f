//! The weights and shapes of a block, as they are in an ONNX graph.

use anyhow::{Result, ensure};

use super::grid::Grid;

/// Channels, heights and widths that a block may have: what is computed from them cannot overflow.
pub(super) const DIMENSIONS: std::ops::RangeInclusive<usize> = 1..=1 << 16;

/// A block's layers. Weights are in ONNX's order: output channel by output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    /// Channels, height and width of the input.
    pub input: [usize; 3],
    /// 1x1, `[middle, input channels]`.
    pub expand: Vec<f32>,
    /// `[middle]`; a ReLU follows.
    pub expand_bias: Vec<f32>,
    /// A smaller picture that is added to the expanded one.
    pub upsampled_input: Option<UpsampledInput>,
    /// 3x3 in each channel, padded with one zero on each side, `[middle, 3, 3]`.
    pub depthwise: Vec<f32>,
    /// `[middle]`; a ReLU follows.
    pub depthwise_bias: Vec<f32>,
    /// The stride of the depthwise convolution, 1 or 2.
    pub stride: usize,
    /// 1x1, `[output channels, middle]`.
    pub project: Vec<f32>,
    /// `[output channels]`.
    pub project_bias: Vec<f32>,
    /// Whether the input is added to the output.
    pub residual: bool,
}

/// A smaller picture that is convolved, upsampled, and added to the expanded one before its ReLU.
#[derive(Debug, Clone, PartialEq)]
pub struct UpsampledInput {
    /// Its channels, height and width.
    pub input: [usize; 3],
    /// 1x1, `[middle, channels]`.
    pub weights: Vec<f32>,
    /// How its pixels are aligned with those of the large picture.
    pub grid: Grid,
}

impl Layers {
    /// Channels between the 1x1 convolutions.
    pub fn middle(&self) -> usize {
        self.expand_bias.len()
    }

    /// Channels, height and width of the output.
    pub fn output(&self) -> [usize; 3] {
        let [_, height, width] = self.input;
        [
            self.project_bias.len(),
            height.div_ceil(self.stride),
            width.div_ceil(self.stride),
        ]
    }

    /// Fails unless all shapes fit together.
    pub fn check(&self) -> Result<()> {
        ensure!(
            matches!(self.stride, 1 | 2),
            "the stride of the block is {}, not 1 or 2",
            self.stride
        );
        let ([channels, height, width], middle) = (self.input, self.middle());
        let [out, ..] = self.output();
        ensure!(
            [channels, height, width, middle, out]
                .iter()
                .all(|n| DIMENSIONS.contains(n)),
            "a dimension of the block is not in {DIMENSIONS:?}"
        );
        ensure!(
            self.expand.len() == middle * channels
                && self.depthwise.len() == middle * 9
                && self.depthwise_bias.len() == middle
                && self.project.len() == out * middle,
            "the weights of the block do not fit together"
        );
        ensure!(
            !self.residual || (self.stride == 1 && out == channels),
            "the input of the block cannot be added to its output: their shapes differ"
        );
        if let Some(small) = &self.upsampled_input {
            let [c, h, w] = small.input;
            ensure!(
                DIMENSIONS.contains(&c)
                    && (1..=height).contains(&h)
                    && (1..=width).contains(&w)
                    && self.stride == 1,
                "the upsampled input of the block is not smaller than its input"
            );
            ensure!(
                small.weights.len() == middle * c,
                "the weights of the upsampled input do not fit the block"
            );
        }
        Ok(())
    }
}
