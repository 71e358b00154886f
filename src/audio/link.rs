//! One of the files that an audio file was joined from: its format and length, and its samples in the format of the whole.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::checks::{Truncated, became_shorter, check_format, truncated, unreadable};
use super::ffmpeg::{self, Medium};
use super::links::Link;
use super::mix::MixMeter;
use super::resampler::{Resampler, resampled_len};
use super::source::Section;
use super::wav::{self, WavReader};
use super::wav_chunks::WavChunks;
use crate::error::plain_io;

/// Samples per channel that are read from a file at a time.
const READ_FRAMES: u64 = 4096;
/// Samples are clamped to this, 18 dB above full scale: float files may hold any number.
const MAX_LEVEL: f32 = 8.0;
/// Stretches of 0.1 s of a WAV file whose levels are measured. If they are all quiet, the whole file is measured.
const STRETCHES: u64 = 128;
/// Bytes of tags that may follow Ogg pages without a warning.
const MAX_TAG: u64 = 1024;
/// Seconds of sound that may follow the samples without a warning.
const MAX_UNUSED: f64 = 0.05;

/// A link whose format and length are known.
#[derive(Debug, Clone)]
pub(super) struct LinkFile {
    medium: Medium,
    /// What hound reads; FFmpeg reads it if none.
    plain: Option<PlainWav>,
    /// Samples per second.
    pub(super) rate: u32,
    /// Interleaved channels.
    pub(super) channels: u16,
    /// Samples per channel.
    pub(super) frames: u64,
    /// Timestamp of the first sample, if the packets can be copied unchanged.
    pub(super) packet_origin: Option<i64>,
    /// What was measured of the channels.
    pub(super) meter: MixMeter,
    /// Whether it ends before its header says.
    pub(super) is_truncated: bool,
}

/// A WAV file that hound reads.
#[derive(Debug, Clone)]
struct PlainWav {
    /// The file in which `chunks` says where the samples are.
    section: Section,
    chunks: Arc<WavChunks>,
}

impl LinkFile {
    /// Finds out what `link` of the file `medium` holds, and adds to `warnings`. FFmpeg decodes it for that, at most for
    /// `limit` seconds; a plain WAV file states its length.
    pub(super) fn open(
        mut medium: Medium,
        link: Link,
        limit: Option<f64>,
        cut_off: Truncated,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let section = medium.section.clone();
        medium.section = section.part(link.range);
        let mut is_truncated = false;
        if link.wav.is_none() && link.unused > MAX_TAG {
            warnings.push(format!(
                "{} bytes at the end of `{}` are not used: they are no Ogg pages",
                link.unused,
                medium.path.display()
            ));
        }
        if let Some(chunks) = link.wav {
            is_truncated = chunks.stated.is_some();
            check_chunks(&medium.path, &chunks, cut_off, warnings)?;
            medium.is_endless = chunks.is_endless;
            if let Some(wav) = WavReader::open(&section, &chunks) {
                return Self::plain(medium, section, chunks, &wav, limit);
            }
        }
        let probe = ffmpeg::probe(&medium, limit, cut_off)?;
        warnings.extend(probe.warnings);
        Ok(Self {
            medium,
            plain: None,
            rate: probe.rate,
            channels: probe.channels,
            frames: probe.frames,
            packet_origin: probe.gapless.then_some(probe.origin),
            meter: probe.meter,
            is_truncated: is_truncated || probe.is_truncated,
        })
    }

    fn plain(
        medium: Medium,
        section: Section,
        chunks: WavChunks,
        wav: &WavReader,
        limit: Option<f64>,
    ) -> Result<Self> {
        let (rate, channels) = (wav.rate(), wav.channels());
        check_format(&medium.path, rate, channels)?;
        let mut file = Self {
            meter: MixMeter::new(channels, wav::speakers(&chunks.format), rate),
            rate,
            channels,
            frames: wav.frames(),
            is_truncated: chunks.stated.is_some(),
            // FFmpeg reads the first data chunk only.
            packet_origin: (chunks.data.len() == 1).then_some(0),
            plain: Some(PlainWav {
                section,
                chunks: Arc::new(chunks),
            }),
            medium,
        };
        let limit = limit.map_or(u64::MAX, |seconds| {
            (seconds * f64::from(rate)).ceil() as u64
        });
        file.measure(file.frames.min(limit))?;
        Ok(file)
    }

    /// Measures the first `frames` samples of a plain WAV file, or stretches of them.
    fn measure(&mut self, frames: u64) -> Result<()> {
        let Some(plain) = self.plain.clone() else {
            return Ok(());
        };
        let stretch = u64::from(self.rate / 10).max(1);
        let unmeasured = self.meter.clone();
        if frames > STRETCHES * stretch {
            for n in 0..STRETCHES {
                let first = n * (frames - stretch) / (STRETCHES - 1);
                self.add_to_meter(&plain, first, stretch)?;
            }
            if !self.meter.is_quiet() {
                return Ok(());
            }
        }
        self.meter = unmeasured;
        self.add_to_meter(&plain, 0, frames)
    }

    fn add_to_meter(&mut self, plain: &PlainWav, first: u64, frames: u64) -> Result<()> {
        let opened = WavReader::open_at(&plain.section, &plain.chunks, first, frames);
        let Some(mut wav) = opened else {
            return Ok(());
        };
        let mut samples = Vec::new();
        loop {
            samples.clear();
            let more = wav
                .read(READ_FRAMES, &mut samples)
                .map_err(|e| read_error(&self.medium.path, e))?;
            if !more {
                return Ok(());
            }
            make_finite(&mut samples);
            self.meter.add(&samples);
        }
    }

    /// What FFmpeg reads to copy its packets.
    pub(super) fn medium(&self) -> &Medium {
        &self.medium
    }

    /// Reads all of it, converted to this sample rate and number of channels.
    pub(super) fn reader(&self, rate: u32, channels: u16) -> Result<LinkReader> {
        let plain = self.plain.as_ref();
        let wav = plain.and_then(|plain| WavReader::open(&plain.section, &plain.chunks));
        let source = match wav {
            Some(wav) => Source::Wav(wav),
            None => Source::Decoder(Box::new(ffmpeg::Decoder::open(&self.medium)?)),
        };
        let resampler = (rate != self.rate)
            .then(|| Resampler::new(self.rate, rate, channels.into()))
            .transpose()?;
        Ok(LinkReader {
            source,
            from: self.channels.into(),
            to: channels.into(),
            left: self.frames,
            resampler,
            samples: Vec::new(),
        })
    }

    /// Samples per channel after conversion to `rate`.
    pub(super) fn frames_at(&self, rate: u32) -> u64 {
        resampled_len(self.frames, self.rate, rate)
    }
}

/// Fails, or warns, if the header and the samples do not fit.
fn check_chunks(
    path: &Path,
    chunks: &WavChunks,
    cut_off: Truncated,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let (len, unused) = (chunks.len(), chunks.unused);
    if let Some(stated) = chunks.stated {
        let why =
            format!("its header says {stated} bytes of samples, but the file ends after {len}");
        warnings.extend(truncated(path, &why, cut_off)?);
    }
    let seconds = unused as f64 / chunks.bytes_per_second() as f64;
    if seconds > MAX_UNUSED {
        warnings.push(format!(
            "{} bytes after the samples of `{}` are not used: its header says {len} bytes of samples; if the rest is sound too, it lasts {seconds:.2} s",
            unused,
            path.display()
        ));
    }
    Ok(())
}

/// Reads the samples of a link from its start, in pieces.
pub(super) struct LinkReader {
    source: Source,
    /// Channels in the link.
    from: usize,
    /// Channels that are returned.
    to: usize,
    /// Samples per channel still to read.
    left: u64,
    resampler: Option<Resampler>,
    samples: Vec<f32>,
}

/// What decodes the file.
enum Source {
    Wav(WavReader),
    Decoder(Box<ffmpeg::Decoder>),
}

impl LinkReader {
    /// Appends the next samples, interleaved, -1..1, to `out`. Returns false once the end is reached.
    pub(super) fn read(&mut self, path: &Path, out: &mut Vec<f32>) -> Result<bool> {
        self.samples.clear();
        let more = match &mut self.source {
            Source::Wav(reader) => reader
                .read(self.left.min(READ_FRAMES), &mut self.samples)
                .map_err(|e| read_error(path, e))?,
            Source::Decoder(decoder) => decoder.read(&mut self.samples)?,
        };
        if !more && self.left > 0 {
            return Err(became_shorter(path).into());
        }
        let frames = self.left.min((self.samples.len() / self.from) as u64);
        self.samples.truncate(frames as usize * self.from);
        self.left -= frames;
        make_finite(&mut self.samples);
        if self.from != self.to {
            self.samples = with_channels(&self.samples, self.from, self.to);
        }
        match &mut self.resampler {
            None => out.extend_from_slice(&self.samples),
            Some(resampler) => {
                resampler.push(&self.samples, out)?;
                if self.left == 0 {
                    resampler.finish(out)?;
                }
            }
        }
        Ok(self.left > 0)
    }
}

/// An I/O error; hound's own errors mean that the file ended early.
fn read_error(path: &Path, error: hound::Error) -> anyhow::Error {
    match error {
        hound::Error::IoError(io) if io.raw_os_error().is_some() => {
            unreadable(path).because(plain_io(&io)).into()
        }
        _ => became_shorter(path).into(),
    }
}

fn make_finite(samples: &mut [f32]) {
    for sample in samples {
        *sample = if sample.is_finite() {
            sample.clamp(-MAX_LEVEL, MAX_LEVEL)
        } else {
            0.0
        };
    }
}

/// Interleaved samples with another number of channels: their mean, on the first two channels.
fn with_channels(samples: &[f32], from: usize, to: usize) -> Vec<f32> {
    let frames = samples.chunks_exact(from);
    frames
        .flat_map(|frame| {
            let mean = frame.iter().sum::<f32>() / from as f32;
            (0..to).map(move |channel| if channel < 2 { mean } else { 0.0 })
        })
        .collect()
}
