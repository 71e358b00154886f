//! Neural networks: mel blocks -> embeddings, and crops with audio windows -> painted faces.
//!
//! How a generator's file becomes a running generator:
//!
//! ```text
//! generator.onnx -> ONNX Runtime folds its constants            onnx/loader
//!                -> split by what depends on the picture alone  graph/split
//!                -> reorder, fuse, quantize                     graph/
//!                -> verify against the file's own output        onnx/tuner, onnx/reference
//!                -> cache on disk                               onnx/parts_cache
//!                -> sessions, one per thread or GPU             onnx/generator, onnx/networks
//! ```
//!
//! - [`onnx`] runs networks on ONNX Runtime: devices, sessions, caches.
//! - [`graph`] rewrites a generator's graph; [`kernel`] computes the fused blocks that result.
//! - [`external`] finds weights outside a network's file.
//! - `generator` declares what a generator is; the audio encoder is declared in [`crate::audio`].
//! - [`precision`] names the precisions, and holds the calibration samples and the result of the rewriting.
//! - [`halving`] halves the batch where memory runs out.
//! - [`shared`] lends networks to several renders in turn.
//! - [`threads`] shares out the cores.
//! - `stub` stands in for networks in tests.

pub(crate) mod external;
mod generator;
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
pub use generator::{Face, Generator};
pub(crate) use onnx::OnnxFaceNetworks;
pub use onnx::probe::Probe;
pub use onnx::{BaselineGenerator, FeatureLimits, Hardware, Networks, Runtime, TuneOptions};
