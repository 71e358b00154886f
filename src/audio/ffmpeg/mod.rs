//! Audio that FFmpeg reads: compressed files, and the audio tracks of videos.
//!
//! `demuxer` finds the track and reads its packets, `decoder` turns them into samples, and `packets` hands them out to
//! be copied into a clip without decoding.

mod decoder;
mod demuxer;
mod packets;

pub(super) use decoder::{Decoder, Probe, probe};
pub use packets::PacketReader;
