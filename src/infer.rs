//! The networks' contract; `onnx` runs real ones, `stub` stands in for them in tests.

pub mod onnx;
#[cfg(test)]
pub mod stub;

use anyhow::Result;

/// mel `[N, 1, 80, 16]` (-4..4) -> embeddings `[N, 512]`.
pub trait AudioEncoder: Send {
    /// Encodes `count` blocks.
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()>;
}

/// input `[N, 6, 320, 320]` (B G R whole, B G R masked, 0..1) and audio `[N, 32, 16, 16]` ->
/// output `[N, 3, 320, 320]` (B G R, 0..1).
pub trait Generator: Send {
    /// Paints `count` faces.
    fn generate(
        &mut self,
        count: usize,
        input: &[f32],
        audio: &[f32],
        output: &mut [f32],
    ) -> Result<()>;
}
