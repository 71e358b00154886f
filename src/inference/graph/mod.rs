//! A generator's graph, rewritten in memory so that frames cost less and look the same.
//!
//! ```text
//! file -> ONNX Runtime folds constants for one batch size -> fold -> split -+-> reorder -> fuse      (exact)
//!                                                                           +-> reorder -> quantize  (int8)
//! ```
//!
//! - [`fold`] removes padding of zero pixels, which the exporter left.
//! - [`split`] separates what depends on the picture alone, and is computed once per background, from what depends on
//!   the audio.
//! - [`reorder`] moves 1x1 convolutions before upsamples.
//! - [`fuse`] makes one node of an inverted residual block.
//! - [`quantize`] computes large blocks in eight bits.
//! - [`byte_io`] uses bytes for input and output, so that less is copied to and from a GPU.
//! - [`half`] computes in half precision, on a GPU: the file as a whole, for batches of any size.
//! - [`widen`] computes in single precision: what is exported in half precision is rewritten before anything else.
//!
//! [`proto`] declares the ONNX messages, [`edit`] reads and changes them. [`outline`] reads a file without its weights.
//!
//! Nothing here knows a particular network: each step looks for a pattern and leaves alone what does not fit. Nor is any of
//! it trusted: `onnx::tuner` runs every result against the network it came from, and drops what differs.

pub(crate) mod byte_io;
pub(crate) mod edit;
pub(crate) mod fold;
pub(crate) mod fuse;
pub(crate) mod half;
pub(crate) mod outline;
pub(crate) mod proto;
pub(crate) mod quantize;
pub(crate) mod reorder;
pub(crate) mod split;
pub(crate) mod widen;

#[cfg(test)]
mod tests;
