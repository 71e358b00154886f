//! A block, ready to run.

use anyhow::{Result, ensure};

use super::instruction_set::InstructionSet;
use super::layers::Layers;
use super::planes::Planes;
use super::rows::Rows;

/// Runs a block. Clones share its weights and have working memory of their own.
#[derive(Debug, Clone)]
pub struct Block {
    input: [usize; 3],
    upsampled_input: Option<[usize; 3]>,
    output: [usize; 3],
    strategy: Strategy,
}

/// In which order the picture is worked through.
#[derive(Debug, Clone)]
enum Strategy {
    /// All channels, a few rows at a time.
    Rows(Rows),
    /// The whole picture, a few channels at a time.
    Planes(Planes),
}

/// Up to this many pixels, a picture is computed plane by plane; the rows of a larger one are long enough to fill vectors.
const MAX_PLANE_PIXELS: usize = 1600;

impl Block {
    /// Prepares `layers` for an instruction set.
    pub fn new(layers: &Layers, instruction_set: InstructionSet) -> Result<Self> {
        layers.check()?;
        let kernels = instruction_set.kernels();
        let [_, height, width] = layers.input;
        let is_even = height.is_multiple_of(2) && width.is_multiple_of(2);
        let strategy = if height * width <= MAX_PLANE_PIXELS && (layers.stride == 1 || is_even) {
            Strategy::Planes(Planes::new(layers, kernels)?)
        } else {
            Strategy::Rows(Rows::new(layers, kernels)?)
        };
        Ok(Self {
            input: layers.input,
            upsampled_input: layers.upsampled_input.as_ref().map(|small| small.input),
            output: layers.output(),
            strategy,
        })
    }

    /// Channels, height and width of the output.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Computes `output` from `input` and `upsampled_input`, which is empty if the block has none. All are
    /// `[channels, height, width]`.
    pub fn run(
        &mut self,
        input: &[f32],
        upsampled_input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        let len = |shape: [usize; 3]| shape.iter().product::<usize>();
        ensure!(
            input.len() == len(self.input)
                && upsampled_input.len() == self.upsampled_input.map_or(0, len)
                && output.len() == len(self.output),
            "a block of {:?} -> {:?} got {} and {} values for {}",
            self.input,
            self.output,
            input.len(),
            upsampled_input.len(),
            output.len()
        );
        match &mut self.strategy {
            Strategy::Rows(rows) => rows.run(input, upsampled_input, output),
            Strategy::Planes(planes) => planes.run(input, upsampled_input, output),
        }
        Ok(())
    }
}
