//! What the windows need of a network: mel blocks in, embeddings out.

use anyhow::Result;

/// Mel blocks `[N, 1, 80, 16]` (-4..4) -> embeddings `[N, 512]`.
pub trait AudioEncoder: Send {
    /// Encodes `count` blocks.
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()>;
}
