//! One stream of a clip: an encoder, and its packets' way into the file.

use std::io;
use std::mem;

use anyhow::{Context as _, Result};
use ff::codec::encoder::Encoder;
use ff::format::context::Output;
use ff::{Packet, Rational, codec, encoder, packet};
use ffmpeg_next as ff;

use crate::error::Fault;

/// An encoder and its stream.
pub(super) struct Track {
    encoder: Encoder,
    pub(super) stream: usize,
    /// Time base of the frames that go in.
    base: Rational,
    /// Time base of the packets in the file.
    muxer_base: Rational,
    /// When the encoder's first frame is shown, in `base`.
    pub(super) origin: i64,
}

impl Track {
    /// Gives an opened encoder its stream in the file.
    pub(super) fn add(
        muxer: &mut Output,
        codec: ff::Codec,
        encoder: Encoder,
        base: Rational,
    ) -> Result<Self> {
        let mut stream = muxer.add_stream(codec)?;
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
    pub(super) fn header_written(&mut self, muxer: &Output) {
        if let Some(stream) = muxer.stream(self.stream) {
            self.muxer_base = stream.time_base();
        }
    }

    /// Ends the encoder's work, and goes on at `origin` with the encoder that `open` starts once this one is closed.
    pub(super) fn restart(
        &mut self,
        muxer: &mut Output,
        origin: i64,
        open: impl FnOnce() -> Result<Encoder>,
    ) -> Result<()> {
        self.finish(muxer)?;
        // Never two at a time: an encoder holds much memory.
        drop(mem::replace(
            &mut self.encoder,
            codec::Context::new().encoder(),
        ));
        self.encoder = open()?;
        self.origin = origin;
        Ok(())
    }

    /// Moves finished packets from the encoder to the file.
    pub(super) fn drain(&mut self, muxer: &mut Output) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    packet.set_stream(self.stream);
                    // SVT-AV1 alone tells which frames could be left out; files that are read again do not keep it.
                    packet.set_flags(packet.flags() & packet::Flags::KEY);
                    packet.set_pts(packet.pts().map(|pts| pts + self.origin));
                    packet.set_dts(packet.dts().map(|dts| dts + self.origin));
                    packet.rescale_ts(self.base, self.muxer_base);
                    packet.write_interleaved(muxer).map_err(plain)?;
                }
                Err(ff::Error::Eof) => return Ok(()),
                Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => return Ok(()),
                Err(e) => return Err(e).context("the encoder failed"),
            }
        }
    }

    pub(super) fn send(&mut self, muxer: &mut Output, frame: &ff::Frame) -> Result<()> {
        self.encoder
            .send_frame(frame)
            .context("the encoder refused a frame")?;
        self.drain(muxer)
    }

    pub(super) fn finish(&mut self, muxer: &mut Output) -> Result<()> {
        self.encoder.send_eof().context("the encoder failed")?;
        self.drain(muxer)
    }

    /// Lets the encoder end its work, after a last frame if there is one, without a file to put it into.
    pub(super) fn abandon(&mut self, last: Option<&ff::Frame>) {
        let mut packet = Packet::empty();
        let sent = last.map_or(Ok(()), |frame| self.encoder.send_frame(frame));
        if sent.and_then(|()| self.encoder.send_eof()).is_ok() {
            while self.encoder.receive_packet(&mut packet).is_ok() {}
        }
    }
}

pub(super) fn find_encoder(name: &str, what: &str) -> Result<ff::Codec> {
    Ok(encoder::find_by_name(name).ok_or_else(|| {
        Fault::machine(format!(
            "FFmpeg on this machine has no {what} encoder ({name})"
        ))
        .hint("install a full build of FFmpeg: apt install libavcodec-extra")
    })?)
}

/// A failed write as the operating system tells it: such an error means that the output cannot be written.
pub(super) fn plain(error: ff::Error) -> io::Error {
    match error {
        ff::Error::Other { errno } => io::Error::from_raw_os_error(errno),
        other => io::Error::other(other),
    }
}
