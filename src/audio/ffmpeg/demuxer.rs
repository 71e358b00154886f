//! A file -> the packets of its audio track.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::Result;
use ff::codec::Parameters;
use ff::format::context::{Input, StreamIo};
use ff::format::stream::Disposition;
use ff::{Dictionary, Packet, Rational, Rescale, format, media};
use ffmpeg_next as ff;

use crate::audio::checks::unreadable;
use crate::error::plain_io;

/// A file and the best of its sound streams.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) input: Input,
    pub(super) stream: usize,
    /// Time base of its time stamps.
    pub(super) base: Rational,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        crate::ffmpeg::init()?;
        let io = |e| unreadable(path).because(plain_io(&e));
        let mut file = File::open(path).map_err(io)?;
        // The name helps to tell formats apart. A sound is one file: lists that would open others are not followed.
        let name = path.file_name().and_then(|name| name.to_str());
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "none");
        if lacks_length(&mut file).map_err(io)? {
            options.set("ignore_length", "1");
        }
        let mut input =
            format::input_from_stream(StreamIo::from_read_seek(file)?, name, Some(options))
                .map_err(|e| {
                    unreadable(path)
                        .because(match e {
                            ff::Error::InvalidData => "FFmpeg finds no sound or video in it".into(),
                            other => format!("FFmpeg cannot open it: {other}"),
                        })
                        .hint(
                            "give a sound file (WAV, MP3, M4A, FLAC, Ogg ..) or a video with sound",
                        )
                })?;
        let Some((stream, base)) = input
            .streams()
            .best(media::Type::Audio)
            .map(|stream| (stream.index(), stream.time_base()))
        else {
            return Err(unreadable(path)
                .because("it holds no sound, only pictures or text")
                .hint("give a sound file (WAV, MP3, M4A, FLAC, Ogg ..) or a video with sound")
                .into());
        };
        keep_only(&mut input, stream);
        Ok(Self {
            path: path.to_owned(),
            input,
            stream,
            base,
        })
    }

    pub(super) fn parameters(&self) -> Result<Parameters> {
        match self.input.stream(self.stream) {
            Some(stream) => Ok(stream.parameters()),
            None => Err(unreadable(&self.path).because("its sound vanished").into()),
        }
    }

    /// The next packet of the sound.
    pub(super) fn next(&mut self, packet: &mut Packet) -> Result<(), ff::Error> {
        loop {
            // FFmpeg writes over what a packet holds, without giving it back.
            *packet = Packet::empty();
            packet.read(&mut self.input)?;
            if packet.stream() == self.stream {
                return Ok(());
            }
        }
    }

    /// When the pictures begin, if there are any.
    pub(super) fn video_start(&self) -> Option<i64> {
        self.input
            .streams()
            .filter(|stream| {
                stream.parameters().medium() == media::Type::Video
                    && !stream.disposition().contains(Disposition::ATTACHED_PIC)
                    && stream.start_time() != ff::ffi::AV_NOPTS_VALUE
            })
            .map(|stream| stream.start_time().rescale(stream.time_base(), self.base))
            .min()
    }
}

/// Whether a WAV file for 64-bit sizes was left without them (EBU Tech 3306), so that its sound lasts until its end.
fn lacks_length(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(36).read_to_end(&mut head)?;
    file.rewind()?;
    let long = head.starts_with(b"RF64") || head.starts_with(b"BW64");
    Ok(long && head.get(12..16) == Some(b"ds64") && head.get(28..36) == Some(&[0; 8]))
}

/// Has the demuxer pass over all streams but one.
#[expect(unsafe_code, reason = "there is no safe way to set AVStream.discard")]
fn keep_only(input: &mut Input, kept: usize) {
    for mut stream in input.streams_mut() {
        if stream.index() != kept {
            // SAFETY: the stream belongs to `input`, which is borrowed mutably; `discard` is the user's to set.
            unsafe { (*stream.as_mut_ptr()).discard = ff::Discard::All.into() };
        }
    }
}
