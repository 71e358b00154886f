//! How much two sounds differ: length, place, level, likeness.

use anyhow::Result;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;
use serde::Serialize;

use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;
use crate::sync::rounded;

/// Samples that are laid over each other: a minute; a longer sound is judged by its beginning.
const HEARD: usize = 60 * SPEECH_RATE as usize;
/// The greatest offset that is looked for, samples: two seconds.
const FARTHEST: usize = 2 * SPEECH_RATE as usize;
/// The quietest level, dBFS.
const SILENCE_DB: f64 = -120.0;
/// Below this likeness, sounds have nothing to do with each other, and no offset.
const UNLIKE: f64 = 0.8;

/// Lengths may differ by so many seconds ..
const LENGTH_S: f64 = 0.05;
/// .. places by so many milliseconds ..
const OFFSET_MS: f64 = 10.0;
/// .. levels by so many dB ..
const LEVEL_DB: f64 = 1.0;
/// .. and likeness may be as low as this: what coding at a usual rate leaves.
const LEAST_LIKENESS: f64 = 0.9;

/// How the actual sound differs from the expected one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AudioDifference {
    /// Seconds by which it is longer.
    pub length_s: f64,
    /// Milliseconds by which it comes later, against the pictures; none where the sounds are too unlike.
    pub offset_ms: Option<f64>,
    /// Decibels by which it is louder.
    pub level_db: f64,
    /// Correlation of both at that offset, -1..1.
    pub likeness: f64,
}

impl AudioDifference {
    /// Compares two sounds, which begin `delays` seconds before their pictures.
    pub(super) fn of(
        expected: (&AudioFile, f64),
        actual: (&AudioFile, f64),
        cancel: &Cancel,
    ) -> Result<Self> {
        let (first, second) = (Heard::of(expected.0, cancel)?, Heard::of(actual.0, cancel)?);
        let (samples, likeness) = lay_over(&first.samples, &second.samples);
        let later = samples as f64 / f64::from(SPEECH_RATE) - (actual.1 - expected.1);
        Ok(Self {
            length_s: rounded(actual.0.seconds() - expected.0.seconds()),
            offset_ms: (likeness >= UNLIKE).then(|| rounded(later * 1e3)),
            level_db: rounded(second.level_db - first.level_db),
            likeness: rounded(likeness),
        })
    }

    /// What is more than coding explains.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.length_s.abs() > LENGTH_S {
            let word = if self.length_s > 0.0 {
                "longer"
            } else {
                "shorter"
            };
            faults.push(format!("the sound is {:.3} s {word}", self.length_s.abs()));
        }
        if let Some(offset) = self.offset_ms.filter(|ms| ms.abs() > OFFSET_MS) {
            let word = if offset > 0.0 { "later" } else { "earlier" };
            faults.push(format!("the sound comes {:.1} ms {word}", offset.abs()));
        }
        if self.level_db.abs() > LEVEL_DB {
            let word = if self.level_db > 0.0 {
                "louder"
            } else {
                "quieter"
            };
            faults.push(format!("the sound is {:.1} dB {word}", self.level_db.abs()));
        }
        if self.likeness < LEAST_LIKENESS {
            faults.push(format!(
                "the sound is another: likeness {:.2}",
                self.likeness
            ));
        }
        faults
    }
}

/// A sound as the networks hear it: 16 kHz, mono.
struct Heard {
    /// Its beginning, at most [`HEARD`] samples.
    samples: Vec<f32>,
    /// Of all of it, dBFS.
    level_db: f64,
}

impl Heard {
    fn of(sound: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut reader = sound.speech()?;
        let (mut samples, mut piece, mut more) = (Vec::new(), Vec::new(), true);
        let (mut squares, mut count) = (0.0, 0_u64);
        while more {
            cancel.check()?;
            piece.clear();
            more = reader.read(&mut piece)?;
            squares += piece.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            count += piece.len() as u64;
            let room = HEARD - samples.len();
            samples.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let power = squares / count.max(1) as f64;
        Ok(Self {
            samples,
            level_db: (10.0 * power.log10()).max(SILENCE_DB),
        })
    }
}

/// By how many samples `b` comes later than `a`, at most two seconds, and how well both correlate there. Silence is like
/// silence only.
fn lay_over(a: &[f32], b: &[f32]) -> (i64, f64) {
    let power = |x: &[f32]| x.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let norm = (power(a) * power(b)).sqrt();
    if norm <= 0.0 {
        let both_are_silent = power(a) + power(b) <= 0.0;
        return (0, if both_are_silent { 1.0 } else { 0.0 });
    }
    let size = (a.len().max(b.len()) + FARTHEST).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(size);
    let spectrum = |x: &[f32]| -> Vec<Complex<f32>> {
        let mut time = forward.make_input_vec();
        time[..x.len()].copy_from_slice(x);
        let mut out = forward.make_output_vec();
        let done = forward.process(&mut time, &mut out);
        debug_assert!(done.is_ok(), "the buffers have the plan's lengths");
        out
    };
    let mut product = spectrum(b);
    for (b, a) in product.iter_mut().zip(spectrum(a)) {
        *b *= a.conj();
    }
    // Their imaginary parts are 0 but for rounding, which the inverse refuses.
    for edge in [0, size / 2] {
        product[edge].im = 0.0;
    }
    let inverse = planner.plan_fft_inverse(size);
    let mut sums = inverse.make_output_vec();
    let done = inverse.process(&mut product, &mut sums);
    debug_assert!(done.is_ok(), "the buffers have the plan's lengths");
    let likeness = |lag: i64| {
        let at = lag.rem_euclid(size as i64) as usize;
        f64::from(sums[at]) / size as f64 / norm
    };
    let farthest = FARTHEST as i64;
    let best = (-farthest..=farthest).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
    // A steady tone is as like itself one period later: the nearest place is taken where it is as good.
    let best = best.filter(|best| likeness(*best) > likeness(0) + 1e-3);
    let best = best.unwrap_or(0);
    (best, correlation(a, b, best))
}

/// Correlation of `a` with `b` from `lag` samples later on, where both are there.
fn correlation(a: &[f32], b: &[f32], lag: i64) -> f64 {
    let late = |x: &[f32], by: i64| x.len().min(usize::try_from(by).unwrap_or(0));
    let (a, b) = (&a[late(a, -lag)..], &b[late(b, lag)..]);
    let (mut products, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        products += a * b;
        first += a * a;
        second += b * b;
    }
    products / (first * second).sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is the same every time.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn an_offset_is_found_to_the_sample() {
        let sound = noise(20_000);
        for late in [0_usize, 1, 160, 12_345] {
            let moved = [vec![0.0; late], sound.clone()].concat();
            let (lag, likeness) = lay_over(&sound, &moved);
            assert_eq!(lag, late as i64);
            assert!(likeness > 0.999, "{likeness}");
            assert_eq!(lay_over(&moved, &sound).0, -(late as i64));
        }
    }

    #[test]
    fn other_sounds_are_not_alike() {
        let sound = noise(40_000);
        let other: Vec<f32> = sound.iter().rev().copied().collect();
        assert!(lay_over(&sound, &other).1 < UNLIKE);
        assert_eq!(lay_over(&sound, &[0.0; 100]), (0, 0.0));
        assert_eq!(lay_over(&[0.0; 50], &[0.0; 100]), (0, 1.0));
        let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.3).sin()).collect();
        assert_eq!(lay_over(&tone, &tone).0, 0);
    }
}
