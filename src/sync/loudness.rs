//! How loud a voice is over time, in the frequencies that need an open mouth.

use anyhow::Result;

use super::mouth;
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;

/// Frequencies that count, Hz: lower ones also pass closed lips (voice, m, n), higher ones nearly closed teeth (s).
/// With the bundled presenter, the correlation with the mouth is 0.8; with all frequencies it is 0.55.
const BAND_HZ: [f64; 2] = [500.0, 4000.0];
/// Share of all levels that count as the loudest, so that a single click does not set the scale.
const LOUDEST_SHARE: f64 = 0.05;
/// Levels this far below the loudest ones count as silence, dB.
const RANGE_DB: f64 = 30.0;
/// Levels per second.
const LEVEL_RATE: f64 = SPEECH_RATE as f64 / mel::HOP as f64;

/// The loudness of audio over time.
#[derive(Debug)]
pub(crate) struct Loudness {
    /// Level k is at k / 80 seconds: 0 (30 dB or more below the loudest levels) to 1 (as loud as they are).
    levels: Vec<f64>,
}

impl Loudness {
    /// Measures all of `audio`.
    pub(crate) fn of(audio: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut spectrogram = MelSpectrogram::new(audio.frames_at(SPEECH_RATE));
        let [low, high] = BAND_HZ.map(|hz| mel::hz_to_band(hz) as usize);
        let mut decibels = Vec::new();
        let mut add_frame = |bands: mel::MelFrame| {
            let in_band = &bands[low..high];
            let mean = in_band.iter().map(|b| f64::from(*b)).sum::<f64>() / in_band.len() as f64;
            decibels.push(mean * mel::DB_PER_UNIT);
        };
        let mut reader = audio.speech()?;
        let (mut samples, mut more) = (Vec::new(), true);
        while more {
            cancel.check()?;
            samples.clear();
            more = reader.read(&mut samples)?;
            spectrogram.push(&samples, &mut add_frame);
        }
        spectrogram.finish(&mut add_frame);
        let mut sorted = decibels.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let position = (sorted.len() as f64 * (1.0 - LOUDEST_SHARE)) as usize;
        let loudest = sorted.get(position).copied().unwrap_or(0.0);
        let level = |db: f64| ((db - loudest) / RANGE_DB + 1.0).clamp(0.0, 1.0);
        Ok(Self {
            levels: decibels.iter().copied().map(level).collect(),
        })
    }

    /// The level at `seconds`; 0 outside the audio.
    pub(crate) fn at(&self, seconds: f64) -> f64 {
        let position = seconds * LEVEL_RATE;
        let index = position.floor();
        let rest = position - index;
        let level = |i: f64| {
            let inside = i >= 0.0 && i < self.levels.len() as f64;
            if inside { self.levels[i as usize] } else { 0.0 }
        };
        level(index) * (1.0 - rest) + level(index + 1.0) * rest
    }

    /// The detrended levels `lag` seconds after each of `times`: mean 0, variance 1. None if they do not change.
    pub(super) fn curve(&self, times: &[f64], lag: f64) -> Option<Vec<f64>> {
        let levels = times.iter().map(|time| self.at(time + lag)).collect();
        mouth::detrended(levels, times)
    }
}
