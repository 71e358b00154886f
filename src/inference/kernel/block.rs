//! An inverted residual block (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks").

use anyhow::{Result, ensure};

use super::kernels::{Position, Steps};
use super::planes::Planes;
use super::rows::Rows;

/// A block's layers. Weights lie as ONNX has them: output channel by output channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    /// Channels, height and width of what comes in.
    pub input: [usize; 3],
    /// 1x1, `[middle, input channels]`.
    pub expand: Vec<f32>,
    /// `[middle]`; there is a Relu behind.
    pub expand_bias: Vec<f32>,
    /// What is added to the expanded picture, if anything.
    pub beside: Option<Beside>,
    /// 3x3 in each channel with a border of one zero, `[middle, 3, 3]`.
    pub depthwise: Vec<f32>,
    /// `[middle]`; there is a Relu behind.
    pub depthwise_bias: Vec<f32>,
    /// The step of the depthwise convolution, 1 or 2.
    pub stride: usize,
    /// 1x1, `[output channels, middle]`.
    pub project: Vec<f32>,
    /// `[output channels]`.
    pub project_bias: Vec<f32>,
    /// Whether the input is added to the output.
    pub residual: bool,
}

/// A smaller picture that is convolved, upsampled, and added to the expanded one before its Relu.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// Its channels, height and width.
    pub input: [usize; 3],
    /// 1x1, `[middle, channels]`.
    pub weights: Vec<f32>,
    /// Where its pixels lie among those of the large one.
    pub grid: Grid,
}

/// How a bilinear upsample lays a small picture over a large one: ONNX's coordinate_transformation_mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// The corner pixels on each other.
    AlignCorners,
    /// The pictures' edges on each other.
    HalfPixel,
}

impl Grid {
    /// Where each of `large` pixels lies among `small` ones.
    pub(super) fn positions(self, small: usize, large: usize) -> Vec<Position> {
        let last = small - 1;
        let position = |at: usize| {
            let place = match self {
                Self::AlignCorners if large == 1 => 0.0,
                Self::AlignCorners => at as f64 * last as f64 / (large - 1) as f64,
                Self::HalfPixel => (at as f64 + 0.5) * small as f64 / large as f64 - 0.5,
            };
            let place = place.clamp(0.0, last as f64);
            let before = place as usize;
            Position {
                before,
                after: (before + 1).min(last),
                part: (place - before as f64) as f32,
            }
        };
        (0..large).map(position).collect()
    }
}

impl Layers {
    /// Channels between the 1x1 convolutions.
    pub fn middle(&self) -> usize {
        self.expand_bias.len()
    }

    /// Channels, height and width of what comes out.
    pub fn output(&self) -> [usize; 3] {
        let [_, height, width] = self.input;
        [
            self.project_bias.len(),
            height.div_ceil(self.stride),
            width.div_ceil(self.stride),
        ]
    }

    /// Whether they fit each other.
    pub fn check(&self) -> Result<()> {
        let ([channels, height, width], middle) = (self.input, self.middle());
        let [out, ..] = self.output();
        ensure!(
            channels * height * width * middle * out > 0,
            "a side of the block is empty"
        );
        ensure!(matches!(self.stride, 1 | 2), "its step is {}", self.stride);
        ensure!(
            self.expand.len() == middle * channels
                && self.depthwise.len() == middle * 9
                && self.depthwise_bias.len() == middle
                && self.project.len() == out * middle,
            "its weights do not fit each other"
        );
        ensure!(
            !self.residual || (self.stride == 1 && out == channels),
            "its input and output do not add up"
        );
        if let Some(beside) = &self.beside {
            let [c, h, w] = beside.input;
            ensure!(
                c * h * w > 0 && h <= height && w <= width && self.stride == 1,
                "what is added to it is no smaller picture"
            );
            ensure!(
                beside.weights.len() == middle * c,
                "its weights do not fit each other"
            );
        }
        Ok(())
    }
}

/// Runs a block. Copies share its weights, and have memory of their own to work in.
#[derive(Debug, Clone)]
pub struct Block {
    input: [usize; 3],
    beside: Option<[usize; 3]>,
    output: [usize; 3],
    way: Way,
}

/// How it goes through the picture.
#[derive(Debug, Clone)]
enum Way {
    /// Row by row, all channels at a time.
    Rows(Rows),
    /// Some channels after others, the whole picture at a time.
    Planes(Planes),
}

/// Up to so many pixels, a picture is taken as a whole: from then on, its rows are long enough to fill vectors.
const PLANE: usize = 1600;

impl Block {
    /// Prepares to run `layers` with `steps`.
    pub fn new(layers: &Layers, steps: &'static Steps) -> Result<Self> {
        layers.check()?;
        let [_, height, width] = layers.input;
        let halves = height.is_multiple_of(2) && width.is_multiple_of(2);
        let way = if height * width <= PLANE && (layers.stride == 1 || halves) {
            Way::Planes(Planes::new(layers, steps)?)
        } else {
            Way::Rows(Rows::new(layers, steps)?)
        };
        Ok(Self {
            input: layers.input,
            beside: layers.beside.as_ref().map(|beside| beside.input),
            output: layers.output(),
            way,
        })
    }

    /// Channels, height and width of what comes out.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Makes `output` of `input` and, if the block has one, the smaller picture `beside`: each channel by channel, row by row.
    pub fn run(&mut self, input: &[f32], beside: &[f32], output: &mut [f32]) -> Result<()> {
        let len = |shape: [usize; 3]| shape.iter().product::<usize>();
        ensure!(
            input.len() == len(self.input)
                && beside.len() == self.beside.map_or(0, len)
                && output.len() == len(self.output),
            "a block of {:?} -> {:?} got {} and {} values for {}",
            self.input,
            self.output,
            input.len(),
            beside.len(),
            output.len()
        );
        match &mut self.way {
            Way::Rows(rows) => rows.run(input, beside, output),
            Way::Planes(planes) => planes.run(input, beside, output),
        }
        Ok(())
    }
}

/// The depthwise layer's weights, channel by channel.
pub(super) fn depthwise(layers: &Layers) -> Vec<super::kernels::Depthwise> {
    let weights = layers.depthwise.as_chunks::<9>().0.iter();
    let pairs = weights.zip(&layers.depthwise_bias);
    pairs
        .map(|(&weights, &bias)| super::kernels::Depthwise { weights, bias })
        .collect()
}
