//! How much two audio tracks differ: duration, offset, level, content.

use anyhow::Result;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;
use serde::Serialize;

use super::input::Input;
use crate::audio::{AudioFile, SPEECH_RATE};
use crate::cancel::Cancel;
use crate::sync::rounded;

/// Samples that are aligned: the first minute.
const MAX_ALIGNED: usize = 60 * SPEECH_RATE as usize;
/// Largest offset that is searched for, in samples: two seconds.
const MAX_OFFSET: usize = 2 * SPEECH_RATE as usize;
/// The lowest level, in dBFS.
const SILENCE_DB: f64 = -120.0;
/// Below this likeness the tracks have nothing in common, so that an offset means nothing.
const MIN_COMMON_LIKENESS: f64 = 0.8;

/// Allowed difference of the durations, in seconds.
const LENGTH_TOLERANCE_S: f64 = 0.05;
/// Allowed offset, in milliseconds.
const OFFSET_TOLERANCE_MS: f64 = 10.0;
/// Allowed difference of the levels, in dB.
const LEVEL_TOLERANCE_DB: f64 = 1.0;
/// Lowest likeness that lossy codecs leave at the usual bitrates.
const MIN_LIKENESS: f64 = 0.9;

/// How the actual audio differs from the expected one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AudioDifference {
    /// Seconds by which it is longer.
    pub length_s: f64,
    /// Milliseconds by which it comes later, relative to the video; none if the tracks have nothing in common.
    pub offset_ms: Option<f64>,
    /// Decibels by which it is louder.
    pub level_db: f64,
    /// Correlation of both at that offset, -1..1.
    pub likeness: f64,
}

impl AudioDifference {
    /// Compares the audio tracks of two inputs; none if one of them has none.
    pub(super) fn between(
        expected: &Input,
        actual: &Input,
        cancel: &Cancel,
    ) -> Result<Option<Self>> {
        let (Some(expected_audio), Some(actual_audio)) = (expected.audio(), actual.audio()) else {
            return Ok(None);
        };
        let first = SpeechTrack::decode(expected_audio, cancel)?;
        let second = SpeechTrack::decode(actual_audio, cancel)?;
        let (samples, likeness) = align(&first.samples, &second.samples);
        let delay = actual.video_delay() - expected.video_delay();
        let later = samples as f64 / f64::from(SPEECH_RATE) - delay;
        Ok(Some(Self {
            length_s: rounded(actual_audio.seconds() - expected_audio.seconds()),
            offset_ms: (likeness >= MIN_COMMON_LIKENESS).then(|| rounded(later * 1e3)),
            level_db: rounded(second.level_db - first.level_db),
            likeness: rounded(likeness),
        }))
    }

    /// What is more than a codec explains, one line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let word = |value: f64, above, below| if value > 0.0 { above } else { below };
        let mut faults = Vec::new();
        if self.length_s.abs() > LENGTH_TOLERANCE_S {
            let word = word(self.length_s, "longer", "shorter");
            faults.push(format!("the audio is {:.3} s {word}", self.length_s.abs()));
        }
        if let Some(offset) = self.offset_ms.filter(|ms| ms.abs() > OFFSET_TOLERANCE_MS) {
            let word = word(offset, "late", "early");
            faults.push(format!("the audio is {:.1} ms {word}", offset.abs()));
        }
        if self.level_db.abs() > LEVEL_TOLERANCE_DB {
            let word = word(self.level_db, "louder", "quieter");
            faults.push(format!("the audio is {:.1} dB {word}", self.level_db.abs()));
        }
        if self.likeness < MIN_LIKENESS {
            let likeness = self.likeness;
            faults.push(format!(
                "the audio content is different: likeness {likeness:.2}"
            ));
        }
        faults
    }
}

/// An audio track as the networks get it: 16 kHz, mono.
struct SpeechTrack {
    /// Its start, at most [`MAX_ALIGNED`] samples.
    samples: Vec<f32>,
    /// Mean power of the whole track, in dBFS.
    level_db: f64,
}

impl SpeechTrack {
    fn decode(audio: &AudioFile, cancel: &Cancel) -> Result<Self> {
        let mut reader = audio.speech()?;
        let (mut samples, mut chunk, mut more) = (Vec::new(), Vec::new(), true);
        let (mut squares, mut count) = (0.0, 0_u64);
        while more {
            cancel.check()?;
            chunk.clear();
            more = reader.read(&mut chunk)?;
            squares += chunk.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            count += chunk.len() as u64;
            let room = MAX_ALIGNED - samples.len();
            samples.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        let power = squares / count.max(1) as f64;
        Ok(Self {
            samples,
            level_db: (10.0 * power.log10()).max(SILENCE_DB),
        })
    }
}

/// By how many samples `b` comes later than `a`, at most two seconds, and how well both correlate there. Silence is only
/// like silence.
fn align(a: &[f32], b: &[f32]) -> (i64, f64) {
    let power = |x: &[f32]| x.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let norm = (power(a) * power(b)).sqrt();
    if norm <= 0.0 {
        let both_are_silent = power(a) + power(b) <= 0.0;
        return (0, if both_are_silent { 1.0 } else { 0.0 });
    }
    let size = (a.len().max(b.len()) + MAX_OFFSET).next_power_of_two();
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
    // The inverse requires these imaginary parts to be exactly 0; rounding leaves a little.
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
    let max_offset = MAX_OFFSET as i64;
    let best = (-max_offset..=max_offset).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
    // A steady tone fits itself as well one period later: without a clearly better offset, take 0.
    let best = best.filter(|best| likeness(*best) > likeness(0) + 1e-3);
    let best = best.unwrap_or(0);
    (best, correlation(a, b, best))
}

/// Correlation of `a` with `b` shifted by `lag` samples, where they overlap.
fn correlation(a: &[f32], b: &[f32], lag: i64) -> f64 {
    let start = |x: &[f32], by: i64| x.len().min(usize::try_from(by).unwrap_or(0));
    let (a, b) = (&a[start(a, -lag)..], &b[start(b, lag)..]);
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

    /// Reproducible noise.
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
        let audio = noise(20_000);
        for late in [0_usize, 1, 160, 12_345] {
            let moved = [vec![0.0; late], audio.clone()].concat();
            let (lag, likeness) = align(&audio, &moved);
            assert_eq!(lag, late as i64);
            assert!(likeness > 0.999, "{likeness}");
            assert_eq!(align(&moved, &audio).0, -(late as i64));
        }
    }

    #[test]
    fn unrelated_audio_is_not_alike() {
        let audio = noise(40_000);
        let other: Vec<f32> = audio.iter().rev().copied().collect();
        assert!(align(&audio, &other).1 < MIN_COMMON_LIKENESS);
        assert_eq!(align(&audio, &[0.0; 100]), (0, 0.0));
        assert_eq!(align(&[0.0; 50], &[0.0; 100]), (0, 1.0));
        let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.3).sin()).collect();
        assert_eq!(align(&tone, &tone).0, 0);
    }
}
