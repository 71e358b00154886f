//! Audio whose packets are copied.

use anyhow::Result;
use ff::codec::Id;
use ff::format::context::Output;
use ff::{Packet, Rational, encoder};
use ffmpeg_next as ff;

use crate::audio::PacketReader;
use crate::encode::track::plain;

/// Copies packets from the input to the clip.
pub(in crate::encode) struct CopiedAudio {
    packets: PacketReader,
    packet: Packet,
    pub(super) id: Id,
    stream: usize,
    /// Time base of the packets in the clip.
    muxer_base: Rational,
    /// How much is written, in seconds.
    written: f64,
    ended: bool,
}

impl CopiedAudio {
    pub(super) fn add(output: &mut Output, packets: PacketReader) -> Result<Self> {
        let parameters = packets.parameters()?;
        let id = parameters.id();
        let mut stream = output.add_stream(encoder::find(Id::None))?;
        stream.set_parameters(parameters);
        stream.set_time_base(packets.time_base());
        Ok(Self {
            stream: stream.index(),
            muxer_base: packets.time_base(),
            packets,
            packet: Packet::empty(),
            id,
            written: 0.0,
            ended: false,
        })
    }

    /// To be called once the header is written: the muxer chooses its own time base.
    pub(super) fn header_written(&mut self, output: &Output) {
        if let Some(stream) = output.stream(self.stream) {
            self.muxer_base = stream.time_base();
        }
    }

    /// Writes audio until `seconds` are written, or to its end.
    pub(super) fn write_until(&mut self, output: &mut Output, seconds: f64) -> Result<()> {
        while self.written < seconds && !self.ended {
            self.ended = !self.packets.next(&mut self.packet)?;
            if self.ended {
                return Ok(());
            }
            let base = self.packets.time_base();
            let end = self.packet.pts().unwrap_or(0) + self.packet.duration();
            self.written = end as f64 * f64::from(base);
            self.packet.set_stream(self.stream);
            self.packet.rescale_ts(base, self.muxer_base);
            self.packet.write_interleaved(output).map_err(plain)?;
        }
        Ok(())
    }
}
