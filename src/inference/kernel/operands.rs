//! What the kernels work on: packed weights, and where values come from and go to.

use std::sync::Arc;

use super::grid::Position;
use super::layers::Layers;

/// The packed weights of a 1x1 convolution, and a bias for each output channel. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct PackedWeights {
    /// `[output channels / tile_channels, input channels, tile_channels]`, the last ones padded with zeros.
    pub(super) packed: Arc<[f32]>,
    /// Padded with zeros to whole tiles.
    pub(super) bias: Arc<[f32]>,
    /// Input channels.
    pub(super) channels: usize,
    /// Output channels, without the padding.
    pub(super) out: usize,
    /// Output channels of a tile.
    pub(super) tile_channels: usize,
}

impl PackedWeights {
    /// Packs `weights` `[output channels, channels]`.
    pub(super) fn new(
        weights: &[f32],
        bias: &[f32],
        channels: usize,
        tile_channels: usize,
    ) -> Self {
        let out = bias.len();
        let tiles = out.div_ceil(tile_channels);
        let mut packed = vec![0.0; tiles * channels * tile_channels];
        for (o, row) in weights.chunks_exact(channels).enumerate() {
            for (c, &weight) in row.iter().enumerate() {
                let tile = o / tile_channels;
                packed[(tile * channels + c) * tile_channels + o % tile_channels] = weight;
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(tiles * tile_channels, 0.0);
        Self {
            packed: packed.into(),
            bias: bias.into(),
            channels,
            out,
            tile_channels,
        }
    }
}

/// Where the output of a 1x1 convolution goes, and what is added to it.
pub(super) struct Destination<'a> {
    /// Begins with pixel 0 of the first channel; the next channel follows `pitch` values later.
    pub(super) out: &'a mut [f32],
    pub(super) pitch: usize,
    pub(super) addend: Addend<'a>,
    pub(super) relu: bool,
}

/// What is added to the output of a 1x1 convolution, besides its bias.
pub(super) enum Addend<'a> {
    None,
    /// The values that are already in the output.
    Output,
    /// These values; the next channel follows `pitch` values later.
    Values {
        values: &'a [f32],
        pitch: usize,
    },
    /// A row of a smaller picture, upsampled.
    Row(&'a UpsampledRow<'a>),
}

/// A row of an upsampled picture.
pub(super) struct UpsampledRow<'a> {
    /// The rows above and below it in the smaller picture; the next channel follows `pitch` values later.
    pub(super) rows: [&'a [f32]; 2],
    pub(super) pitch: usize,
    /// 0 at the row above, 1 at the row below.
    pub(super) fraction: f32,
    pub(super) columns: &'a UpsampledColumns,
}

impl UpsampledRow<'_> {
    /// How many values of each row are read for this many channels.
    pub(super) fn reach(&self, channels: usize, lanes: usize) -> usize {
        let last = self.columns.starts.iter().max().copied();
        (channels - 1) * self.pitch + last.unwrap_or_default() + lanes
    }
}

/// From which values of a row each vector of the upsampled row is made.
#[derive(Debug, Clone)]
pub(super) struct UpsampledColumns {
    /// For each vector, the first value of the small row that it needs. It needs no more of them than a vector holds.
    pub(super) starts: Vec<usize>,
    /// For each pixel, its left and right neighbour in the small row, counted from the vector's start.
    pub(super) left: Vec<i32>,
    pub(super) right: Vec<i32>,
    /// For each pixel: 0 at the left neighbour, 1 at the right one.
    pub(super) fractions: Vec<f32>,
    /// Pixels of the upsampled row.
    pub(super) width: usize,
}

impl UpsampledColumns {
    /// For pixels at `positions` of the small row. `None` if a vector needs more values than it holds.
    pub(super) fn new(positions: &[Position], lanes: usize) -> Option<Self> {
        let width = positions.len();
        let padded = width.next_multiple_of(lanes);
        let mut columns = Self {
            starts: Vec::new(),
            left: vec![0; padded],
            right: vec![0; padded],
            fractions: vec![0.0; padded],
            width,
        };
        for (n, vector) in positions.chunks(lanes).enumerate() {
            let start = vector[0].before;
            columns.starts.push(start);
            for (lane, position) in vector.iter().enumerate() {
                let pixel = n * lanes + lane;
                columns.left[pixel] = position.before.checked_sub(start)? as i32;
                columns.right[pixel] = position.after.checked_sub(start)? as i32;
                columns.fractions[pixel] = position.fraction;
                if position.before.max(position.after) - start >= lanes {
                    return None;
                }
            }
        }
        Some(columns)
    }
}

/// A range of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelRange {
    /// For 1x1 convolutions, a multiple of the tile's output channels.
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Weights `[3, 3]` and bias of one channel of a depthwise convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct DepthwiseWeights {
    pub(super) weights: [f32; 9],
    pub(super) bias: f32,
}

/// The weights of the depthwise layer, channel by channel.
pub(super) fn depthwise_weights(layers: &Layers) -> Vec<DepthwiseWeights> {
    let weights = layers.depthwise.as_chunks::<9>().0.iter();
    let channels = weights.zip(&layers.depthwise_bias);
    channels
        .map(|(&weights, &bias)| DepthwiseWeights { weights, bias })
        .collect()
}

/// The input of a depthwise convolution.
pub(super) struct DepthwiseInput<'a> {
    /// The next channel follows `pitch` values later.
    pub(super) values: &'a [f32],
    pub(super) pitch: usize,
    /// Where, in a channel, the nine neighbours of the first pixel are, row by row. In each row the right one directly
    /// follows the left one (stride 2: they are in the same phase) or, in each row, all three are consecutive.
    pub(super) offsets: [usize; 9],
    /// False for rows outside the picture, which count as zeros.
    pub(super) valid_rows: [bool; 3],
    /// For each vector of pixels, which neighbours are in the picture. Empty if zeros surround the rows in memory.
    pub(super) edge_masks: &'a [EdgeMasks],
}

/// The lanes of a vector whose pixels have a left neighbour, and those that have a right one.
pub(super) type EdgeMasks = [u16; 2];

/// The edge masks of all vectors of `pixels` pixels in rows of `width`. If `has_right`, the last pixel of a row has a right
/// neighbour as well.
pub(super) fn edge_masks(
    pixels: usize,
    width: usize,
    has_right: bool,
    lanes: usize,
) -> Vec<EdgeMasks> {
    let vectors = (0..pixels).step_by(lanes).map(|first| {
        let mut masks = [0, 0];
        for lane in 0..lanes.min(pixels - first) {
            let column = (first + lane) % width;
            masks[0] |= u16::from(column > 0) << lane;
            masks[1] |= u16::from(has_right || column + 1 < width) << lane;
        }
        masks
    });
    vectors.collect()
}
