//! An audio file -> samples, streamed: as they are for the clip, and as 16 kHz mono for the networks.
//!
//! hound reads plain WAV files; FFmpeg decodes all others.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::checks::{ReadOptions, unreadable};
use super::ffmpeg::{Medium, PacketReader};
use super::joined::{mix, open_links, other_formats};
use super::link::LinkFile;
use super::links::{self, Link};
use super::mel::SPEECH_RATE;
use super::mix::Mix;
use super::reader::AudioReader;
use super::resampler;
use super::source::AudioSource;
use super::track::TrackInfo;

/// An audio file, or the audio track of a video, whose length and format are known.
#[derive(Debug, Clone)]
pub struct AudioFile {
    source: AudioSource,
    /// Samples per second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// Samples per channel that are to be read.
    pub frames: u64,
    /// The audio tracks of the file.
    pub tracks: Vec<TrackInfo>,
    /// Which of them this is.
    pub track: usize,
    /// What the user should know about it.
    pub warnings: Vec<String>,
    /// The files that were joined into it; most have one.
    links: Vec<LinkFile>,
    /// What the networks hear.
    mix: Mix,
    is_limited: bool,
}

impl AudioFile {
    /// Opens an audio file, or a video with an audio track, and checks that it is complete.
    ///
    /// `limit` cuts the audio off after that many seconds. Only a plain WAV file states its exact length; all others
    /// are decoded once to find it.
    pub fn open(path: &Path, limit: Option<f64>) -> Result<Self> {
        let options = ReadOptions {
            limit,
            ..ReadOptions::default()
        };
        Self::read(&AudioSource::file(path), options)
    }

    /// The same for any source.
    pub fn read(source: &AudioSource, options: ReadOptions) -> Result<Self> {
        let path = source.path();
        let mut warnings = Vec::new();
        let section = source.open()?;
        let found = links::find(&section, path)?;
        let mut medium = Medium {
            path: path.to_owned(),
            section,
            track: options.track,
            is_endless: false,
        };
        let (tracks, best) = tracks(&medium, &found)?;
        let track = options.track.unwrap_or(best);
        if tracks.len() > 1 {
            medium.track = Some(track);
        }
        let links = open_links(&medium, found, options, source, &mut warnings)?;
        let rate = links.iter().map(|link| link.rate).max().unwrap_or(0);
        let channels = links.iter().map(|link| link.channels).max().unwrap_or(0);
        let frames: u64 = links.iter().map(|link| link.frames_at(rate)).sum();
        if frames == 0 {
            return Err(unreadable(path)
                .because("it has no samples")
                .hint("record or export it again")
                .into());
        }
        warnings.extend(other_formats(path, &links, rate, channels));
        let mix = mix(path, &links, channels, &mut warnings);
        let max_frames = options.limit.map_or(u64::MAX, |seconds| {
            ((seconds * f64::from(rate)).round() as u64).max(1)
        });
        Ok(Self {
            source: source.clone(),
            rate,
            channels,
            frames: frames.min(max_frames),
            tracks,
            track,
            warnings,
            links,
            mix,
            is_limited: options.limit.is_some(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate)
    }

    /// How many files were joined into it.
    pub fn joined(&self) -> usize {
        self.links.len()
    }

    /// Whether it ends before its header says.
    pub fn is_truncated(&self) -> bool {
        self.links.iter().any(|link| link.is_truncated)
    }

    /// Samples per channel after resampling to `rate`.
    pub fn frames_at(&self, rate: u32) -> u64 {
        resampler::resampled_len(self.frames, self.rate, rate)
    }

    /// Reads all channels at `rate` samples per second.
    pub fn reader(&self, rate: u32) -> Result<AudioReader> {
        self.part(0..self.frames, None, rate)
    }

    /// Reads a range of samples, all channels, at the file's own rate.
    pub fn slice(&self, samples: Range<u64>) -> Result<AudioReader> {
        self.part(samples, None, self.rate)
    }

    /// Reads what the networks take: mono at [`SPEECH_RATE`].
    pub fn speech(&self) -> Result<AudioReader> {
        self.part(0..self.frames, Some(self.mix.clone()), SPEECH_RATE)
    }

    fn part(&self, samples: Range<u64>, mix: Option<Mix>, to_rate: u32) -> Result<AudioReader> {
        let format = (self.rate, self.channels);
        let reader = AudioReader::new(self.path(), &self.links, format, mix, to_rate)?;
        Ok(reader.limited_to(samples.start..samples.end.min(self.frames)))
    }

    /// The packets as the file stores them. None if the audio has to be decoded, because a limit shortens it, there
    /// are gaps between the packets, or several files were joined.
    pub fn packets(&self) -> Result<Option<PacketReader>> {
        let [link] = self.links.as_slice() else {
            return Ok(None);
        };
        let origin = link.packet_origin.filter(|_| !self.is_limited);
        let open = |origin| PacketReader::open(link.medium(), origin, self.frames, self.rate);
        origin.map(open).transpose()
    }
}

/// The audio tracks of a file, and the one that FFmpeg prefers.
pub(super) fn tracks_of(source: &AudioSource) -> Result<(Vec<TrackInfo>, usize)> {
    let section = source.open()?;
    let found = links::find(&section, source.path())?;
    let medium = Medium {
        path: source.path().to_owned(),
        section,
        track: None,
        is_endless: false,
    };
    tracks(&medium, &found)
}

/// The audio tracks of a file, and which one to take. A WAV file has one; FFmpeg is not needed to know it.
fn tracks(medium: &Medium, links: &[Link]) -> Result<(Vec<TrackInfo>, usize)> {
    if links.iter().all(|link| link.wav.is_none()) {
        return medium.tracks();
    }
    let only = TrackInfo {
        index: 0,
        codec: "wav".into(),
        language: None,
        title: None,
        can_be_decoded: true,
    };
    Ok((vec![only], 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::SampleFormat;

    fn write(path: &Path, spec: hound::WavSpec, samples: impl Iterator<Item = f32>) {
        let mut wav = hound::WavWriter::create(path, spec).unwrap();
        for s in samples {
            match spec.sample_format {
                SampleFormat::Float => wav.write_sample(s).unwrap(),
                SampleFormat::Int => wav
                    .write_sample((s * (1_u64 << (spec.bits_per_sample - 1)) as f32) as i32)
                    .unwrap(),
            }
        }
        wav.finalize().unwrap();
    }

    fn speech(path: &Path) -> Vec<f32> {
        let mut reader = AudioFile::open(path, None).unwrap().speech().unwrap();
        let mut out = Vec::new();
        while reader.read(&mut out).unwrap() {}
        out
    }

    #[test]
    fn all_sample_formats_read_alike() {
        let dir = tempfile::tempdir().unwrap();
        let tone = |i: usize| (i as f32 * 0.05).sin() * 0.5;
        for (bits, format, tolerance) in [
            (8, SampleFormat::Int, 1e-2),
            (16, SampleFormat::Int, 4e-5),
            (24, SampleFormat::Int, 1e-6),
            (32, SampleFormat::Int, 1e-6),
            (32, SampleFormat::Float, 0.0),
        ] {
            let path = dir.path().join(format!("{bits}{format:?}.wav"));
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: SPEECH_RATE,
                bits_per_sample: bits,
                sample_format: format,
            };
            write(&path, spec, (0..2000).map(tone));
            let got = speech(&path);
            assert_eq!(got.len(), 2000);
            for (i, s) in got.iter().enumerate() {
                assert!(
                    (s - tone(i)).abs() <= tolerance,
                    "{bits} {format:?} {i}: {s}"
                );
            }
        }
    }

    #[test]
    fn slices_join_to_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stereo.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 44_100,
            bits_per_sample: 24,
            sample_format: SampleFormat::Int,
        };
        write(
            &path,
            spec,
            (0..60_000).map(|i| (i as f32 * 0.01).sin() * 0.9),
        );
        let audio = AudioFile::open(&path, None).unwrap();
        let read = |mut reader: AudioReader| {
            let mut out = Vec::new();
            while reader.read(&mut out).unwrap() {}
            out
        };
        let whole = read(audio.reader(audio.rate).unwrap());
        let mut joined = Vec::new();
        for edges in [0, 1, 4096, 9000, 25_000, 30_000].windows(2) {
            joined.extend(read(audio.slice(edges[0]..edges[1]).unwrap()));
            assert_eq!(joined.len() as u64, 2 * edges[1]);
        }
        assert_eq!(joined, whole);
    }

    #[test]
    fn stereo_becomes_the_mean_of_its_channels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stereo.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: SPEECH_RATE,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        write(
            &path,
            spec,
            (0..4000).map(|i| if i % 2 == 0 { 0.5 } else { -0.125 }),
        );
        assert!(speech(&path).iter().all(|&s| s == 0.1875));
    }

    #[test]
    fn other_rates_are_resampled_in_time_and_level() {
        let dir = tempfile::tempdir().unwrap();
        for rate in [8_000_u32, 22_050, 44_100, 48_000, 96_000] {
            let path = dir.path().join("tone.wav");
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 32,
                sample_format: SampleFormat::Float,
            };
            let tone = |t: f64| (0.5 * (std::f64::consts::TAU * 440.0 * t).sin()) as f32;
            write(
                &path,
                spec,
                (0..rate).map(|i| tone(f64::from(i) / f64::from(rate))),
            );
            let got = speech(&path);
            assert_eq!(got.len(), 16_000, "{rate} Hz");
            for (i, s) in got.iter().enumerate().skip(500).take(15_000) {
                let expected = tone(i as f64 / 16_000.0);
                assert!(
                    (s - expected).abs() < 2e-3,
                    "{rate} Hz, sample {i}: {s}, expected {expected}"
                );
            }
        }
    }
}
