//! Audio that FFmpeg decodes: compressed files, and the audio tracks of videos.

mod decoder;
mod demuxer;
mod packets;

pub(super) use decoder::{Decoder, Probe, probe};
pub use packets::PacketReader;
