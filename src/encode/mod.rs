//! Composed frames and the input's audio -> a clip, or a folder of PNGs.
//!
//! [`FrameSink`] takes the frames; [`ClipFile`] and [`PngFolder`] are the sinks.
//!
//! - `spec`: what a clip is to be
//! - `composed`: a frame, its background and the new mouth
//! - `clip`: a clip; wires `video`, `audio` and `muxer`
//! - `video`: frames -> video stream, with the encoders of `codec`
//! - `audio`: audio file -> audio stream, copied or encoded with `audio_codec`
//! - `track`: encoder -> packets of one stream
//! - `muxer`: packets -> file, with mark and credentials; `verify` then reads it back
//! - `container`: MP4, MOV, Matroska, WebM, and what each can hold
//! - `mark`: the mark that the mouth is AI-generated
//! - `credentials`: signed Content Credentials (C2PA)
//! - `segment`, `part_tag`, `join`: parts of long clips, and how they become one clip again
//! - `png`: numbered PNGs

mod audio;
mod audio_codec;
pub(crate) mod clip;
pub(crate) mod codec;
pub(crate) mod composed;
pub(crate) mod container;
#[cfg(feature = "credentials")]
pub(crate) mod credentials;
pub(crate) mod join;
pub(crate) mod mark;
mod muxer;
pub(crate) mod part_tag;
pub(crate) mod png;
pub(crate) mod segment;
mod sink;
mod spec;
mod track;
mod verify;
mod video;

pub use clip::ClipFile;
pub use codec::{Codec, VideoEncoder};
pub use composed::ComposedFrame;
pub use container::Container;
pub use mark::Mark;
pub use png::PngFolder;
pub use sink::FrameSink;
pub use spec::{ClipFormat, ClipSpec};
