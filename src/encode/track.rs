//! One stream of a clip: an encoder whose packets go into the file.

use std::io;
use std::mem;

use anyhow::{Context as _, Result};
use ff::codec::encoder::Encoder;
use ff::format::context::Output;
use ff::format::stream::StreamMut;
use ff::{Packet, Rational, codec, encoder, packet};
use ffmpeg_next as ff;

use super::container::Container;
use crate::error::Fault;

/// An encoder and its stream.
pub(super) struct Track {
    encoder: Encoder,
    pub(super) stream: usize,
    /// Time base of the encoder's frames.
    base: Rational,
    /// Time base of the packets in the file.
    muxer_base: Rational,
    /// Timestamp of the encoder's first frame, in `base`.
    pub(super) origin: i64,
}

impl Track {
    /// Gives an opened encoder its stream in the file.
    pub(super) fn add(
        output: &mut Output,
        codec: ff::Codec,
        encoder: Encoder,
        base: Rational,
    ) -> Result<Self> {
        let mut stream = output.add_stream(codec)?;
        stream.set_parameters(&encoder);
        stream.set_time_base(base);
        Ok(Self {
            stream: stream.index(),
            encoder,
            base,
            muxer_base: base,
            origin: 0,
        })
    }

    /// To be called once the header is written: the muxer chooses its own time base.
    pub(super) fn header_written(&mut self, output: &Output) {
        if let Some(stream) = output.stream(self.stream) {
            self.muxer_base = stream.time_base();
        }
    }

    /// Flushes and closes the encoder, then continues at `origin` with the one that `open` returns.
    pub(super) fn restart(
        &mut self,
        output: &mut Output,
        origin: i64,
        open: impl FnOnce() -> Result<Encoder>,
    ) -> Result<()> {
        self.finish(output)?;
        // Never two at a time: an encoder uses a lot of memory.
        drop(mem::replace(
            &mut self.encoder,
            codec::Context::new().encoder(),
        ));
        self.encoder = open()?;
        self.origin = origin;
        Ok(())
    }

    /// Writes the packets that the encoder has finished.
    pub(super) fn drain(&mut self, output: &mut Output) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    packet.set_stream(self.stream);
                    // Only SVT-AV1 flags disposable frames, and a file that is read back does not have these flags.
                    packet.set_flags(packet.flags() & packet::Flags::KEY);
                    packet.set_pts(packet.pts().map(|pts| pts + self.origin));
                    packet.set_dts(packet.dts().map(|dts| dts + self.origin));
                    packet.rescale_ts(self.base, self.muxer_base);
                    packet.write_interleaved(output).map_err(plain)?;
                }
                Err(ff::Error::Eof) => return Ok(()),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => return Ok(()),
                Err(e) => return Err(e).context("the encoder failed"),
            }
        }
    }

    /// Encodes a frame.
    pub(super) fn send(&mut self, output: &mut Output, frame: &ff::Frame) -> Result<()> {
        self.encoder
            .send_frame(frame)
            .context("the encoder refused a frame")?;
        self.drain(output)
    }

    /// Flushes the encoder.
    pub(super) fn finish(&mut self, output: &mut Output) -> Result<()> {
        self.encoder.send_eof().context("the encoder failed")?;
        self.drain(output)
    }

    /// Flushes the encoder, after a last frame if given, and discards its packets.
    pub(super) fn abandon(&mut self, last: Option<&ff::Frame>) {
        let mut packet = Packet::empty();
        let sent = last.map_or(Ok(()), |frame| self.encoder.send_frame(frame));
        if sent.and_then(|()| self.encoder.send_eof()).is_ok() {
            while self.encoder.receive_packet(&mut packet).is_ok() {}
        }
    }
}

/// The encoder with FFmpeg's name `name`; `what` is the codec, for the error.
pub(super) fn find_encoder(name: &str, what: &str) -> Result<ff::Codec> {
    Ok(encoder::find_by_name(name).ok_or_else(|| {
        Fault::machine(format!(
            "FFmpeg on this machine has no {what} encoder ({name})"
        ))
        .hint("install a full build of FFmpeg: apt install libavcodec-extra")
    })?)
}

/// FFmpeg's error from a write as the operating system's, so that callers can tell a failed write from other failures.
pub(super) fn plain(error: ff::Error) -> io::Error {
    match error {
        ff::Error::Other { errno } => io::Error::from_raw_os_error(errno),
        other => io::Error::other(other),
    }
}

/// Names an H.265 stream in MP4 and MOV `hvc1`: Apple's players do not open FFmpeg's usual `hev1`.
#[expect(unsafe_code, reason = "the crate has no setter for a stream's tag")]
pub(super) fn set_codec_tag(stream: &StreamMut, codec: codec::Id, container: Container) {
    if codec != codec::Id::HEVC || !container.has_boxes() {
        return;
    }
    // SAFETY: the parameters belong to the stream, which is mutably borrowed; the tag is a plain number in them.
    unsafe {
        (*stream.parameters().as_mut_ptr()).codec_tag = u32::from_le_bytes(*b"hvc1");
    }
}
