//! A sound file -> samples, streamed: its own sound for the clip, and 16 kHz mono for the networks.
//!
//! hound reads plain WAV files; FFmpeg decodes all others.

mod encoder;
mod ffmpeg;
pub(crate) mod mel;
mod resampler;
pub(crate) mod voice_activity;
mod wav;
pub(crate) mod window;
pub(crate) mod window_reader;

pub use encoder::AudioEncoder;
pub use mel::{BANDS, HOP, MelSpectrogram, frame_count};
pub use window::{EMBEDDING_LEN, WINDOW_LEN, Windows};
pub use window_reader::WindowReader;

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

pub use ffmpeg::PacketReader;
pub use resampler::Resampler;
use wav::WavReader;

use crate::error::{Fault, plain_io};

/// Samples a second that the networks hear.
pub const SPEECH_RATE: u32 = 16_000;

/// Samples of each channel read from a file at a time.
const READ_FRAMES: u64 = 4096;

/// Greatest sample that is let through, 18 dB above full scale: float files may hold any number.
const LOUDEST: f32 = 8.0;

/// A sound file whose length and kind are known, and readers over it.
#[derive(Debug, Clone)]
pub struct AudioFile {
    path: PathBuf,
    /// Samples a second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// Samples of each channel that are to be read.
    pub frames: u64,
    /// Whether hound reads the file, not FFmpeg.
    plain: bool,
    /// Time stamp of the first sample in the file, if its packets can be copied as they are.
    copy_from: Option<i64>,
}

impl AudioFile {
    /// Opens a sound file, or a video with sound, and checks that all it promises is there.
    ///
    /// `limit`, in seconds, shortens the sound. Only a plain WAV file tells its exact length; others are decoded once for
    /// it.
    pub fn open(path: &Path, limit: Option<f64>) -> Result<Self> {
        let wav = WavReader::open(path, open_file(path)?)?;
        let plain = wav.is_some();
        let found = match wav {
            Some(wav) => {
                check_kind(path, wav.rate(), wav.channels())?;
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
        if found.frames == 0 {
            return Err(unreadable(path)
                .because("it holds no samples")
                .hint("record or export it again")
                .into());
        }
        let most = limit.map_or(u64::MAX, |seconds| {
            ((seconds * f64::from(found.rate)).round() as u64).max(1)
        });
        Ok(Self {
            path: path.to_owned(),
            rate: found.rate,
            channels: found.channels,
            frames: found.frames.min(most),
            plain,
            copy_from: (found.gapless && limit.is_none()).then_some(found.origin),
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
    pub fn reader(&self, rate: u32) -> Result<AudioReader> {
        AudioReader::new(self, self.channels, rate)
    }

    /// These samples of the sound, as they are.
    pub fn slice(&self, samples: Range<u64>) -> Result<AudioReader> {
        let mut reader = self.reader(self.rate)?;
        reader.skip = samples.start;
        reader.left = samples.end.min(self.frames);
        Ok(reader)
    }

    /// The sound as the networks hear it: mono (the mean of the channels), [`SPEECH_RATE`].
    pub fn speech(&self) -> Result<AudioReader> {
        AudioReader::new(self, 1, SPEECH_RATE)
    }

    /// The sound as its file stores it. None where it must be decoded to be right: it is shortened, or its packets have
    /// gaps between them.
    pub fn packets(&self) -> Result<Option<PacketReader>> {
        let open = |origin| PacketReader::open(&self.path, origin, self.frames, self.rate);
        self.copy_from.map(open).transpose()
    }
}

/// Reads a [`AudioFile`] from its start in pieces.
pub struct AudioReader {
    path: PathBuf,
    source: Source,
    /// Channels in the file.
    channels: usize,
    /// Samples of each channel still to read from the file.
    left: u64,
    /// Samples of each channel that are read and not given.
    skip: u64,
    /// Mean of all channels wanted.
    mono: bool,
    resampler: Option<Resampler>,
    scratch: Vec<f32>,
}

/// Where samples come from.
enum Source {
    Wav(WavReader),
    Decoder(Box<ffmpeg::Decoder>),
}

impl Source {
    fn open(sound: &AudioFile) -> Result<Self> {
        if sound.plain
            && let Some(reader) = WavReader::open(&sound.path, open_file(&sound.path)?)?
        {
            return Ok(Self::Wav(reader));
        }
        Ok(Self::Decoder(Box::new(ffmpeg::Decoder::open(&sound.path)?)))
    }
}

impl AudioReader {
    fn new(sound: &AudioFile, channels: u16, rate: u32) -> Result<Self> {
        let resampler = (rate != sound.rate)
            .then(|| Resampler::new(sound.rate, rate, usize::from(channels)))
            .transpose()?;
        Ok(Self {
            path: sound.path.clone(),
            source: Source::open(sound)?,
            channels: sound.channels.into(),
            left: sound.frames,
            skip: 0,
            mono: channels < sound.channels,
            resampler,
            scratch: Vec::new(),
        })
    }

    /// Appends the next samples, interleaved, -1..1, to `out`. Returns false once the end was reached.
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

    /// Reads the file's next samples, all channels, into the scratch.
    fn fill_scratch(&mut self) -> Result<()> {
        self.scratch.clear();
        let more = match &mut self.source {
            Source::Wav(reader) => reader
                .read(self.left.min(READ_FRAMES), &mut self.scratch)
                .map_err(|e| match e {
                    // An error of the system; hound's own say that the file has ended.
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
                sample.clamp(-LOUDEST, LOUDEST)
            } else {
                0.0
            };
        }
        Ok(())
    }
}

/// The beginning of each message about a sound.
fn unreadable(path: &Path) -> Fault {
    Fault::failed(format!("cannot read audio `{}`", path.display()))
}

fn became_shorter(path: &Path) -> Fault {
    unreadable(path)
        .because("it became shorter while it was read")
        .hint("wait until the file is complete, then render again")
}

/// Opens a file that has something in it.
fn open_file(path: &Path) -> Result<File> {
    let io = |e| unreadable(path).because(plain_io(&e));
    // Asked before it is opened: to open a pipe is to wait for somebody who writes into it.
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(unreadable(path)
            .because("it is a folder, not a sound file")
            .into());
    }
    if !metadata.is_file() {
        return Err(unreadable(path)
            .because("it is a pipe or a device; a sound is read more than once")
            .hint("write the sound to a file first")
            .into());
    }
    let file = File::open(path).map_err(io)?;
    if metadata.len() == 0 {
        return Err(unreadable(path)
            .because("the file is empty (0 bytes)")
            .hint("record or export it again")
            .into());
    }
    Ok(file)
}

/// Fails for rates and channels that the clip cannot carry.
fn check_kind(path: &Path, rate: u32, channels: u16) -> Result<()> {
    if (4_000..=384_000).contains(&rate) && (1..=8).contains(&channels) {
        return Ok(());
    }
    Err(unreadable(path)
        .because(format!(
            "its header says {rate} Hz and {channels} channels; 4000 to 384000 Hz and 1 to 8 channels can be read"
        ))
        .into())
}

/// The path as a shell reads it back.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
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
    fn slices_of_a_sound_are_the_sound() {
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
        let sound = AudioFile::open(&path, None).unwrap();
        let read = |mut reader: AudioReader| {
            let mut out = Vec::new();
            while reader.read(&mut out).unwrap() {}
            out
        };
        let whole = read(sound.reader(sound.rate).unwrap());
        let mut joined = Vec::new();
        for border in [0, 1, 4096, 9000, 25_000, 30_000].windows(2) {
            joined.extend(read(sound.slice(border[0]..border[1]).unwrap()));
            assert_eq!(joined.len() as u64, 2 * border[1]);
        }
        assert_eq!(joined, whole);
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
