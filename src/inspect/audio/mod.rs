//! An audio file: format, levels, speech, and audible faults.
//!
//! - `levels` sums up all samples.
//! - `text` words the facts and the warnings, `picture` draws them.

mod levels;
mod picture;
mod text;

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::media::MediaInfo;
use super::{decibels, rounded};
use crate::audio::selection::open_speech;
use crate::audio::track::TrackInfo;
use crate::audio::voice_activity::VoiceActivity;
use crate::audio::{AudioFile, AudioSource, ReadOptions, Truncated};
use crate::cancel::Cancel;
use crate::timeline::FrameRate;
use levels::Levels;
pub(super) use text::stream_words;

/// The facts about an audio file.
#[derive(Debug, Serialize)]
pub(crate) struct AudioInfo {
    #[serde(skip)]
    audio: AudioFile,
    /// FFmpeg's name of the container.
    pub container: String,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Bits per sample; none for lossy codecs.
    pub bits: Option<u32>,
    /// Sample rate in Hz.
    pub rate_hz: u32,
    /// Number of channels.
    pub channels: u16,
    /// How many files were joined into it; 1 for most.
    pub joined_files: usize,
    /// The audio tracks.
    pub tracks: Vec<TrackInfo>,
    /// Which of them all this is about.
    pub track: usize,
    /// Duration in seconds.
    pub seconds: f64,
    /// Frames of a clip with this audio at 25 frames per second.
    pub frames_at_25_fps: u64,
    /// Greatest sample, dBFS.
    pub peak_dbfs: f64,
    /// Root mean square over all channels, dBFS.
    pub rms_dbfs: f64,
    /// Mean of all samples, -1..1.
    pub dc_offset: f64,
    /// Samples at full scale.
    pub clipped_samples: u64,
    /// Start times of runs of three or more of them, in seconds; at most 1000.
    pub clipped_at_s: Vec<f64>,
    /// Level of the speech, dBFS.
    pub speech_dbfs: f64,
    /// Level between the words, dBFS.
    pub noise_dbfs: f64,
    /// Seconds with speech.
    pub speech_seconds: f64,
    /// Pauses of 300 ms or more, `[start, end]` in seconds.
    pub pauses_s: Vec<[f64; 2]>,
    /// Seconds before the first word.
    pub silence_at_start_s: f64,
    /// Seconds after the last word.
    pub silence_at_end_s: f64,
}

impl AudioInfo {
    pub(super) fn of(
        path: &Path,
        media: MediaInfo,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let options = ReadOptions {
            cut_off: Truncated::Allowed,
            ..ReadOptions::default()
        };
        let audio = open_speech(&AudioSource::file(path), None, options)?;
        warnings.extend(audio.warnings.iter().cloned());
        let several = audio.tracks.get(audio.track);
        let several = several.filter(|_| audio.tracks.len() > 1);
        let (codec, bits) = media.audio.map_or(("unknown".to_owned(), None), |stream| {
            (stream.codec, stream.bits)
        });
        let levels = Levels::of(&audio, bits, cancel)?;
        let activity = VoiceActivity::of(&audio, cancel)?;
        let seconds = audio.seconds();
        let speech_start = activity.speech.first().map_or(seconds, |r| r.start);
        let speech_end = activity.speech.last().map_or(0.0, |r| r.end);
        let info = Self {
            container: media.container,
            codec: several.map_or(codec, |track| track.codec.clone()),
            bits,
            rate_hz: audio.rate,
            channels: audio.channels,
            joined_files: audio.joined(),
            tracks: audio.tracks.clone(),
            track: audio.track,
            seconds: rounded(seconds),
            frames_at_25_fps: FrameRate::TRAINED.frames_covering(audio.frames, audio.rate),
            peak_dbfs: decibels(levels.peak),
            rms_dbfs: decibels(levels.rms()),
            dc_offset: rounded(levels.mean()),
            clipped_samples: levels.clipped,
            clipped_at_s: levels.clipped_runs.iter().map(|at| rounded(*at)).collect(),
            speech_dbfs: rounded(activity.speech_db),
            noise_dbfs: rounded(activity.noise_db),
            speech_seconds: rounded(activity.speech.iter().map(|r| r.end - r.start).sum()),
            pauses_s: activity
                .pauses()
                .iter()
                .map(|r| [rounded(r.start), rounded(r.end)])
                .collect(),
            silence_at_start_s: rounded(speech_start),
            silence_at_end_s: rounded((seconds - speech_end).max(0.0)),
            audio,
        };
        info.add_warnings(&levels, warnings);
        Ok(info)
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
