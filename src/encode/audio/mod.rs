//! The input's audio -> the clip's audio stream.
//!
//! - `copied`: takes the packets as they are, if the container can hold them
//! - `encoded`: decodes and encodes everything else

mod copied;
mod encoded;

use std::ops::Range;

use anyhow::Result;
use ff::codec::Id;
use ff::format::context::Output;
use ffmpeg_next as ff;

use self::copied::CopiedAudio;
use self::encoded::EncodedAudio;
use super::container::Container;
use super::spec::ClipAudio;
use crate::audio::AudioFile;

/// Bits per second of encoded audio by default, less where its sample rate and channels cannot use as many.
const DEFAULT_BITRATE: usize = 192_000;

/// The clip's audio stream.
pub(super) enum AudioTrack {
    Copied(Box<CopiedAudio>),
    Encoded(Box<EncodedAudio>),
}

impl AudioTrack {
    /// Gives the clip the stream. With `bits` per second, it is encoded even if it could be copied.
    pub(super) fn add(
        output: &mut Output,
        container: Container,
        audio: &AudioFile,
        bits: Option<usize>,
    ) -> Result<Self> {
        if bits.is_none()
            && let Some((_, packets)) = container.copyable(audio)?
        {
            let copied = CopiedAudio::add(output, packets)?;
            return Ok(Self::Copied(Box::new(copied)));
        }
        let codec = container.audio_codec();
        let reader = audio.reader(codec.sample_rate(audio.rate))?;
        let bits = bits.unwrap_or(DEFAULT_BITRATE);
        let encoded = EncodedAudio::add(output, codec, audio, bits, reader)?;
        Ok(Self::Encoded(Box::new(encoded)))
    }

    /// Gives the clip only these samples of the audio, lossless up to 24 bits.
    pub(super) fn add_slice(
        output: &mut Output,
        container: Container,
        audio: &AudioFile,
        samples: Range<u64>,
    ) -> Result<Self> {
        let codec = container.lossless_audio_codec();
        let reader = audio.slice(samples)?;
        let encoded = EncodedAudio::add(output, codec, audio, DEFAULT_BITRATE, reader)?;
        Ok(Self::Encoded(Box::new(encoded)))
    }

    /// How the audio is written.
    pub(super) fn description(&self) -> ClipAudio {
        ClipAudio {
            codec: self.codec_id().name(),
            copied: matches!(self, Self::Copied(_)),
        }
    }

    /// The stream's codec.
    pub(super) fn codec_id(&self) -> Id {
        match self {
            Self::Copied(copied) => copied.id,
            Self::Encoded(encoded) => encoded.id,
        }
    }

    /// To be called once the header is written: the muxer chooses its own time base.
    pub(super) fn header_written(&mut self, output: &Output) {
        match self {
            Self::Copied(copied) => copied.header_written(output),
            Self::Encoded(encoded) => encoded.track.header_written(output),
        }
    }

    /// Writes audio until `seconds` are written, or to its end.
    pub(super) fn write_until(&mut self, output: &mut Output, seconds: f64) -> Result<()> {
        match self {
            Self::Copied(copied) => copied.write_until(output, seconds),
            Self::Encoded(encoded) => encoded.write_until(output, seconds),
        }
    }

    /// Writes the rest.
    pub(super) fn finish(&mut self, output: &mut Output) -> Result<()> {
        self.write_until(output, f64::INFINITY)?;
        match self {
            Self::Copied(_) => Ok(()),
            Self::Encoded(encoded) => encoded.track.finish(output),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use ff::format;

    use super::*;

    /// Runs the ffmpeg program and returns its stdout.
    fn run(program: &str, folder: &Path, args: &[&str]) -> Vec<u8> {
        let output = Command::new(program)
            .args(["-v", "error"])
            .args(args)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    }

    /// Puts an audio file into a container. Returns the stream's codec, when its loudest sample is and how long it lasts,
    /// in seconds, and when the loudest sample of a second stream is, which is always encoded.
    fn put_into(container: Container, folder: &Path, from: &str) -> (String, f64, f64, f64) {
        let audio = AudioFile::open(&folder.join(from), None).unwrap();
        let path = folder.join("clip");
        let mut output = format::output_as(&path, container.format_name()).unwrap();
        let mut tracks = [None, Some(96_000)]
            .map(|bits| AudioTrack::add(&mut output, container, &audio, bits).unwrap());
        output.write_header().unwrap();
        for track in &mut tracks {
            track.header_written(&output);
        }
        for seconds in [0.7, 1.4, f64::INFINITY] {
            for track in &mut tracks {
                track.write_until(&mut output, seconds).unwrap();
            }
        }
        for track in &mut tracks {
            track.finish(&mut output).unwrap();
        }
        output.write_trailer().unwrap();
        drop(output);
        let loudest = |stream: &str| {
            // Silence up to the first timestamp, so that a sample's position is its time in the clip.
            let times = [
                "-af",
                "aresample=async=1:first_pts=0",
                "-ac",
                "1",
                "-ar",
                "48000",
            ];
            let wanted = ["-copyts", "-i", "clip", "-map", stream];
            let raw = ["-f", "f32le", "-"];
            let bytes = run("ffmpeg", folder, &[&wanted[..], &times, &raw].concat());
            let samples = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            let samples: Vec<f32> = samples.collect();
            let louder = |a: &usize, b: &usize| samples[*a].abs().total_cmp(&samples[*b].abs());
            let at = (0..samples.len()).max_by(louder).unwrap();
            (at as f64 / 48_000.0, samples.len() as f64 / 48_000.0)
        };
        let ((at, lasts), (at_encoded, _)) = (loudest("0:a:0"), loudest("0:a:1"));
        fs::remove_file(&path).unwrap();
        let [track, _] = tracks;
        (track.codec_id().name().into(), at, lasts, at_encoded)
    }

    #[test]
    fn audio_is_copied_if_the_container_holds_it_and_else_encoded() {
        use Container::{Mkv, Mov, Mp4, WebM};
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let click = "aevalsrc='if(between(t,1.5,1.502),0.9,0)':s=48000:d=3";
        run("ffmpeg", folder, &["-f", "lavfi", "-i", click, "in.wav"]);
        for file in ["in.mp3", "in.m4a", "in.flac", "in.ogg", "in.opus"] {
            run("ffmpeg", folder, &["-i", "in.wav", file]);
        }
        run(
            "ffmpeg",
            folder,
            &["-i", "in.wav", "-ar", "8000", "low.mp3"],
        );
        run("ffmpeg", folder, &["-i", "in.wav", "-ac", "6", "six.flac"]);
        let vorbis = ["-i", "in.wav", "-c:a", "libvorbis", "in.webm"];
        run("ffmpeg", folder, &vorbis);
        for (from, container, codec) in [
            ("in.wav", Mp4, "aac"),
            ("in.wav", Mov, "pcm_s16le"),
            ("in.wav", Mkv, "pcm_s16le"),
            ("in.wav", WebM, "opus"),
            ("in.mp3", Mp4, "aac"),
            ("in.mp3", Mov, "aac"),
            ("in.mp3", Mkv, "mp3"),
            ("in.mp3", WebM, "opus"),
            ("low.mp3", Mp4, "aac"),
            ("in.m4a", Mp4, "aac"),
            ("in.m4a", Mov, "aac"),
            ("in.m4a", Mkv, "aac"),
            ("in.m4a", WebM, "opus"),
            ("in.flac", Mp4, "aac"),
            ("in.flac", Mkv, "flac"),
            ("in.ogg", Mp4, "aac"),
            // FFmpeg's timestamps of Vorbis in Ogg are off by some milliseconds at the beginning.
            ("in.ogg", Mkv, "aac"),
            ("in.ogg", WebM, "opus"),
            ("in.webm", Mkv, "vorbis"),
            ("in.webm", WebM, "vorbis"),
            ("in.opus", Mp4, "aac"),
            ("in.opus", Mov, "aac"),
            ("in.opus", Mkv, "opus"),
            ("in.opus", WebM, "opus"),
            ("six.flac", WebM, "opus"),
        ] {
            let (name, at, lasts, at_encoded) = put_into(container, folder, from);
            let what = format!("{from} in {container}");
            assert_eq!(name, codec, "{what}");
            // FFmpeg's Matroska begins with the samples that a decoder drops, which delays all streams. It ignores the
            // 6.5 ms of Opus, so streams are off by that much.
            let (late, off) = match container {
                Mkv | WebM => (0.026, 0.008),
                _ => (0.0, 0.005),
            };
            assert!(
                (at - at_encoded).abs() < off,
                "{what}: at {at}, not {at_encoded}"
            );
            assert!((-off..late + off).contains(&(at - 1.5)), "{what}: at {at}");
            // A frame of AAC lasts 128 ms at 8 kHz.
            assert!((lasts - 3.0).abs() < 0.13, "{what}: {lasts} s");
        }
    }
}
