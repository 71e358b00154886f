//! A generator's graph, rewritten in memory so that a frame costs less, with the same picture.
//!
//! ```text
//! the file --ONNX Runtime: one frame at a time, shapes known, constants folded--> fold --> cut --+--> commute --> fuse (exact)
//!                                                                                                +--> quantise (int8)
//! ```
//!
//! - [`fold`] drops what is left of the exporter's chains.
//! - [`split`] parts what needs only the picture, and is worked out once for each background, from what hears the sound.
//! - [`commute`] moves 1x1 convolutions before upsamples.
//! - [`fuse`] makes one node of an inverted residual block.
//! - [`quantise`] works with eight bits where that is faster.
//! - [`bytes`] takes and gives bytes, on a GPU: less to copy.
//! - [`half`] works with half precision, on a GPU: the file as a whole, for batches of any size.
//!
//! Nothing here knows a particular network: each step looks for a pattern, and leaves alone what does not fit. Nor is any
//! of it trusted: `infer::onnx::tuned` runs every result against the network it came from, and drops what differs.
//! [`edit`] and [`proto`] read and write the ONNX format.

pub(crate) mod bytes;
pub(crate) mod commute;
pub(crate) mod edit;
pub(crate) mod fold;
pub(crate) mod fuse;
pub(crate) mod half;
pub(crate) mod proto;
pub(crate) mod quantise;
pub(crate) mod split;

#[cfg(test)]
mod tests;
