//! What a generator is, whatever runs it.

use anyhow::Result;

use crate::image::Picture;

/// A face to paint, as its background shows it.
#[derive(Debug, Clone, Copy)]
pub struct Face<'a> {
    /// The crop rectangle resized to 328x328, R G B.
    pub crop: &'a Picture,
}

/// Crops and audio windows `[N, 16, 512]`, read as `[N, 32, 16, 16]` -> pictures `[N, 3, 320, 320]` (B G R, 0..1).
pub trait Generator: Send {
    /// Paints `faces`.
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()>;
}
