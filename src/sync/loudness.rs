//! How loud a voice is over time, as far as an open mouth makes it so.

use anyhow::Result;

use super::mouth;
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;

/// Frequencies that are listened to, Hz: lower ones sound through closed lips too (voice, m, n), higher ones through
/// nearly closed teeth (s). On the bundled presenter, the mouth goes with them at 0.8, with the whole sound at 0.55.
const BAND_HZ: [f64; 2] = [500.0, 4000.0];
/// The loudest moments are so large a share of all; a click that is louder than they are does not count.
const LOUDEST_SHARE: f64 = 0.05;
/// What is quieter than they are by more than this counts as silence, dB.
const RANGE_DB: f64 = 30.0;
/// Levels a second.
const LEVEL_RATE: f64 = SPEECH_RATE as f64 / mel::HOP as f64;

/// The loudness of a sound over time.
#[derive(Debug)]
pub(crate) struct Loudness {
    /// Level k is that of the moment k / 80 seconds: 0 (30 dB below the loudest moments and less) to 1 (as they
    /// are).
    levels: Vec<f64>,
}

impl Loudness {
    /// Listens to all of it.
    pub(crate) fn of(audio: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut spectrogram = MelSpectrogram::new(audio.frames_at(SPEECH_RATE));
        let [low, high] = BAND_HZ.map(|hz| mel::band_of_hz(hz) as usize);
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

    /// The level at `seconds`; 0 outside the sound.
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

    /// Its ups and downs at `times`, `lag` seconds later than they say: mean 0, variance 1; none where it has none.
    pub(super) fn curve(&self, times: &[f64], lag: f64) -> Option<Vec<f64>> {
        let levels = times.iter().map(|time| self.at(time + lag)).collect();
        mouth::curve(levels, times)
    }
}
