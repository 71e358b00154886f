//! Audio that FFmpeg reads: compressed files, and the audio tracks of videos.
//!
//! `tracks` lists the audio tracks, `demuxer` finds one and reads its packets, `decoder` turns them into samples, `probe`
//! finds their length, and `packets` hands them out to be copied into a clip without decoding.

mod decoder;
mod demuxer;
mod packets;
mod probe;
mod tracks;

pub(super) use decoder::Decoder;
pub(super) use demuxer::Medium;
pub use packets::PacketReader;
pub(super) use probe::probe;
