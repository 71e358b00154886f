//! A sound file -> samples, streamed: its own sound for the clip, and 16 kHz mono for the networks.

mod resampler;

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

use anyhow::Result;
use hound::{SampleFormat, WavReader};

pub use resampler::Resampler;

use crate::error::{Fault, plain_io};

/// Samples a second that the networks hear.
pub const SPEECH_RATE: u32 = 16_000;

/// Samples read from a file at a time.
const READ_FRAMES: usize = 4096;

/// A sound file whose header was checked: what it holds, and readers over it.
#[derive(Debug, Clone)]
pub struct Sound {
    path: PathBuf,
    /// Samples a second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// Samples of each channel that are to be read.
    pub frames: u64,
}

impl Sound {
    /// Opens a WAV file and checks that all it promises is there.
    ///
    /// `limit`, in seconds, shortens the sound.
    pub fn open(path: &Path, limit: Option<f64>) -> Result<Self> {
        let reader = open_wav(path)?;
        let spec = reader.spec();
        let fault = || Fault::failed(format!("cannot read audio `{}`", path.display()));
        if !(4_000..=384_000).contains(&spec.sample_rate) || !(1..=8).contains(&spec.channels) {
            return Err(fault()
                .because(format!(
                    "its header says {} Hz and {} channels; 4000 to 384000 Hz and 1 to 8 channels can be read",
                    spec.sample_rate, spec.channels
                ))
                .into());
        }
        let mut frames = u64::from(reader.duration());
        if frames == 0 {
            return Err(fault()
                .because("it holds no samples")
                .hint("record or export it again")
                .into());
        }
        let block = u64::from(spec.channels) * u64::from(spec.bits_per_sample.div_ceil(8));
        let mut inner = reader.into_inner();
        let io = |e: std::io::Error| fault().because(plain_io(&e));
        let start = inner.stream_position().map_err(io)?;
        let size = inner.get_ref().metadata().map_err(io)?.len();
        let (promised, there) = (frames * block, size.saturating_sub(start));
        if there < promised {
            return Err(fault()
                .because(format!(
                    "its header promises {promised} bytes of samples, the file ends after {there}"
                ))
                .hint("the file looks cut off; export or copy it again")
                .into());
        }
        if let Some(seconds) = limit {
            let most = (seconds * f64::from(spec.sample_rate)).round() as u64;
            frames = frames.min(most.max(1));
        }
        Ok(Self {
            path: path.to_owned(),
            rate: spec.sample_rate,
            channels: spec.channels,
            frames,
        })
    }

    /// The file it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate)
    }

    /// Samples of the sound once it is resampled to `rate`.
    pub fn frames_at(&self, rate: u32) -> u64 {
        resampler::resampled_len(self.frames, self.rate, rate)
    }

    /// The sound as it is, at `rate` samples a second.
    pub fn reader(&self, rate: u32) -> Result<SoundReader> {
        SoundReader::new(self, self.channels, rate)
    }

    /// The sound as the networks hear it: mono (the mean of the channels), [`SPEECH_RATE`].
    pub fn speech(&self) -> Result<SoundReader> {
        SoundReader::new(self, 1, SPEECH_RATE)
    }
}

/// Reads a [`Sound`] from its start in pieces.
pub struct SoundReader {
    path: PathBuf,
    wav: WavReader<BufReader<File>>,
    /// Samples of each channel still to read from the file.
    left: u64,
    /// Mean of all channels wanted.
    mono: bool,
    resampler: Option<Resampler>,
    scratch: Vec<f32>,
}

impl SoundReader {
    fn new(sound: &Sound, channels: u16, rate: u32) -> Result<Self> {
        let resampler = (rate != sound.rate)
            .then(|| Resampler::new(sound.rate, rate, usize::from(channels)))
            .transpose()?;
        Ok(Self {
            path: sound.path.clone(),
            wav: open_wav(&sound.path)?,
            left: sound.frames,
            mono: channels < sound.channels,
            resampler,
            scratch: Vec::new(),
        })
    }

    /// Appends the next samples, interleaved, -1..1, to `out`. Returns false once the end was reached.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let frames = self.left.min(READ_FRAMES as u64) as usize;
        self.left -= frames as u64;
        self.scratch.clear();
        read_samples(&mut self.wav, frames, &mut self.scratch).map_err(|e| {
            Fault::failed(format!("cannot read audio `{}`", self.path.display())).because(e)
        })?;
        if self.mono {
            mix_to_mono(&mut self.scratch, usize::from(self.wav.spec().channels));
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
}

/// Reads the header of a WAV file.
fn open_wav(path: &Path) -> Result<WavReader<BufReader<File>>> {
    let fault = || Fault::failed(format!("cannot read audio `{}`", path.display()));
    let file = File::open(path).map_err(|e| fault().because(plain_io(&e)))?;
    if path.is_dir() {
        return Err(fault().because("it is a folder, not a sound file").into());
    }
    let size = file.metadata().map_or(0, |m| m.len());
    if size == 0 {
        return Err(fault()
            .because("the file is empty (0 bytes)")
            .hint("record or export it again")
            .into());
    }
    Ok(WavReader::new(BufReader::new(file)).map_err(|e| {
        let (cause, hint) = match e {
            hound::Error::FormatError("no RIFF tag found") => (
                "it is not a WAV file".to_owned(),
                format!(
                    "convert it: ffmpeg -i {} -ar 16000 speech.wav",
                    quoted(path)
                ),
            ),
            hound::Error::IoError(ref io) => (
                format!("its header is cut off after {size} bytes ({io})"),
                "export or copy it again".to_owned(),
            ),
            hound::Error::Unsupported => (
                "this kind of WAV is not known (8, 16, 24 or 32 bit PCM and 32 bit float are)"
                    .to_owned(),
                format!(
                    "convert it: ffmpeg -i {} -c:a pcm_s16le speech.wav",
                    quoted(path)
                ),
            ),
            other => (
                other.to_string(),
                "export it again as 16-bit WAV".to_owned(),
            ),
        };
        fault().because(cause).hint(hint)
    })?)
}

/// The path as a shell reads it back.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Appends `frames` samples of every channel, interleaved, scaled to -1..1 (16-bit: divided by 32768).
fn read_samples(
    wav: &mut WavReader<BufReader<File>>,
    frames: usize,
    out: &mut Vec<f32>,
) -> Result<(), hound::Error> {
    let spec = wav.spec();
    let count = frames * usize::from(spec.channels);
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in wav.samples::<f32>().take(count) {
                out.push(sample?);
            }
        }
        SampleFormat::Int => {
            let scale = 1.0 / (1_u64 << (spec.bits_per_sample - 1)) as f32;
            for sample in wav.samples::<i32>().take(count) {
                out.push(sample? as f32 * scale);
            }
        }
    }
    Ok(())
}

/// Replaces interleaved channels by their mean, in place.
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
        let mut reader = Sound::open(path, None).unwrap().speech().unwrap();
        let mut out = Vec::new();
        while reader.read(&mut out).unwrap() {}
        out
    }

    #[test]
    fn every_kind_of_sample_reads_alike() {
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
    fn stereo_is_the_mean_not_a_channel() {
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
                let want = tone(i as f64 / 16_000.0);
                assert!(
                    (s - want).abs() < 2e-3,
                    "{rate} Hz, sample {i}: {s} for {want}"
                );
            }
        }
    }
}
