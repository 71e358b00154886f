//! A sound: how it was recorded, where there is speech in it, and what will be heard as a fault.

mod picture;

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::media::{AudioStream, Media};
use super::{Row, counted, decibels, listed, rounded};
use crate::audio::voice_activity::VoiceActivity;
use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;
use crate::timeline::FrameRate;

/// Samples at full scale that follow each other in what is heard as clipping.
const CLIPPED_RUN: u64 = 3;
/// Clipped places that are listed.
const CLIPPED_LISTED: usize = 1000;

/// What was found in a sound.
#[derive(Debug, Serialize)]
pub(crate) struct AudioSurvey {
    #[serde(skip)]
    sound: AudioFile,
    /// FFmpeg's name of the container.
    pub container: String,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Bits of a sample, where the codec keeps samples as they are.
    pub bits: Option<u32>,
    /// Samples a second.
    pub rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// Length in seconds.
    pub seconds: f64,
    /// Frames of a clip of it at 25 frames a second.
    pub frames_at_25_fps: u64,
    /// Greatest sample, dBFS.
    pub peak_dbfs: f64,
    /// Root of the mean square over all channels, dBFS.
    pub rms_dbfs: f64,
    /// Mean of all samples, -1..1.
    pub dc_offset: f64,
    /// Samples at full scale.
    pub clipped_samples: u64,
    /// Times of runs of three and more of them, in seconds; the first thousand.
    pub clipped_at_s: Vec<f64>,
    /// Level of the speech, dBFS.
    pub speech_dbfs: f64,
    /// Level of what is between the words, dBFS.
    pub noise_dbfs: f64,
    /// Seconds with speech.
    pub speech_seconds: f64,
    /// Stretches of 300 ms and more without speech, `[start, end]` in seconds.
    pub pauses_s: Vec<[f64; 2]>,
    /// Seconds before the first word.
    pub silence_at_start_s: f64,
    /// Seconds after the last word.
    pub silence_at_end_s: f64,
}

impl AudioSurvey {
    pub(super) fn of(
        path: &Path,
        media: Media,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let sound = AudioFile::open(path, None)?;
        let (codec, bits) = media.audio.map_or(("unknown".to_owned(), None), |stream| {
            (stream.codec, stream.bits)
        });
        let samples = Samples::of(&sound, bits, cancel)?;
        let activity = VoiceActivity::of(&sound, cancel)?;
        let seconds = sound.seconds();
        let edge = |range: Option<&Range<f64>>, of: fn(&Range<f64>) -> f64| range.map(of);
        let first = edge(activity.speech.first(), |r| r.start).unwrap_or(seconds);
        let last = edge(activity.speech.last(), |r| r.end).unwrap_or(0.0);
        let survey = Self {
            container: media.container,
            codec,
            bits,
            rate_hz: sound.rate,
            channels: sound.channels,
            seconds: rounded(seconds),
            frames_at_25_fps: FrameRate::TRAINED.frames_covering(sound.frames, sound.rate),
            peak_dbfs: decibels(samples.peak),
            rms_dbfs: decibels(samples.rms()),
            dc_offset: rounded(samples.mean()),
            clipped_samples: samples.clipped,
            clipped_at_s: samples.runs.iter().map(|at| rounded(*at)).collect(),
            speech_dbfs: rounded(activity.speech_db),
            noise_dbfs: rounded(activity.noise_db),
            speech_seconds: rounded(activity.speech.iter().map(|r| r.end - r.start).sum()),
            pauses_s: activity
                .pauses()
                .iter()
                .map(|r| [rounded(r.start), rounded(r.end)])
                .collect(),
            silence_at_start_s: rounded(first),
            silence_at_end_s: rounded((seconds - last).max(0.0)),
            sound,
        };
        survey.judge(&samples, warnings);
        Ok(survey)
    }

    fn judge(&self, samples: &Samples, warnings: &mut Vec<String>) {
        let mut warn = |text: String| warnings.push(text);
        if !samples.runs.is_empty() {
            let times = samples.runs.iter().map(|at| format!("{at:.2} s"));
            warn(format!(
                "clipped: {} samples at full scale, {} of {CLIPPED_RUN} or more in a row, at {}",
                self.clipped_samples,
                counted(samples.runs.len(), "run"),
                listed(times)
            ));
        }
        if self.speech_seconds == 0.0 {
            warn("no speech was found: the mouth would stay closed".into());
        } else {
            if self.speech_dbfs < -40.0 {
                warn(format!(
                    "quiet: the speech lies at {:.0} dBFS; raise it to about -20 dBFS",
                    self.speech_dbfs
                ));
            }
            let above = self.speech_dbfs - self.noise_dbfs;
            if above < 15.0 {
                warn(format!(
                    "noisy: the speech lies only {above:.0} dB above the noise, which may move the mouth"
                ));
            }
        }
        if self.dc_offset.abs() > 0.01 {
            warn(format!(
                "DC offset: the samples' mean is {:+.3} instead of 0",
                self.dc_offset
            ));
        }
        if self.rate_hz < SPEECH_RATE {
            warn(format!(
                "{} Hz holds nothing above {} Hz; the networks were trained with {SPEECH_RATE} Hz",
                self.rate_hz,
                self.rate_hz / 2
            ));
        }
        if samples.mix_loss() > 6.0 {
            warn(format!(
                "the channels cancel each other: their mean, which the networks hear, is {:.0} dB quieter",
                samples.mix_loss()
            ));
        }
        for (channel, square) in samples.squares.iter().enumerate() {
            let loudest = samples.squares.iter().copied().fold(0.0, f64::max);
            if loudest > 0.0 && square * 1e5 < loudest {
                warn(format!(
                    "channel {} of {} is silent: the networks hear the mean of all channels",
                    channel + 1,
                    self.channels
                ));
            }
        }
        if self.seconds < 0.64 {
            warn(format!(
                "short: {:.2} s is less than the 0.64 s that the networks look at at once",
                self.seconds
            ));
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let pauses = self.pauses_s.iter();
        let pauses = listed(pauses.map(|[start, end]| format!("{start:.2}-{end:.2}")));
        let clipped = match self.clipped_samples {
            0 => "none".into(),
            n => format!(
                "{n} samples at full scale, {} of {CLIPPED_RUN} or more",
                counted(self.clipped_at_s.len(), "run")
            ),
        };
        vec![
            (
                "format",
                format!(
                    "{}, {}, {} Hz, {}",
                    self.container,
                    codec_words(&self.codec, self.bits),
                    self.rate_hz,
                    counted(usize::from(self.channels), "channel")
                ),
            ),
            (
                "length",
                format!(
                    "{:.3} s: {} at 25 fps",
                    self.seconds,
                    counted(self.frames_at_25_fps as usize, "frame")
                ),
            ),
            (
                "level",
                format!(
                    "peak {:.1} dBFS, mean (RMS) {:.1} dBFS, DC offset {:+.3}",
                    self.peak_dbfs, self.rms_dbfs, self.dc_offset
                ),
            ),
            ("clipping", clipped),
            (
                "speech",
                format!(
                    "{:.2} s at {:.0} dBFS, noise between the words {:.0} dBFS",
                    self.speech_seconds, self.speech_dbfs, self.noise_dbfs
                ),
            ),
            (
                "silence",
                format!(
                    "{:.2} s at the start, {:.2} s at the end",
                    self.silence_at_start_s, self.silence_at_end_s
                ),
            ),
            (
                "pauses",
                match self.pauses_s.len() {
                    0 => "none of 0.3 s or more".into(),
                    n => format!("{n} of 0.3 s or more, in seconds: {pauses}"),
                },
            ),
        ]
    }

    pub(super) fn draw(
        &self,
        path: &str,
        warnings: &[String],
        cancel: &Cancel,
    ) -> Result<RgbImage> {
        picture::draw(self, path, warnings, cancel)
    }
}

/// A sound stream in a few words: `aac, 44100 Hz, 2 channels`.
pub(super) fn stream_words(stream: &AudioStream) -> String {
    format!(
        "{}, {} Hz, {}",
        codec_words(&stream.codec, stream.bits),
        stream.rate,
        counted(usize::from(stream.channels), "channel")
    )
}

fn codec_words(codec: &str, bits: Option<u32>) -> String {
    match bits {
        Some(bits) => format!("{codec} ({bits} bit)"),
        None => codec.to_owned(),
    }
}

/// What all samples of a sound together say.
#[derive(Debug, Default)]
struct Samples {
    /// Samples of each channel.
    count: u64,
    peak: f64,
    /// Sum over all channels.
    sum: f64,
    /// Sum of squares of each channel.
    squares: Vec<f64>,
    /// Sum of squares of the channels' mean.
    mixed: f64,
    clipped: u64,
    /// Starts of clipped runs in seconds.
    runs: Vec<f64>,
}

impl Samples {
    fn of(sound: &AudioFile, bits: Option<u32>, cancel: &Cancel) -> Result<Self> {
        let channels = usize::from(sound.channels);
        // The greatest positive sample of 8 bits is 127/128.
        let steps = f64::from(1_u32 << (bits.unwrap_or(16).clamp(8, 16) - 1));
        let full = 1.0 - 1.5 / steps;
        let mut all = Self {
            squares: vec![0.0; channels],
            ..Self::default()
        };
        // Length of the clipped run that each channel is in.
        let mut running = vec![0; channels];
        let mut reader = sound.reader(sound.rate)?;
        let mut samples = Vec::new();
        let mut more = true;
        while more {
            cancel.check()?;
            samples.clear();
            more = reader.read(&mut samples)?;
            for frame in samples.chunks_exact(channels) {
                all.add(frame, full, &mut running, sound.rate);
            }
        }
        Ok(all)
    }

    fn add(&mut self, frame: &[f32], full: f64, running: &mut [u64], rate: u32) {
        let mut sum = 0.0;
        for ((sample, square), run) in frame.iter().zip(&mut self.squares).zip(running) {
            let sample = f64::from(*sample);
            sum += sample;
            *square += sample * sample;
            self.peak = self.peak.max(sample.abs());
            if sample.abs() < full {
                *run = 0;
                continue;
            }
            self.clipped += 1;
            *run += 1;
            if *run == CLIPPED_RUN && self.runs.len() < CLIPPED_LISTED {
                self.runs
                    .push((self.count + 1).saturating_sub(CLIPPED_RUN) as f64 / f64::from(rate));
            }
        }
        self.count += 1;
        self.sum += sum;
        self.mixed += (sum / frame.len() as f64).powi(2);
    }

    fn values(&self) -> f64 {
        (self.count * self.squares.len() as u64).max(1) as f64
    }

    fn mean(&self) -> f64 {
        self.sum / self.values()
    }

    fn rms(&self) -> f64 {
        (self.squares.iter().sum::<f64>() / self.values()).sqrt()
    }

    /// How much quieter the channels' mean is than the channels, in dB.
    fn mix_loss(&self) -> f64 {
        let mixed = (self.mixed / self.count.max(1) as f64).sqrt();
        if self.rms() < 1e-5 || self.squares.contains(&0.0) {
            return 0.0;
        }
        decibels(self.rms()) - decibels(mixed)
    }
}
