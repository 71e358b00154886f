//! The audio encoder on ONNX Runtime.

use anyhow::Result;

use super::network::{InputValues, Network};
use crate::audio::AudioEncoder;

/// See [`AudioEncoder`].
pub struct OnnxAudioEncoder(pub(super) Network);

impl AudioEncoder for OnnxAudioEncoder {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        self.0
            .run(count, &[InputValues::Floats(blocks)], embeddings)
    }
}
