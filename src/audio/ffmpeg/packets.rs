//! The packets of an audio track, to be copied into a clip without decoding.

use anyhow::Result;
use ff::codec::Parameters;
use ff::{Packet, Rational, Rescale};
use ffmpeg_next as ff;

use super::demuxer::{Demuxer, Medium};
use crate::audio::checks::unreadable;

/// Reads the packets of an audio track as the file stores them.
pub struct PacketReader {
    demuxer: Demuxer,
    /// Timestamp at which the audio starts.
    origin: i64,
    /// Length of the audio, in the time base.
    len: i64,
}

impl PacketReader {
    pub(in crate::audio) fn open(
        medium: &Medium,
        origin: i64,
        frames: u64,
        rate: u32,
    ) -> Result<Self> {
        let demuxer = Demuxer::open(medium)?;
        Ok(Self {
            len: (frames as i64).rescale(Rational(1, rate as i32), demuxer.time_base),
            origin,
            demuxer,
        })
    }

    /// The codec parameters, without what is specific to the container.
    #[expect(unsafe_code, reason = "there is no safe way to set the codec's tag")]
    pub fn parameters(&self) -> Result<Parameters> {
        let mut parameters = self.demuxer.parameters()?.clone();
        // SAFETY: the clone is not null and owned here. The tag, a plain number, is the source container's name of the
        // codec.
        unsafe { (*parameters.as_mut_ptr()).codec_tag = 0 };
        Ok(parameters)
    }

    /// Time base of the packets.
    pub fn time_base(&self) -> Rational {
        self.demuxer.time_base
    }

    /// Reads the next packet; false at the end. Time 0 is the start of the audio. Packets before it are kept, because
    /// decoders need them to start cleanly; packets after its end are left out.
    pub fn next(&mut self, packet: &mut Packet) -> Result<bool> {
        match self.demuxer.next(packet) {
            Ok(()) => {}
            // The file was decoded once when it was opened, so damage can only be after the end of the audio.
            Err(ff::Error::Eof | ff::Error::InvalidData) => return Ok(false),
            Err(e) => return Err(unreadable(&self.demuxer.path).because(e).into()),
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
