//! The packets of an audio track, to be copied into a clip without decoding.

use std::path::Path;

use anyhow::Result;
use ff::codec::Parameters;
use ff::{Packet, Rational, Rescale};
use ffmpeg_next as ff;

use super::demuxer::Source;
use crate::audio::checks::unreadable;

/// The packets of a sound as they lie in its file, to be copied.
pub struct PacketReader {
    source: Source,
    origin: i64,
    /// Length of the sound, in the time base.
    len: i64,
}

impl PacketReader {
    pub(in crate::audio) fn open(path: &Path, origin: i64, frames: u64, rate: u32) -> Result<Self> {
        let source = Source::open(path)?;
        Ok(Self {
            len: (frames as i64).rescale(Rational(1, rate as i32), source.base),
            origin,
            source,
        })
    }

    /// What a decoder must know of the sound, in a form that any container can take.
    #[expect(unsafe_code, reason = "there is no safe way to set the codec's tag")]
    pub fn parameters(&self) -> Result<Parameters> {
        let mut parameters = self.source.parameters()?.clone();
        // SAFETY: the clone is our own and not null. The tag is the old container's name for the codec.
        unsafe { (*parameters.as_mut_ptr()).codec_tag = 0 };
        Ok(parameters)
    }

    /// Time base of the packets.
    pub fn time_base(&self) -> Rational {
        self.source.base
    }

    /// The next packet; false at the end. Time 0 is the beginning of the sound: what lies before it, decoders need to
    /// begin well, and what lies behind its end is left out.
    pub fn next(&mut self, packet: &mut Packet) -> Result<bool> {
        match self.source.next(packet) {
            Ok(()) => {}
            // It was decoded once, so that damage can only lie behind its end.
            Err(ff::Error::Eof | ff::Error::InvalidData) => return Ok(false),
            Err(e) => return Err(unreadable(&self.source.path).because(e).into()),
        }
        let Some(start) = packet.pts().map(|pts| pts - self.origin) else {
            return Ok(false);
        };
        if start >= self.len {
            return Ok(false);
        }
        packet.set_pts(Some(start));
        packet.set_dts(Some(start));
        packet.set_duration(packet.duration().min(self.len - start));
        packet.set_position(-1);
        Ok(true)
    }
}
