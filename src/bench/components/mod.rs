//! The components of a render. Each can process the clip on its own, by the same calls as in the pipeline.
//!
//! - `component`: what a component is, and how it counts towards the full render
//! - `background`: decoding and cropping
//! - `audio`: mel spectrogram and embeddings
//! - `generator`: the generator, as a render runs it and as a plain run
//! - `output`: pasting and encoding

mod audio;
mod background;
mod component;
mod generator;
mod output;

pub(super) use audio::{AudioEncoder, Mel};
pub(super) use background::{Crop, Decode};
pub(super) use component::{Component, Role};
pub(super) use generator::{Generator, PlainRun};
pub(super) use output::{Encode, Paste};
