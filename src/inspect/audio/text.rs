//! The facts about an audio file and what is wrong with it, in words.

use super::super::media::AudioStream;
use super::super::{Row, counted, listed};
use super::AudioInfo;
use super::levels::{CLIPPED_RUN, Levels};
use crate::audio::SPEECH_RATE;

/// Speech below this level is quiet, in dBFS.
const QUIET_DBFS: f64 = -40.0;
/// Speech less than this far above the noise is noisy, in dB.
const NOISY_DB: f64 = 15.0;
/// A mean sample farther from 0 is a DC offset.
const DC_OFFSET: f64 = 0.01;
/// Audio that the generator looks at for one frame, in seconds.
const WINDOW_SECONDS: f64 = 0.64;

impl AudioInfo {
    pub(in crate::inspect) fn rows(&self) -> Vec<Row> {
        let clipping = match self.clipped_samples {
            0 => "none".into(),
            n => format!(
                "{} at full scale, {} of {CLIPPED_RUN} or more",
                counted(n as usize, "sample"),
                counted(self.clipped_at_s.len(), "run")
            ),
        };
        let pauses = self.pauses_s.iter();
        let pauses = match self.pauses_s.len() {
            0 => "none of 0.3 s or more".into(),
            n => format!(
                "{n} of 0.3 s or more, in seconds: {}",
                listed(pauses.map(|[start, end]| format!("{start:.2}-{end:.2}")))
            ),
        };
        let mut rows = vec![
            (
                "format",
                format!(
                    "{}, {}",
                    self.container,
                    codec_words(&self.codec, self.bits)
                ),
            ),
            ("sample rate", format!("{} Hz", self.rate_hz)),
            ("channels", self.channels.to_string()),
        ];
        if self.tracks.len() > 1 {
            let others = self.tracks.iter().map(ToString::to_string);
            rows.push((
                "tracks",
                format!("{}: {}", self.tracks.len(), listed(others)),
            ));
        }
        if self.joined_files > 1 {
            rows.push(("joined", format!("from {} files", self.joined_files)));
        }
        rows.extend([
            (
                "duration",
                format!(
                    "{:.3} s ({} at 25 fps)",
                    self.seconds,
                    counted(self.frames_at_25_fps as usize, "frame")
                ),
            ),
            (
                "level",
                format!(
                    "peak {:.1} dBFS, RMS {:.1} dBFS, DC offset {:+.3}",
                    self.peak_dbfs, self.rms_dbfs, self.dc_offset
                ),
            ),
            ("clipping", clipping),
            (
                "speech",
                format!(
                    "{:.2} s at {:.0} dBFS, noise floor {:.0} dBFS",
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
            ("pauses", pauses),
        ]);
        rows
    }

    pub(super) fn add_warnings(&self, levels: &Levels, warnings: &mut Vec<String>) {
        if !levels.clipped_runs.is_empty() {
            let times = levels.clipped_runs.iter().map(|at| format!("{at:.2} s"));
            warnings.push(format!(
                "clipped: {} at full scale, {} of {CLIPPED_RUN} or more in a row, at {}",
                counted(self.clipped_samples as usize, "sample"),
                counted(levels.clipped_runs.len(), "run"),
                listed(times)
            ));
        }
        self.add_speech_warnings(warnings);
        if self.dc_offset.abs() > DC_OFFSET {
            warnings.push(format!(
                "DC offset: the mean sample is {:+.3} instead of 0",
                self.dc_offset
            ));
        }
        if self.rate_hz < SPEECH_RATE {
            warnings.push(format!(
                "low sample rate: {} Hz has nothing above {} Hz; the networks are trained on {SPEECH_RATE} Hz",
                self.rate_hz,
                self.rate_hz / 2
            ));
        }
        self.add_channel_warnings(levels, warnings);
        if self.seconds < WINDOW_SECONDS {
            warnings.push(format!(
                "short: {:.2} s; the networks look at {WINDOW_SECONDS} s at a time",
                self.seconds
            ));
        }
    }

    fn add_speech_warnings(&self, warnings: &mut Vec<String>) {
        if self.speech_seconds == 0.0 {
            warnings.push("no speech found: the mouth would stay closed".into());
            return;
        }
        if self.speech_dbfs < QUIET_DBFS {
            warnings.push(format!(
                "quiet: the speech is at {:.0} dBFS; raise it to about -20 dBFS",
                self.speech_dbfs
            ));
        }
        let above = self.speech_dbfs - self.noise_dbfs;
        if above < NOISY_DB {
            warnings.push(format!(
                "noisy: the speech is only {above:.0} dB above the noise, which may move the mouth"
            ));
        }
    }

    fn add_channel_warnings(&self, levels: &Levels, warnings: &mut Vec<String>) {
        for channel in levels.silent_channels() {
            warnings.push(format!(
                "channel {} of {} is silent",
                channel + 1,
                self.channels
            ));
        }
    }
}

/// An audio stream in a few words: `aac, 44100 Hz, 2 channels`.
pub(in crate::inspect) fn stream_words(stream: &AudioStream) -> String {
    format!(
        "{}, {} Hz, {}",
        codec_words(&stream.codec, stream.bits),
        stream.rate,
        counted(usize::from(stream.channels), "channel")
    )
}

/// `pcm_s16le (16-bit)`, `aac`.
fn codec_words(codec: &str, bits: Option<u32>) -> String {
    match bits {
        Some(bits) => format!("{codec} ({bits}-bit)"),
        None => codec.to_owned(),
    }
}
