//! The weights, scales and shapes of a block.

use anyhow::{Result, ensure};

use crate::inference::kernel::grid::Grid;
use crate::inference::kernel::layers::DIMENSIONS;

/// A picture's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl PlaneSize {
    /// Height times width.
    pub(super) fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// How sums are scaled: `sum * factor + offset`, for each channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Affine {
    /// One for each channel.
    pub factor: Vec<f32>,
    /// One for each channel.
    pub offset: Vec<f32>,
}

/// A layer's weights, i8 `[rows, columns]`, and how its sums are scaled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// Row by row; a row is an output channel.
    pub weights: Vec<i8>,
    /// For each row.
    pub affine: Affine,
}

/// A block, as it is in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// How the input becomes bytes.
    pub input: Affine,
    /// Channels that are bytes already, after those of the input.
    pub skip_channels: usize,
    /// `[middle, input channels + skip_channels]`
    pub expand: Layer,
    /// `[middle, 9]`, row by row
    pub depthwise: Layer,
    /// `[out, middle]`
    pub project: Layer,
    /// 1 or 2.
    pub stride: usize,
    /// Before the stride.
    pub size: PlaneSize,
    /// The size of the input if it is upsampled bilinearly, and how.
    pub upsample: Option<(PlaneSize, Grid)>,
    /// Whether the input is added to the output.
    pub residual: bool,
    /// A last convolution, in f32.
    pub output_conv: Option<OutputConv>,
}

/// A 1x1 convolution in f32 of the block's output.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputConv {
    /// `[channels, out]`, at most [`MAX_OUTPUT_CONV_CHANNELS`] channels
    pub weights: Vec<f32>,
    /// For each channel.
    pub bias: Vec<f32>,
}

/// Channels for whose sums one vector has room.
pub const MAX_OUTPUT_CONV_CHANNELS: usize = 16;

impl Spec {
    /// Fails unless all shapes fit together.
    pub(super) fn check(&self) -> Result<()> {
        let input = self.input.factor.len();
        let middle = self.expand.affine.factor.len();
        let out = self.project.affine.factor.len();
        let small = self.upsample.map_or(self.size, |(small, _)| small);
        let sizes = [self.size, small].map(|size| [size.height, size.width]);
        let channels = [input, middle, out];
        ensure!(
            channels
                .iter()
                .chain(sizes.as_flattened())
                .all(|n| DIMENSIONS.contains(n))
                && self.skip_channels <= *DIMENSIONS.end(),
            "a dimension of the block is not in {DIMENSIONS:?}"
        );
        let fits = |layer: &Layer, rows: usize, columns: usize| {
            layer.weights.len() == rows * columns
                && layer.affine.factor.len() == rows
                && layer.affine.offset.len() == rows
        };
        ensure!(
            input == self.input.offset.len()
                && fits(&self.expand, middle, input + self.skip_channels)
                && fits(&self.depthwise, middle, 9)
                && fits(&self.project, out, middle),
            "the weights of the block do not fit together"
        );
        ensure!(
            matches!(self.stride, 1 | 2),
            "the stride of the block is {}, not 1 or 2",
            self.stride
        );
        ensure!(
            !self.residual || (self.stride == 1 && self.upsample.is_none() && out == input),
            "the input of the block cannot be added to its output: their shapes differ"
        );
        ensure!(
            self.output_conv.as_ref().is_none_or(|conv| {
                (1..=MAX_OUTPUT_CONV_CHANNELS).contains(&conv.bias.len())
                    && conv.weights.len() == conv.bias.len() * out
            }),
            "the last convolution does not fit the block"
        );
        Ok(())
    }
}
