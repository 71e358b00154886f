//! An audio file -> samples, streamed: as they are for the clip, and as 16 kHz mono for the networks.
//!
//! hound reads plain WAV files; FFmpeg decodes all others.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::checks::{became_shorter, check_format, open_file, unreadable};
use super::ffmpeg::{self, PacketReader};
use super::mel::SPEECH_RATE;
use super::resampler::{self, Resampler};
use super::wav::WavReader;
use crate::error::plain_io;

/// Samples per channel that are read from a file at a time.
const READ_FRAMES: u64 = 4096;

/// Samples are clamped to this, 18 dB above full scale: float files may hold any number.
const MAX_LEVEL: f32 = 8.0;

/// An audio file, or the audio track of a video, whose length and format are known.
#[derive(Debug, Clone)]
pub struct AudioFile {
    path: PathBuf,
    /// Samples per second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// Samples per channel that are to be read.
    pub frames: u64,
    /// Whether hound reads the file, and not FFmpeg.
    is_plain_wav: bool,
    /// Timestamp of the first sample, if the file's packets can be copied unchanged.
    packet_origin: Option<i64>,
}

impl AudioFile {
    /// Opens an audio file, or a video with an audio track, and checks that it is complete.
    ///
    /// `limit` cuts the audio off after that many seconds. Only a plain WAV file states its exact length; all others
    /// are decoded once to find it.
    pub fn open(path: &Path, limit: Option<f64>) -> Result<Self> {
        let wav = WavReader::open(path, open_file(path)?)?;
        let is_plain_wav = wav.is_some();
        let probe = match wav {
            Some(wav) => {
                check_format(path, wav.rate(), wav.channels())?;
                ffmpeg::Probe {
                    rate: wav.rate(),
                    channels: wav.channels(),
                    frames: wav.frames(),
                    origin: 0,
                    gapless: true,
                }
            }
            None => ffmpeg::probe(path, limit)?,
        };
        if probe.frames == 0 {
            return Err(unreadable(path)
                .because("it has no samples")
                .hint("record or export it again")
                .into());
        }
        let max_frames = limit.map_or(u64::MAX, |seconds| {
            ((seconds * f64::from(probe.rate)).round() as u64).max(1)
        });
        Ok(Self {
            path: path.to_owned(),
            rate: probe.rate,
            channels: probe.channels,
            frames: probe.frames.min(max_frames),
            is_plain_wav,
            packet_origin: (probe.gapless && limit.is_none()).then_some(probe.origin),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate)
    }

    /// Samples per channel after resampling to `rate`.
    pub fn frames_at(&self, rate: u32) -> u64 {
        resampler::resampled_len(self.frames, self.rate, rate)
    }

    /// Reads all channels at `rate` samples per second.
    pub fn reader(&self, rate: u32) -> Result<AudioReader> {
        AudioReader::new(self, self.channels, rate)
    }

    /// Reads a range of samples, all channels, at the file's own rate.
    pub fn slice(&self, samples: Range<u64>) -> Result<AudioReader> {
        let mut reader = self.reader(self.rate)?;
        reader.skip = samples.start;
        reader.left = samples.end.min(self.frames);
        Ok(reader)
    }

    /// Reads what the networks take: mono (the mean of the channels) at [`SPEECH_RATE`].
    pub fn speech(&self) -> Result<AudioReader> {
        AudioReader::new(self, 1, SPEECH_RATE)
    }

    /// The packets as the file stores them. None if the audio has to be decoded, because `limit` shortens it or there
    /// are gaps between the packets.
    pub fn packets(&self) -> Result<Option<PacketReader>> {
        let open = |origin| PacketReader::open(&self.path, origin, self.frames, self.rate);
        self.packet_origin.map(open).transpose()
    }
}

/// Reads the samples of an [`AudioFile`] from its start, in pieces.
pub struct AudioReader {
    path: PathBuf,
    source: Source,
    /// Channels in the file.
    channels: usize,
    /// Samples per channel still to read from the file.
    left: u64,
    /// Samples per channel to read and drop.
    skip: u64,
    /// Whether to return the mean of all channels.
    mono: bool,
    resampler: Option<Resampler>,
    scratch: Vec<f32>,
}

/// What decodes the file.
enum Source {
    Wav(WavReader),
    Decoder(Box<ffmpeg::Decoder>),
}

impl Source {
    fn open(audio: &AudioFile) -> Result<Self> {
        if audio.is_plain_wav
            && let Some(reader) = WavReader::open(&audio.path, open_file(&audio.path)?)?
        {
            return Ok(Self::Wav(reader));
        }
        Ok(Self::Decoder(Box::new(ffmpeg::Decoder::open(&audio.path)?)))
    }
}

impl AudioReader {
    fn new(audio: &AudioFile, channels: u16, rate: u32) -> Result<Self> {
        let resampler = (rate != audio.rate)
            .then(|| Resampler::new(audio.rate, rate, usize::from(channels)))
            .transpose()?;
        Ok(Self {
            path: audio.path.clone(),
            source: Source::open(audio)?,
            channels: audio.channels.into(),
            left: audio.frames,
            skip: 0,
            mono: channels < audio.channels,
            resampler,
            scratch: Vec::new(),
        })
    }

    /// Appends the next samples, interleaved, -1..1, to `out`. Returns false once the end is reached.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        self.fill_scratch()?;
        let skipped = self.skip.min((self.scratch.len() / self.channels) as u64);
        self.skip -= skipped;
        self.scratch.drain(..skipped as usize * self.channels);
        if self.mono {
            mix_to_mono(&mut self.scratch, self.channels);
        }
        match &mut self.resampler {
            None => out.extend_from_slice(&self.scratch),
            Some(resampler) => {
                resampler.push(&self.scratch, out)?;
                if self.left == 0 {
                    resampler.finish(out)?;
                }
            }
        }
        Ok(self.left > 0)
    }

    /// Reads the file's next samples, all channels, into `scratch`.
    fn fill_scratch(&mut self) -> Result<()> {
        self.scratch.clear();
        let more = match &mut self.source {
            Source::Wav(reader) => reader
                .read(self.left.min(READ_FRAMES), &mut self.scratch)
                .map_err(|e| match e {
                    // An I/O error; hound's own errors mean that the file ended early.
                    hound::Error::IoError(io) if io.raw_os_error().is_some() => {
                        unreadable(&self.path).because(plain_io(&io))
                    }
                    _ => became_shorter(&self.path),
                })?,
            Source::Decoder(decoder) => decoder.read(&mut self.scratch)?,
        };
        if !more && self.left > 0 {
            return Err(became_shorter(&self.path).into());
        }
        let frames = self.left.min((self.scratch.len() / self.channels) as u64);
        self.scratch.truncate(frames as usize * self.channels);
        self.left -= frames;
        for sample in &mut self.scratch {
            *sample = if sample.is_finite() {
                sample.clamp(-MAX_LEVEL, MAX_LEVEL)
            } else {
                0.0
            };
        }
        Ok(())
    }
}

/// Replaces interleaved channels with their mean, in place.
fn mix_to_mono(samples: &mut Vec<f32>, channels: usize) {
    let frames = samples.len() / channels;
    for i in 0..frames {
        let sum: f32 = samples[i * channels..(i + 1) * channels].iter().sum();
        samples[i] = sum / channels as f32;
    }
    samples.truncate(frames);
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
            (0..4000).map(|i| if i % 2 == 0 { 0.5 } else { -0.25 }),
        );
        assert!(speech(&path).iter().all(|&s| s == 0.125));
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
