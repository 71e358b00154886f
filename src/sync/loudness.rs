//! How loud a voice is over time, as far as an open mouth makes it so.

use anyhow::Result;

use super::mouth;
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;

/// Frequencies that are listened to, Hz: lower ones sound through closed lips too (voice, m, n), higher ones through
/// nearly closed teeth (s). On the bundled presenter, the mouth goes with them at 0.8, with the whole sound at 0.55.
const HEARD: [f64; 2] = [500.0, 4000.0];
/// The loudest moments are so large a share of all; a click that is louder than they are does not count.
const LOUDEST: f64 = 0.05;
/// What is quieter than they are by more than this counts as silence, dB.
const RANGE_DB: f64 = 30.0;
/// Levels a second.
const LEVELS: f64 = SPEECH_RATE as f64 / mel::HOP as f64;

/// The loudness of a sound over time.
#[derive(Debug)]
pub(crate) struct Loudness {
    /// Level k is that of the moment k / 80 seconds: 0 (30 dB below the loudest moments and less) to 1 (as they
    /// are).
    levels: Vec<f64>,
}

impl Loudness {
    /// Listens to all of it.
    pub(crate) fn of(sound: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut spectrogram = MelSpectrogram::new(sound.frames_at(SPEECH_RATE));
        let [low, high] = HEARD.map(|hz| mel::band_of_hz(hz) as usize);
        let mut decibels = Vec::new();
        let mut listen = |bands: mel::MelFrame| {
            let heard = &bands[low..high];
            let mean = heard.iter().map(|b| f64::from(*b)).sum::<f64>() / heard.len() as f64;
            decibels.push(mean * mel::DECIBELS);
        };
        let mut reader = sound.speech()?;
        let (mut samples, mut more) = (Vec::new(), true);
        while more {
            cancel.check()?;
            samples.clear();
            more = reader.read(&mut samples)?;
            spectrogram.push(&samples, &mut listen);
        }
        spectrogram.finish(&mut listen);
        let mut sorted = decibels.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let place = (sorted.len() as f64 * (1.0 - LOUDEST)) as usize;
        let loudest = sorted.get(place).copied().unwrap_or(0.0);
        let level = |db: f64| ((db - loudest) / RANGE_DB + 1.0).clamp(0.0, 1.0);
        Ok(Self {
            levels: decibels.iter().copied().map(level).collect(),
        })
    }

    /// The level at `seconds`; 0 outside the sound.
    pub(crate) fn at(&self, seconds: f64) -> f64 {
        let place = seconds * LEVELS;
        let index = place.floor();
        let rest = place - index;
        let level = |i: f64| {
            let inside = i >= 0.0 && i < self.levels.len() as f64;
            if inside { self.levels[i as usize] } else { 0.0 }
        };
        level(index) * (1.0 - rest) + level(index + 1.0) * rest
    }

    /// Its ups and downs at `times`, `lag` seconds later than they say: mean 0, variance 1; none where it has none.
    pub(super) fn wave(&self, times: &[f64], lag: f64) -> Option<Vec<f64>> {
        let levels = times.iter().map(|time| self.at(time + lag)).collect();
        mouth::wave(levels, times)
    }
}
