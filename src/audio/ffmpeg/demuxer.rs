//! A file -> the packets of its audio track.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::Result;
use ff::codec::Parameters;
use ff::format::context::{Input, StreamIo};
use ff::format::stream::Disposition;
use ff::{Dictionary, Packet, Rational, Rescale, format, media};
use ffmpeg_next as ff;

use super::tracks;
use crate::audio::checks::unreadable;
use crate::audio::source::Section;
use crate::audio::track::TrackInfo;
use crate::files::misnamed;

/// The hint of errors about files without audio.
const KINDS_HINT: &str =
    "name an audio file (WAV, MP3, M4A, FLAC, Ogg ..) or a video with an audio track";

/// A file for FFmpeg.
#[derive(Debug, Clone)]
pub(in crate::audio) struct Medium {
    /// The path that messages name.
    pub(in crate::audio) path: PathBuf,
    /// Its bytes.
    pub(in crate::audio) section: Section,
    /// Which of its audio tracks, from 0; the best one if none.
    pub(in crate::audio) track: Option<usize>,
    /// Whether a WAV header does not know how long the samples are.
    pub(in crate::audio) is_endless: bool,
}

impl Medium {
    /// Its audio tracks, and which of them FFmpeg prefers.
    pub(in crate::audio) fn tracks(&self) -> Result<(Vec<TrackInfo>, usize)> {
        let input = self.open()?;
        let tracks = tracks::list(&input);
        let best = tracks::preferred(&input, &tracks).ok_or_else(|| {
            unreadable(&self.path)
                .because("it has no audio track")
                .hint(KINDS_HINT)
        })?;
        Ok((tracks, best))
    }

    fn open(&self) -> Result<Input> {
        crate::ffmpeg::init()?;
        // The name helps to tell formats apart. Playlists are not followed: the audio has to be in this file.
        let name = self.path.file_name().map(OsStr::to_string_lossy);
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "none");
        if self.is_endless {
            options.set("ignore_length", "1");
        }
        let stream = StreamIo::from_read_seek(self.section.clone())?;
        Ok(
            format::input_from_stream(stream, name.as_deref(), Some(options)).map_err(|e| {
                let fault = unreadable(&self.path)
                    .because(match e {
                        ff::Error::InvalidData => "FFmpeg finds no audio or video in it".into(),
                        other => format!("FFmpeg cannot open it: {other}"),
                    })
                    .hint(KINDS_HINT);
                misnamed::explain(fault, &self.path)
            })?,
        )
    }
}

/// A file and one of its audio streams.
pub(super) struct Demuxer {
    pub(super) path: PathBuf,
    pub(super) input: Input,
    pub(super) stream: usize,
    /// Time base of the stream's timestamps.
    pub(super) time_base: Rational,
}

impl Demuxer {
    pub(super) fn open(medium: &Medium) -> Result<Self> {
        let mut input = medium.open()?;
        let tracks = tracks::list(&input);
        let track = medium.track.filter(|track| *track < tracks.len());
        let track = track.or_else(|| tracks::preferred(&input, &tracks));
        let found = track.and_then(|track| tracks::streams(&input).nth(track));
        let Some((stream, time_base)) = found.map(|stream| (stream.index(), stream.time_base()))
        else {
            return Err(unreadable(&medium.path)
                .because("it has no audio track")
                .hint(KINDS_HINT)
                .into());
        };
        discard_others(&mut input, stream);
        Ok(Self {
            path: medium.path.clone(),
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

    /// What the audio's codec is called.
    pub(super) fn codec_name(&self) -> String {
        let stream = self.input.stream(self.stream);
        stream.map_or_else(String::new, |stream| tracks::codec_name(&stream))
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

    /// How long the file lasts with its video, in seconds; none if it has no video.
    pub(super) fn video_end(&self) -> Option<f64> {
        self.videos().next()?;
        let end = self.input.duration();
        (end > 0).then(|| end as f64 / f64::from(ff::ffi::AV_TIME_BASE))
    }

    fn videos(&self) -> impl Iterator<Item = ff::Stream<'_>> {
        self.input.streams().filter(|stream| {
            stream.parameters().medium() == media::Type::Video
                && !stream.disposition().contains(Disposition::ATTACHED_PIC)
        })
    }

    /// When the video starts, if there is one.
    pub(super) fn video_start(&self) -> Option<i64> {
        self.videos()
            .filter(|stream| stream.start_time() != ff::ffi::AV_NOPTS_VALUE)
            .map(|stream| {
                stream
                    .start_time()
                    .rescale(stream.time_base(), self.time_base)
            })
            .min()
    }
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
