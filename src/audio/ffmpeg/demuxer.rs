//! A file -> the packets of its audio track.

use std::ffi::OsStr;
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

/// A file and the best of its audio streams.
pub(super) struct Demuxer {
    pub(super) path: PathBuf,
    pub(super) input: Input,
    pub(super) stream: usize,
    /// Time base of the stream's timestamps.
    pub(super) time_base: Rational,
}

impl Demuxer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        crate::ffmpeg::init()?;
        let io = |e| unreadable(path).because(plain_io(&e));
        let mut file = File::open(path).map_err(io)?;
        // The name helps to tell formats apart. Playlists are not followed: the audio has to be in this file.
        let name = path.file_name().map(OsStr::to_string_lossy);
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "none");
        if lacks_data_size(&mut file).map_err(io)? {
            options.set("ignore_length", "1");
        }
        let mut input =
            format::input_from_stream(StreamIo::from_read_seek(file)?, name.as_deref(), Some(options))
                .map_err(|e| {
                    unreadable(path)
                        .because(match e {
                            ff::Error::InvalidData => "FFmpeg finds no audio or video in it".into(),
                            other => format!("FFmpeg cannot open it: {other}"),
                        })
                        .hint(
                            "name an audio file (WAV, MP3, M4A, FLAC, Ogg ..) or a video with an audio track",
                        )
                })?;
        let Some((stream, time_base)) = input
            .streams()
            .best(media::Type::Audio)
            .map(|stream| (stream.index(), stream.time_base()))
        else {
            return Err(unreadable(path)
                .because("it has no audio track")
                .hint("name an audio file (WAV, MP3, M4A, FLAC, Ogg ..) or a video with an audio track")
                .into());
        };
        discard_others(&mut input, stream);
        Ok(Self {
            path: path.to_owned(),
            input,
            stream,
            time_base,
        })
    }

    pub(super) fn parameters(&self) -> Result<Parameters> {
        match self.input.stream(self.stream) {
            Some(stream) => Ok(stream.parameters()),
            None => Err(unreadable(&self.path)
                .because("its audio track is gone")
                .into()),
        }
    }

    /// Reads the next packet of the audio stream.
    pub(super) fn next(&mut self, packet: &mut Packet) -> Result<(), ff::Error> {
        loop {
            // FFmpeg overwrites a packet without freeing what it held.
            *packet = Packet::empty();
            packet.read(&mut self.input)?;
            if packet.stream() == self.stream {
                return Ok(());
            }
        }
    }

    /// When the video starts, if there is one.
    pub(super) fn video_start(&self) -> Option<i64> {
        self.input
            .streams()
            .filter(|stream| {
                stream.parameters().medium() == media::Type::Video
                    && !stream.disposition().contains(Disposition::ATTACHED_PIC)
                    && stream.start_time() != ff::ffi::AV_NOPTS_VALUE
            })
            .map(|stream| {
                stream
                    .start_time()
                    .rescale(stream.time_base(), self.time_base)
            })
            .min()
    }
}

/// Whether a WAV file with 64-bit sizes (EBU Tech 3306) was left without them, so that its samples last until the file
/// ends.
fn lacks_data_size(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(36).read_to_end(&mut head)?;
    file.rewind()?;
    let long = head.starts_with(b"RF64") || head.starts_with(b"BW64");
    Ok(long && head.get(12..16) == Some(b"ds64") && head.get(28..36) == Some(&[0; 8]))
}

/// Makes FFmpeg skip all streams but one.
#[expect(unsafe_code, reason = "there is no safe way to set AVStream.discard")]
fn discard_others(input: &mut Input, wanted: usize) {
    for mut stream in input.streams_mut() {
        if stream.index() != wanted {
            // SAFETY: the stream is live as long as `input`, which is borrowed mutably; callers may set `discard` at
            // any time.
            unsafe { (*stream.as_mut_ptr()).discard = ff::Discard::All.into() };
        }
    }
}
