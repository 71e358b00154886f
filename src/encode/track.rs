//! One stream of a clip: an encoder, and its packets' way into the file.

use std::io;

use anyhow::{Context as _, Result};
use ff::codec::encoder::Encoder;
use ff::format::context::Output;
use ff::{Packet, Rational, encoder};
use ffmpeg_next as ff;

use crate::error::Fault;

/// An encoder and its stream.
pub(super) struct Track {
    encoder: Encoder,
    pub(super) stream: usize,
    /// Time base of the frames that go in.
    base: Rational,
    /// Time base of the packets in the file.
    pub(super) muxer_base: Rational,
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
        })
    }

    /// Moves finished packets from the encoder to the file.
    pub(super) fn drain(&mut self, muxer: &mut Output) -> Result<()> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    packet.set_stream(self.stream);
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
