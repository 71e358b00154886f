//! Where somebody speaks, and where the mouth may rest.

use std::ops::Range;

use anyhow::Result;

use super::file::AudioFile;
use super::mel::SPEECH_RATE;
use crate::cancel::Cancel;

/// Steps per second at which the level is measured.
const STEP_RATE: usize = 100;
/// Samples per step.
const STEP: usize = SPEECH_RATE as usize / STEP_RATE;
/// Pre-emphasis, as in the mel spectrogram: hum and rumble are not speech.
const PRE_EMPHASIS: f32 = 0.97;
/// Level of digital silence, dBFS.
const SILENCE_DB: f32 = -100.0;
/// Audio that never gets louder than this (pre-emphasised; about -40 dBFS without) contains no speech.
const MIN_SPEECH_DB: f32 = -65.0;
/// Speech starts this far above the noise ..
const ABOVE_NOISE_DB: f32 = 12.0;
/// .. but at most this far below the loudest half second.
const MAX_BELOW_SPEECH_DB: f32 = 32.0;
/// Where noise and speech are close, the threshold is at least this far below speech.
const MIN_BELOW_SPEECH_DB: f32 = 10.0;
/// Speech continues until the level falls this far below the threshold at which it starts.
const HYSTERESIS_DB: f32 = 5.0;
/// Loud steps that make speech; fewer are a click.
const MIN_SPEECH_STEPS: usize = 4;
/// Quiet steps that end speech: the closure of a stop consonant is not a pause.
const MIN_QUIET_STEPS: usize = 15;
/// Pauses shorter than this, in seconds, are part of speech.
const MIN_PAUSE: f64 = 0.3;
/// The mouth moves this many seconds before it is heard ..
const MOUTH_LEAD: f64 = 0.06;
/// .. and this many seconds after.
const MOUTH_TRAIL: f64 = 0.02;
/// Longest transition between speech and rest, seconds.
const TRANSITION: f64 = 0.2;

/// The speech in an audio file.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceActivity {
    /// Where there is speech, in seconds: ascending, disjoint.
    pub speech: Vec<Range<f64>>,
    /// Length of the audio.
    pub seconds: f64,
    /// Level of the quietest tenth, pre-emphasised, dBFS; -100 is digital silence.
    pub noise_db: f64,
    /// Level of the loudest half second, pre-emphasised, dBFS.
    pub speech_db: f64,
}

impl VoiceActivity {
    /// Analyses all of `audio`.
    pub fn of(audio: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut reader = audio.speech()?;
        let (mut samples, mut levels, mut previous) = (Vec::new(), Vec::new(), 0.0);
        loop {
            cancel.check()?;
            let more = reader.read(&mut samples)?;
            let whole = if more {
                samples.len() / STEP * STEP
            } else {
                samples.len()
            };
            for step in samples[..whole].chunks(STEP) {
                levels.push(level(step, &mut previous));
            }
            samples.drain(..whole);
            if !more {
                return Ok(Self::from_levels(&levels, audio.seconds()));
            }
        }
    }

    /// From the level of each step, dBFS.
    fn from_levels(levels: &[f32], seconds: f64) -> Self {
        let mut sorted = levels.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(SILENCE_DB);
        let noise = at(sorted.len() / 10);
        let loud = at(sorted
            .len()
            .saturating_sub((STEP_RATE / 2).min(sorted.len() / 4 + 1)));
        let onset_level = (noise + ABOVE_NOISE_DB)
            .max(loud - MAX_BELOW_SPEECH_DB)
            .min(loud - MIN_BELOW_SPEECH_DB);
        let speech = if loud < MIN_SPEECH_DB {
            Vec::new()
        } else if loud - noise < ABOVE_NOISE_DB {
            // The same level everywhere: speech cannot be told from noise, so there are no pauses.
            std::iter::once(0..levels.len()).collect()
        } else {
            speech_ranges(levels, onset_level, onset_level - HYSTERESIS_DB)
        };
        let in_seconds = |step: usize| (step as f64 / STEP_RATE as f64).min(seconds);
        Self {
            speech: speech
                .iter()
                .map(|range| in_seconds(range.start)..in_seconds(range.end))
                .collect(),
            seconds,
            noise_db: f64::from(noise),
            speech_db: f64::from(loud),
        }
    }

    /// The ranges without speech that last [`MIN_PAUSE`] or longer, in seconds.
    pub fn pauses(&self) -> Vec<Range<f64>> {
        let ends = std::iter::once(0.0).chain(self.speech.iter().map(|s| s.end));
        let starts = self.speech.iter().map(|s| s.start).chain([self.seconds]);
        ends.zip(starts)
            .map(|(end, start)| end..start)
            .filter(|pause| pause.end - pause.start >= MIN_PAUSE)
            .collect()
    }
}

/// How much of the generated mouth is shown over time: 1 in speech, 0 at rest, with smooth transitions.
#[derive(Debug, Clone)]
pub struct RestSchedule {
    /// Where the mouth is at rest, including both transitions.
    ranges: Vec<Range<f64>>,
    seconds: f64,
}

impl RestSchedule {
    /// The mouth rests in the pauses of `activity`.
    pub fn in_pauses(activity: &VoiceActivity) -> Self {
        let seconds = activity.seconds;
        let ranges = activity.pauses().into_iter().map(|pause| {
            let start = if pause.start > 0.0 {
                pause.start + MOUTH_TRAIL
            } else {
                pause.start
            };
            let end = if pause.end < seconds {
                pause.end - MOUTH_LEAD
            } else {
                pause.end
            };
            start..end
        });
        Self {
            ranges: ranges.collect(),
            seconds,
        }
    }

    /// The weight of the generated mouth at a time in seconds, 0..=1.
    pub fn weight(&self, seconds: f64) -> f32 {
        let next = self.ranges.partition_point(|rest| rest.end <= seconds);
        // The last frame may start after the end of the audio.
        let rest = match self.ranges.get(next).or(self.ranges.last()) {
            Some(rest) if rest.contains(&seconds) => rest,
            Some(rest) if seconds >= self.seconds && rest.end >= self.seconds => rest,
            _ => return 1.0,
        };
        // A short pause has shorter transitions, so that the mouth reaches rest.
        let transition = TRANSITION.min((rest.end - rest.start) / 2.0);
        let fall = if rest.start > 0.0 {
            1.0 - smoothstep((seconds - rest.start) / transition)
        } else {
            0.0
        };
        let rise = if rest.end < self.seconds {
            1.0 - smoothstep((rest.end - seconds) / transition)
        } else {
            0.0
        };
        fall.max(rise) as f32
    }
}

/// 0 to 1 with zero slope at both ends.
fn smoothstep(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Mean square of a step, pre-emphasised, dBFS.
fn level(step: &[f32], previous: &mut f32) -> f32 {
    let mut sum = 0.0;
    for &sample in step {
        sum += (sample - PRE_EMPHASIS * *previous).powi(2);
        *previous = sample;
    }
    (10.0 * (sum / step.len() as f32).log10()).max(SILENCE_DB)
}

/// Ranges of steps that start above one level and end when the level stays below another.
fn speech_ranges(levels: &[f32], onset_level: f32, release_level: f32) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some(first) = (from..levels.len()).find(|&i| levels[i] > onset_level) {
        let mut last = first;
        let mut i = first;
        while i < levels.len() && i - last < MIN_QUIET_STEPS {
            if levels[i] > release_level {
                last = i;
            }
            i += 1;
        }
        // Extend back to where the level rose above the release level.
        let start = (from..first)
            .rev()
            .find(|&i| levels[i] <= release_level)
            .map_or(from, |i| i + 1);
        if last + 1 - start >= MIN_SPEECH_STEPS {
            ranges.push(start..last + 1);
        }
        from = last + 1;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Levels from `(steps, dB)` pieces.
    fn activity(pieces: &[(usize, f32)]) -> VoiceActivity {
        let levels: Vec<f32> = pieces
            .iter()
            .flat_map(|&(steps, db)| std::iter::repeat_n(db, steps))
            .collect();
        VoiceActivity::from_levels(&levels, levels.len() as f64 / STEP_RATE as f64)
    }

    #[test]
    fn speech_includes_short_closures() {
        let found = activity(&[
            (100, -80.0),
            (60, -40.0),
            (10, -80.0),
            (30, -40.0),
            (100, -80.0),
        ]);
        assert_eq!(
            found.speech.len(),
            1,
            "a closure of 100 ms is not a pause: {found:?}"
        );
        let speech = &found.speech[0];
        assert!(
            (speech.start - 1.0).abs() < 1e-9 && (speech.end - 2.0).abs() < 1e-9,
            "{speech:?}"
        );
        assert_eq!(found.pauses().len(), 2);
    }

    #[test]
    fn a_level_near_the_threshold_does_not_flicker() {
        let mut pieces = vec![(100, -80.0), (50, -40.0)];
        // Between the two levels of the hysteresis, speech continues.
        pieces.extend((0..20).flat_map(|_| [(3, -67.0), (3, -70.0)]));
        pieces.push((100, -80.0));
        assert_eq!(activity(&pieces).speech.len(), 1);
    }

    #[test]
    fn clicks_and_faint_noise_are_not_speech_and_steady_noise_has_no_pauses() {
        assert!(
            activity(&[(200, -80.0), (1, -20.0), (200, -80.0)])
                .speech
                .is_empty()
        );
        assert!(activity(&[(300, SILENCE_DB)]).speech.is_empty());
        assert!(activity(&[(150, -75.0), (150, -82.0)]).speech.is_empty());
        assert_eq!(activity(&[(300, -30.0)]).pauses(), []);
        assert_eq!(activity(&[]).pauses(), []);
    }

    #[test]
    fn the_mouth_eases_to_rest_and_back() {
        let rest = RestSchedule {
            ranges: vec![0.0..0.5, 2.0..2.3, 4.0..6.0, 8.0..9.0],
            seconds: 9.0,
        };
        for (at, weight) in [
            (0.0, 0.0),
            (0.3, 0.0),
            (0.5, 1.0),
            (1.0, 1.0),
            (2.0, 1.0),
            (2.075, 0.5),
            (2.15, 0.0),
            (3.0, 1.0),
            (4.0, 1.0),
            (4.1, 0.5),
            (4.2, 0.0),
            (5.0, 0.0),
            (5.9, 0.5),
            (6.0, 1.0),
            (8.2, 0.0),
            (9.0, 0.0),
            (9.03, 0.0),
        ] {
            let got = rest.weight(at);
            assert!(
                (got - weight).abs() < 1e-6,
                "{at}: {got}, expected {weight}"
            );
        }
    }

    #[test]
    fn only_pauses_of_300_ms_or_more_count() {
        let with = |steps| {
            activity(&[(100, -40.0), (steps, -90.0), (100, -40.0)])
                .pauses()
                .len()
        };
        assert_eq!((with(31), with(28)), (1, 0));
    }

    proptest! {
        /// The weight never jumps: it changes by at most 0.15 in 10 ms.
        #[test]
        fn the_weight_never_jumps(pieces in prop::collection::vec((1_usize..120, -95.0_f32..-20.0), 1..12)) {
            let found = activity(&pieces);
            for pair in found.speech.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let rest = RestSchedule::in_pauses(&found);
            let weights: Vec<f32> = (0..=(found.seconds * 100.0) as u32 + 4).map(|i| rest.weight(f64::from(i) / 100.0)).collect();
            prop_assert!(weights.windows(2).all(|w| (w[0] - w[1]).abs() < 0.15), "{weights:?}");
            prop_assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)));
        }
    }
}
