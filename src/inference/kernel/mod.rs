//! Inverted residual blocks in one go: what lies between their convolutions never leaves the caches.
//!
//! A runtime computes one convolution after the other, each over the whole picture; in such a block, what lies between them
//! has several times the channels of what comes in and goes out, and does not fit into any cache. Here
//!
//! ```text
//! input --expand 1x1--> (+ a smaller picture, upsampled) --Relu, depthwise 3x3--> Relu --project 1x1--> output (+ input)
//! ```
//!
//! goes a few rows at a time (`rows`), or, in small pictures, a few channels at a time (`planes`). Both are made of the
//! same `steps`, which are written once (`vectors`) and compiled for AVX-512 and for AVX2 with FMA. Vectors run along pixels.
//! Everything is f32, `[channels, height, width]`; sums differ from ONNX Runtime's by rounding alone.
//!
//! [`int8`] does the same in eight bits.

mod block;
mod buffer;
pub mod int8;
mod kernels;
mod planes;
#[cfg(target_arch = "x86_64")]
mod pointwise;
mod rows;
#[cfg(target_arch = "x86_64")]
mod vector;

#[cfg(test)]
mod tests;

pub use block::{Beside, Block, Grid, Layers};
pub use kernels::Steps;
