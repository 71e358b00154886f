//! An inverted residual block with 8-bit weights and activations, in one pass over its rows.
//!
//! ```text
//! input, f32 --quantize--> u8 --expand 1x1, ReLU--> u8 --depthwise 3x3, ReLU--> u8 --project 1x1--> f32 (+ input)
//! ```
//!
//! The input may be upsampled first, and channels that are bytes already (a skip connection) may follow its own. After the
//! block, a last 1x1 convolution in f32 may follow.
//!
//! # Data layout
//!
//! Pictures have their channels last: `[height, width, channels]`. Rows go through all layers in *bands*: as many together
//! as keep weights in the first cache while they are used. The expanded rows, the widest tensor, are never stored as one.
//! Their last three are in a *ring*: for each pixel and channel an i32 whose three upper bytes are the three rows, the
//! newest on top. The next row is pushed in from above; the depthwise convolution is then three byte products
//! (`Vector::dot`), one for each of its columns.
//!
//! Sums are exact (i32). A sum becomes a byte or a float as `sum * factor + offset`, rounded as f32 is, so that all
//! instruction sets give the same bits.
//!
//! # Files
//!
//! | file | what it holds |
//! | --- | --- |
//! | `spec` | [`Spec`]: a block's weights, scales and shapes |
//! | `block` | [`Block`]: checks the spec and runs it |
//! | `bands` | the pass over the rows |
//! | `quantize`, `expand`, `project`, `output_conv` | its steps, written once with `vector` |
//! | `packed` | weights in the order in which vectors read them, and products with them |
//! | `vector` | one vector type for each instruction set: AVX-512 VNNI, AVX-VNNI, and portable code |
//! | `instruction_set` | compiles the pass for each of them, and detects which ones this processor has |

mod bands;
mod block;
mod expand;
mod instruction_set;
mod output_conv;
mod packed;
mod project;
mod quantize;
mod spec;
mod vector;

#[cfg(test)]
mod tests;

pub use block::Block;
pub use instruction_set::InstructionSet;
pub use spec::{Affine, Layer, MAX_OUTPUT_CONV_CHANNELS, OutputConv, PlaneSize, Spec};
