//! The networks' contract; `onnx` runs real ones, `stub` stands in for them in tests.

pub(crate) mod graph;
pub(crate) mod halving;
pub mod kernel;
pub(crate) mod onnx;
pub(crate) mod precision;
pub(crate) mod shared;
#[cfg(test)]
pub(crate) mod stub;
pub(crate) mod threads;

pub use crate::audio::AudioEncoder;
pub use onnx::probe::Probe;
pub use onnx::{BaselineGenerator, FeatureLimits, Hardware, Networks, Runtime, TuneOptions};

use anyhow::Result;

use crate::image::Picture;

/// A face to paint: a background's crop.
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
