//! Where in a sound somebody speaks, and where the mouth may come to rest.

use std::ops::Range;

use anyhow::Result;

use super::file::AudioFile;
use super::mel::SPEECH_RATE;
use crate::cancel::Cancel;

/// Steps a second in which the level is measured.
const STEP_RATE: usize = 100;
/// Samples of a step.
const STEP: usize = SPEECH_RATE as usize / STEP_RATE;
/// Pre-emphasis, as in the networks' own front end: hum and rumble are no speech.
const PRE_EMPHASIS: f32 = 0.97;
/// Level of digital silence, dB of full scale.
const SILENCE_DB: f32 = -100.0;
/// A sound that never gets louder than this (pre-emphasised, about -40 dB as it is) holds no speech.
const FAINTEST_SPEECH_DB: f32 = -65.0;
/// Speech begins so far above the noise ..
const ABOVE_NOISE_DB: f32 = 12.0;
/// .. and no further than this below the loudest half second.
const BELOW_SPEECH_DB: f32 = 32.0;
/// Where noise and speech lie close together, the border is at least so far below speech.
const UNDER_SPEECH_DB: f32 = 10.0;
/// Speech goes on until the level falls so far below where it would begin.
const HYSTERESIS_DB: f32 = 5.0;
/// Steps that are louder for speech to begin; shorter ones are clicks.
const LEAST_SPEECH: usize = 4;
/// Steps that are quieter for speech to end: the closure of a stop consonant is no pause.
const LEAST_QUIET: usize = 15;
/// Pauses shorter than this, in seconds, are part of speech.
pub(crate) const LEAST_PAUSE: f64 = 0.3;
/// The mouth moves before it is heard, seconds.
const LEAD: f64 = 0.06;
/// And for a moment after, seconds.
const TRAIL: f64 = 0.02;
/// Time that the mouth takes at most to come to rest, and to leave it, seconds.
pub(crate) const EASE: f64 = 0.2;

/// What was found in a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceActivity {
    /// Where there is speech: rising, apart, in seconds.
    pub speech: Vec<Range<f64>>,
    /// Length of the sound.
    pub seconds: f64,
    /// Level of the quietest tenth, pre-emphasised, dB of full scale; -100 is digital silence.
    pub noise_db: f64,
    /// Level of the loudest half second, pre-emphasised, dB of full scale.
    pub speech_db: f64,
}

impl VoiceActivity {
    /// Listens to the whole of `sound`.
    pub fn of(sound: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut reader = sound.speech()?;
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
                return Ok(Self::from_levels(&levels, sound.seconds()));
            }
        }
    }

    /// From the level of each step, in dB of full scale.
    fn from_levels(levels: &[f32], seconds: f64) -> Self {
        let mut sorted = levels.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(SILENCE_DB);
        let noise = at(sorted.len() / 10);
        let loud = at(sorted
            .len()
            .saturating_sub((STEP_RATE / 2).min(sorted.len() / 4 + 1)));
        let begins = (noise + ABOVE_NOISE_DB)
            .max(loud - BELOW_SPEECH_DB)
            .min(loud - UNDER_SPEECH_DB);
        let speech = if loud < FAINTEST_SPEECH_DB {
            Vec::new()
        } else if loud - noise < ABOVE_NOISE_DB {
            // As loud everywhere: nothing tells speech from noise, so nothing is taken for a pause.
            std::iter::once(0..levels.len()).collect()
        } else {
            loud_stretches(levels, begins, begins - HYSTERESIS_DB)
        };
        let in_seconds = |step: usize| (step as f64 / STEP_RATE as f64).min(seconds);
        Self {
            speech: speech
                .iter()
                .map(|stretch| in_seconds(stretch.start)..in_seconds(stretch.end))
                .collect(),
            seconds,
            noise_db: f64::from(noise),
            speech_db: f64::from(loud),
        }
    }

    /// The stretches without speech that last [`LEAST_PAUSE`] or longer, in seconds.
    pub fn pauses(&self) -> Vec<Range<f64>> {
        let ends = std::iter::once(0.0).chain(self.speech.iter().map(|s| s.end));
        let starts = self.speech.iter().map(|s| s.start).chain([self.seconds]);
        ends.zip(starts)
            .map(|(end, start)| end..start)
            .filter(|pause| pause.end - pause.start >= LEAST_PAUSE)
            .collect()
    }
}

/// How much of the networks' mouth each moment shows: 1 in speech, 0 at rest, eased between.
#[derive(Debug, Clone)]
pub struct Rest {
    /// Where the mouth is on its way to rest, at rest, or on its way back.
    stretches: Vec<Range<f64>>,
    seconds: f64,
}

impl Rest {
    /// The mouth rests in the pauses of `activity`.
    pub fn in_pauses(activity: &VoiceActivity) -> Self {
        let seconds = activity.seconds;
        let stretches = activity.pauses().into_iter().map(|pause| {
            let start = if pause.start > 0.0 {
                pause.start + TRAIL
            } else {
                pause.start
            };
            let end = if pause.end < seconds {
                pause.end - LEAD
            } else {
                pause.end
            };
            start..end
        });
        Self {
            stretches: stretches.collect(),
            seconds,
        }
    }

    /// The weight of the networks' mouth at a time in seconds, 0..=1.
    pub fn weight(&self, seconds: f64) -> f32 {
        let next = self.stretches.partition_point(|rest| rest.end <= seconds);
        // The last frame may begin after the sound has ended.
        let rest = match self.stretches.get(next).or(self.stretches.last()) {
            Some(rest) if rest.contains(&seconds) => rest,
            Some(rest) if seconds >= self.seconds && rest.end >= self.seconds => rest,
            _ => return 1.0,
        };
        // In a short pause the way is shorter, so that its end is reached.
        let way = EASE.min((rest.end - rest.start) / 2.0);
        let fall = if rest.start > 0.0 {
            1.0 - ease((seconds - rest.start) / way)
        } else {
            0.0
        };
        let rise = if rest.end < self.seconds {
            1.0 - ease((rest.end - seconds) / way)
        } else {
            0.0
        };
        fall.max(rise) as f32
    }
}

/// 0 to 1 with a level start and end.
fn ease(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// Mean square of a step, pre-emphasised, in dB of full scale.
fn level(step: &[f32], previous: &mut f32) -> f32 {
    let mut sum = 0.0;
    for &sample in step {
        sum += (sample - PRE_EMPHASIS * *previous).powi(2);
        *previous = sample;
    }
    (10.0 * (sum / step.len() as f32).log10()).max(SILENCE_DB)
}

/// Stretches of steps that begin above one level and go on until they stay under another.
fn loud_stretches(levels: &[f32], begins: f32, ends: f32) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some(first) = (from..levels.len()).find(|&i| levels[i] > begins) {
        let mut last = first;
        let mut i = first;
        while i < levels.len() && i - last < LEAST_QUIET {
            if levels[i] > ends {
                last = i;
            }
            i += 1;
        }
        // Back to where it rose above the lower level.
        let start = (from..first)
            .rev()
            .find(|&i| levels[i] <= ends)
            .map_or(from, |i| i + 1);
        if last + 1 - start >= LEAST_SPEECH {
            stretches.push(start..last + 1);
        }
        from = last + 1;
    }
    stretches
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
    fn speech_is_found_with_what_belongs_to_it() {
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
            "a closure of 100 ms is no pause: {found:?}"
        );
        let speech = &found.speech[0];
        assert!(
            (speech.start - 1.0).abs() < 1e-9 && (speech.end - 2.0).abs() < 1e-9,
            "{speech:?}"
        );
        assert_eq!(found.pauses().len(), 2);
    }

    #[test]
    fn a_level_that_hovers_at_the_border_does_not_flicker() {
        let mut pieces = vec![(100, -80.0), (50, -40.0)];
        // Between the two levels of the hysteresis: on stays on.
        pieces.extend((0..20).flat_map(|_| [(3, -67.0), (3, -70.0)]));
        pieces.push((100, -80.0));
        assert_eq!(activity(&pieces).speech.len(), 1);
    }

    #[test]
    fn clicks_and_faint_noise_are_no_speech_and_steady_sound_is_no_pause() {
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
        let rest = Rest {
            stretches: vec![0.0..0.5, 2.0..2.3, 4.0..6.0, 8.0..9.0],
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
            assert!((got - weight).abs() < 1e-6, "{at}: {got} for {weight}");
        }
    }

    #[test]
    fn a_pause_of_300_ms_is_one_and_a_shorter_one_is_none() {
        let with = |steps| {
            activity(&[(100, -40.0), (steps, -90.0), (100, -40.0)])
                .pauses()
                .len()
        };
        assert_eq!((with(31), with(28)), (1, 0));
    }

    proptest! {
        /// Whatever the pauses, the weight never jumps: at most 0.15 in 10 ms.
        #[test]
        fn no_pop(pieces in prop::collection::vec((1_usize..120, -95.0_f32..-20.0), 1..12)) {
            let found = activity(&pieces);
            for pair in found.speech.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let rest = Rest::in_pauses(&found);
            let weights: Vec<f32> = (0..=(found.seconds * 100.0) as u32 + 4).map(|i| rest.weight(f64::from(i) / 100.0)).collect();
            prop_assert!(weights.windows(2).all(|w| (w[0] - w[1]).abs() < 0.15), "{weights:?}");
            prop_assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)));
        }
    }
}
