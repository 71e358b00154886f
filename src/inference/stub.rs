//! Networks that need no file, for tests of the code around them.

use anyhow::Result;

use super::generator::{Face, Generator};
use crate::audio::AudioEncoder;
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, WINDOW_LEN};
use crate::face::{INPUT_LEN, OUTPUT_LEN, network_input};

/// Fills each embedding with the mean of its block.
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

/// Paints each face as its background shows it. `on_batch` is called with the number of each batch, from 0, and may fail.
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
