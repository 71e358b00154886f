//! A block, ready to run.

use anyhow::{Result, ensure};

use super::bands::Bands;
use super::instruction_set::InstructionSet;
use super::spec::Spec;

/// Runs a block. Clones share its weights and have working memory of their own.
#[derive(Debug, Clone)]
pub struct Block {
    instruction_set: InstructionSet,
    bands: Bands,
}

impl Block {
    /// Prepares `spec` for an instruction set.
    pub fn new(spec: &Spec, instruction_set: InstructionSet) -> Result<Self> {
        spec.check()?;
        Ok(Self {
            instruction_set,
            bands: Bands::new(spec, instruction_set.lanes()),
        })
    }

    /// The shape of the output: `[1, height, width, out]`, or after a last convolution `[1, channels, height, width]`.
    pub fn output(&self) -> [usize; 4] {
        self.bands.output()
    }

    /// Computes `output` from `input`: `[height, width, channels]`, smaller if it is upsampled, and `skip`:
    /// `[height, width, skip_channels]`.
    pub fn run(&mut self, input: &[f32], skip: &[u8], output: &mut [f32]) -> Result<()> {
        let [input_len, skip_len, output_len] = self.bands.lengths();
        ensure!(
            (input.len(), skip.len(), output.len()) == (input_len, skip_len, output_len),
            "a block got {} and {} values for {} instead of {input_len} and {skip_len} for {output_len}",
            input.len(),
            skip.len(),
            output.len(),
        );
        self.instruction_set
            .run(&mut self.bands, input, skip, output);
        Ok(())
    }
}
