//! CPU kernels for inverted residual blocks, the layers on which a generator spends nearly all of its time.
//!
//! # What a block computes
//!
//! An inverted residual block (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks") expands its
//! channels with a 1x1 convolution, filters each channel with a depthwise 3x3 convolution, and projects the result back to
//! few channels with a second 1x1 convolution:
//!
//! ```text
//! input --expand 1x1--> (+ upsampled input) --ReLU--> --depthwise 3x3--> --ReLU--> --project 1x1--> output (+ input)
//! ```
//!
//! The expanded picture has several times the channels of the input and the output, and does not fit into a cache. A runtime
//! that computes one convolution after the other writes it to memory and reads it back. A [`Block`] computes all three
//! layers together, on a small part of the picture at a time, so that the expanded values never leave the caches.
//!
//! # Data layout
//!
//! Pictures and tensors are f32 `[channels, height, width]`, as ONNX has them; weights are `[output channels, input
//! channels]`. Vectors run along the pixels of a row. For the 1x1 convolutions, pixels are *packed* into panels
//! (`[groups, channels, pixels of a group]`) and weights into tiles (`[groups, input channels, output channels of a group]`),
//! so that what the inner loop reads is contiguous. [`int8`] keeps channels last instead: `[height, width, channels]`.
//!
//! Results are the same for every batch and thread, and differ from ONNX Runtime's by rounding alone.
//!
//! # Files
//!
//! | file | what it holds |
//! | --- | --- |
//! | `layers`, `grid` | a block's weights and shapes; where an upsampled pixel lies in its source |
//! | `block` | [`Block`]: checks the layers and chooses one of the two strategies below |
//! | `rows` | large pictures: all channels, a few rows at a time |
//! | `planes` | small pictures: the whole picture, a few channels at a time |
//! | `kernels`, `operands` | the steps both are made of, with their bounds checks, and what they work on |
//! | `pointwise`, `depthwise`, `upsample`, `panels` | these steps, written once with `vector` |
//! | `vector` | one vector type for each instruction set: AVX-512, AVX2 with FMA, and portable code |
//! | `tables` | compiles the steps for each instruction set |
//! | `instruction_set` | which of them this processor has |
//! | `buffer` | memory aligned to cache lines |
//! | [`int8`] | the same block with 8-bit weights and activations |

mod block;
mod buffer;
mod depthwise;
mod grid;
mod instruction_set;
mod intrinsics;

pub mod int8;
mod kernels;
mod layers;
mod operands;
mod panels;
mod planes;
mod pointwise;
mod rows;
mod tables;
mod upsample;
mod vector;

#[cfg(test)]
mod tests;

pub use block::Block;
pub use grid::Grid;
pub use instruction_set::InstructionSet;
pub use layers::{Layers, UpsampledInput};
