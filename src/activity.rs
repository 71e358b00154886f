//! Where somebody speaks.

use std::ops::Range;

use anyhow::Result;

use crate::audio::{SPEECH_RATE, Sound};
use crate::cancel::Cancel;

/// Samples of one level: 10 ms.
const STEP: usize = SPEECH_RATE as usize / 100;
/// The shortest pause, in seconds.
const PAUSE: f64 = 0.3;

/// When there is speech in a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Stretches with speech in seconds, rising.
    pub speech: Vec<Range<f64>>,
    /// Length of the sound in seconds.
    pub seconds: f64,
    /// Level of the noise between the words, dBFS.
    pub noise_db: f64,
    /// Level of the speech, dBFS.
    pub speech_db: f64,
}

impl Activity {
    /// Listens to the whole sound.
    pub fn of(sound: &Sound, cancel: &Cancel) -> Result<Self> {
        let mut reader = sound.speech()?;
        let mut samples = Vec::new();
        let mut more = true;
        while more {
            cancel.check()?;
            more = reader.read(&mut samples)?;
        }
        let levels: Vec<f64> = samples.chunks(STEP).map(level).collect();
        let mut sorted = levels.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| {
            sorted
                .get(sorted.len() * share / 100)
                .copied()
                .unwrap_or(-100.0)
        };
        let (noise_db, speech_db) = (at(10), at(90));
        let threshold = (noise_db + 8.0).max(speech_db - 30.0).max(-60.0);
        let mut speech: Vec<Range<f64>> = Vec::new();
        for (i, _) in levels.iter().enumerate().filter(|(_, db)| **db > threshold) {
            let (start, end) = (i as f64 * 0.01, (i + 1) as f64 * 0.01);
            match speech.last_mut() {
                Some(last) if start - last.end < 0.2 => last.end = end,
                _ => speech.push(start..end),
            }
        }
        Ok(Self {
            speech,
            seconds: sound.seconds(),
            noise_db,
            speech_db,
        })
    }

    /// Stretches of at least 300 ms without speech, those at the start and at the end too.
    pub fn pauses(&self) -> Vec<Range<f64>> {
        let mut pauses = Vec::new();
        let mut from = 0.0;
        for stretch in &self.speech {
            pauses.push(from..stretch.start);
            from = stretch.end;
        }
        pauses.push(from..self.seconds);
        pauses.retain(|pause| pause.end - pause.start >= PAUSE);
        pauses
    }
}

fn level(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (power / samples.len() as f64).max(1e-10).log10()
}
