//! Networks that need no file: for tests of what stands around them.

use anyhow::Result;

use super::{AudioEncoder, Face, Generator};
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, WINDOW_LEN};
use crate::face::{INPUT_LEN, OUTPUT_LEN, network_input};

/// Each embedding is its block's mean, 512 times.
pub(crate) struct MeanEncoder;

impl AudioEncoder for MeanEncoder {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        assert_eq!(blocks.len(), count * BLOCK_LEN);
        for (block, embedding) in blocks
            .chunks(BLOCK_LEN)
            .zip(embeddings.chunks_mut(EMBEDDING_LEN))
        {
            embedding.fill(block.iter().sum::<f32>() / BLOCK_LEN as f32);
        }
        Ok(())
    }
}

/// Returns the whole picture as it came; what else happens is up to `on_batch`, which gets the batch's number.
pub(crate) struct CopyGenerator<F> {
    pub(crate) on_batch: F,
    pub(crate) batches: usize,
}

impl<F: FnMut(usize) -> Result<()> + Send> Generator for CopyGenerator<F> {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        assert_eq!(audio.len(), faces.len() * WINDOW_LEN);
        (self.on_batch)(self.batches)?;
        self.batches += 1;
        let mut input = vec![0.0; INPUT_LEN];
        for (face, output) in faces.iter().zip(output.chunks_mut(OUTPUT_LEN)) {
            network_input(face.crop, &mut input);
            output.copy_from_slice(&input[..OUTPUT_LEN]);
        }
        Ok(())
    }
}
