//! One rendered part of a clip.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ff::codec::Parameters;
use ff::format::context::{Input, StreamIo};
use ff::{Dictionary, Packet, Rational, format, media};
use ffmpeg_next as ff;

use crate::encode::part_tag::PartTag;
use crate::error::{Fault, plain_io};
use crate::files;

/// A rendered part of a clip.
pub(crate) struct PartFile {
    pub(super) path: PathBuf,
    pub(super) tag: PartTag,
    input: Input,
    /// The video stream.
    stream: usize,
    /// Time base of the video stream.
    pub(super) base: Rational,
}

impl PartFile {
    /// Opens a part and reads its tag.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        crate::ffmpeg::init()?;
        let unreadable = || Fault::failed(format!("cannot read `{}`", path.display()));
        let file = files::open(path).map_err(|e| unreadable().because(plain_io(&e)))?;
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "none");
        let input = format::input_from_stream(
            StreamIo::from_read_seek(file)?,
            Some("part.mp4"),
            Some(options),
        )
        .map_err(|e| {
            unreadable()
                .because(format!("FFmpeg cannot open it: {e}"))
                .hint("render the part again")
        })?;
        let tag = PartTag::read(&input.metadata());
        let video = input.streams().best(media::Type::Video);
        let Some((tag, (stream, base))) =
            tag.zip(video.map(|stream| (stream.index(), stream.time_base())))
        else {
            return Err(
                Fault::failed(format!("`{}` is not a part of a clip", path.display()))
                    .hint("parts are what `lipsync render --part K/N` writes")
                    .into(),
            );
        };
        Ok(Self {
            path: path.to_owned(),
            tag,
            input,
            stream,
            base,
        })
    }

    /// The decoder's parameters of the video stream.
    pub(super) fn parameters(&self) -> Result<Parameters> {
        match self.input.stream(self.stream) {
            Some(stream) => Ok(stream.parameters().clone()),
            None => Err(self.damaged("its video stream is missing").into()),
        }
    }

    /// Reads the next video packet; false at the end.
    pub(super) fn next(&mut self, packet: &mut Packet) -> Result<bool> {
        loop {
            *packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(true),
                Ok(()) => {}
                Err(ff::Error::Eof) => return Ok(false),
                Err(e) => return Err(self.damaged(&e.to_string()).into()),
            }
        }
    }

    /// The error for a part that contradicts itself or cannot be read.
    pub(super) fn damaged(&self, why: &str) -> Fault {
        Fault::failed(format!("part `{}` is damaged", self.path.display()))
            .because(why)
            .hint("render it again")
    }
}
