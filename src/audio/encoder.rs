//! The audio encoder as this room sees it; `inference` implements it.

use anyhow::Result;

/// A network that turns mel blocks into embeddings: `[N, 1, 80, 16]` (-4..4) -> `[N, 512]`.
pub trait AudioEncoder: Send {
    /// Encodes `count` blocks.
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()>;
}
