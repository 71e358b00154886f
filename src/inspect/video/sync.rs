//! Whether the mouth moves with the sound: both curves, laid over each other at every lag up to 400 ms.
//!
//! The mouth is seen by its brightness: it darkens where it opens. That follows the loudness much more closely than the
//! amount of motion does, which has a peak at each opening and another at each closing.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use super::motion::Motion;
use super::rounded;
use crate::audio::{SPEECH_RATE, Sound};
use crate::cancel::Cancel;
use crate::frame::Rect;

/// Milliseconds from one lag to the next.
const STEP_MS: i32 = 10;
/// The greatest lag, in milliseconds.
const MOST_MS: i32 = 400;
/// Lags this near to the best one belong to its peak.
const PEAK_MS: i32 = 120;
/// Off by more than this is told as a fault: what viewers notice (ITU-R BT.1359: 45 ms early, 125 ms late).
const OFF_MS: f64 = 80.0;
/// Levels of the sound a second.
const LEVELS: f64 = 100.0;
/// The quietest sound that counts, dBFS.
const FLOOR_DB: f64 = -50.0;
/// Frames that are needed at least.
const FEWEST: usize = 50;
/// Correlation below which nothing is claimed.
const LEAST_CORRELATION: f64 = 0.3;
/// The peak must stand above all other lags by this much.
const LEAST_MARGIN: f64 = 0.05;
/// .. and be so many times as high as what is found with the sound at wrong places of the clip.
const ABOVE_CHANCE: f64 = 1.2;
/// Wrong places that are tried.
const CHANCES: usize = 5;
/// Cells that change by less are not looked at: coding noise, in levels of 255.
const LEAST_LEVELS: f64 = 0.3;
/// A mouth reaches so many cells to each side ..
const REACH: usize = 3;
/// .. as far as they go with the sound at least by this share of the best one.
const MEMBER: f64 = 0.6;

/// The loudness of a sound over time.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Every 10 ms, 0 (-50 dBFS and less) to 1 (full scale).
    levels: Vec<f64>,
}

impl Envelope {
    /// Listens to all of it.
    pub(super) fn of(sound: &Sound, cancel: &Cancel) -> Result<Self> {
        let step = (f64::from(SPEECH_RATE) / LEVELS) as usize;
        let mut powers = Vec::new();
        let (mut sum, mut count) = (0.0, 0);
        let mut reader = sound.speech()?;
        let (mut samples, mut more) = (Vec::new(), true);
        while more {
            cancel.check()?;
            samples.clear();
            more = reader.read(&mut samples)?;
            for sample in &samples {
                sum += f64::from(*sample).powi(2);
                count += 1;
                if count == step {
                    powers.push(sum / step as f64);
                    (sum, count) = (0.0, 0);
                }
            }
        }
        let level = |power: f64| {
            let db = 10.0 * power.max(1e-12).log10();
            1.0 - db.clamp(FLOOR_DB, 0.0) / FLOOR_DB
        };
        // As long as a video frame, so that the voice's own vibration is not taken for loudness.
        let smooth = |i: usize| {
            let around = &powers[i.saturating_sub(2)..(i + 3).min(powers.len())];
            level(around.iter().sum::<f64>() / around.len() as f64)
        };
        Ok(Self {
            levels: (0..powers.len()).map(smooth).collect(),
        })
    }

    /// The level at `seconds`; 0 outside the sound.
    pub(super) fn at(&self, seconds: f64) -> f64 {
        let place = seconds * LEVELS - 0.5;
        let index = place.floor();
        let rest = place - index;
        let level = |i: f64| {
            let inside = i >= 0.0 && i < self.levels.len() as f64;
            if inside { self.levels[i as usize] } else { 0.0 }
        };
        level(index) * (1.0 - rest) + level(index + 1.0) * rest
    }

    /// Its ups and downs at `times`, `lag` seconds later than they say: mean 0, variance 1; none where it has none.
    fn wave(&self, times: &[f64], lag: f64) -> Option<Vec<f64>> {
        wave(
            times.iter().map(|time| self.at(time + lag)).collect(),
            times,
        )
    }
}

/// How far apart mouth and sound are.
#[derive(Debug, Serialize)]
pub struct Sync {
    /// Milliseconds by which the sound comes after the mouth; negative where it comes before.
    pub lag_ms: f64,
    /// Correlation of both at this lag, -1..1.
    pub correlation: f64,
    /// How much higher that is than at all lags farther away.
    pub margin: f64,
    /// The highest correlation found with the same sound at wrong places of the clip.
    pub by_chance: f64,
    /// Whether the lag can be relied on.
    pub is_sure: bool,
    /// Where motion was looked for: `[x0, y0, x1, y1]` in pixels; none where crop rectangles say it for each frame.
    pub region: Option<[u32; 4]>,
    /// Seconds of the clip that were looked at.
    pub seconds: f64,
    /// Correlation at each lag, `(milliseconds, correlation)`.
    #[serde(skip)]
    pub(super) curve: Vec<(f64, f64)>,
    /// How the mouth moves at each frame, rising with the sound: mean 0, variance 1.
    #[serde(skip)]
    pub(super) mouth: Vec<f64>,
}

impl Sync {
    /// Compares motion and sound; none where there is too little of them.
    pub(super) fn of(motion: &Motion, envelope: &Envelope, has_rects: bool) -> Option<Self> {
        let times = motion.times.get(..motion.cells.len())?;
        if times.len() < FEWEST {
            return None;
        }
        let lags: Vec<(f64, Vec<f64>)> = (-MOST_MS..=MOST_MS)
            .step_by(STEP_MS as usize)
            .map(|ms| Some((f64::from(ms), envelope.wave(times, f64::from(ms) / 1e3)?)))
            .collect::<Option<_>>()?;
        let cells = Cells::of(motion, times);
        let mouth = cells.mouth(&lags, 0)?;
        let curve: Vec<(f64, f64)> = lags
            .iter()
            .map(|(ms, sound)| (*ms, correlation(&mouth.wave, sound)))
            .collect();
        let best = (0..curve.len()).max_by(|a, b| curve[*a].1.total_cmp(&curve[*b].1))?;
        let (at, peak) = curve[best];
        let others = curve
            .iter()
            .filter(|(ms, _)| (ms - at).abs() > f64::from(PEAK_MS));
        let margin = peak - others.map(|(_, r)| *r).fold(-1.0, f64::max);
        let by_chance = cells.by_chance(&lags);
        let area = motion.area(&mouth.columns, &mouth.rows);
        Some(Self {
            lag_ms: vertex(&curve, best).round(),
            correlation: rounded(peak),
            margin: rounded(margin),
            by_chance: rounded(by_chance),
            is_sure: peak >= LEAST_CORRELATION
                && margin >= LEAST_MARGIN
                && peak >= ABOVE_CHANCE * by_chance
                && best > 0
                && best + 1 < curve.len(),
            region: (!has_rects).then_some([area.x0, area.y0, area.x1, area.y1]),
            seconds: rounded(times.last()? - times.first()?),
            curve,
            mouth: mouth.wave,
        })
    }

    /// Whether mouth and sound are surely apart.
    pub(super) fn is_off(&self) -> bool {
        self.is_sure && self.lag_ms.abs() > OFF_MS
    }

    /// The area that was found by itself.
    pub(super) fn region(&self) -> Option<Rect> {
        self.region.map(|[x0, y0, x1, y1]| Rect { x0, y0, x1, y1 })
    }

    /// What is said of it.
    pub(super) fn verdict(&self) -> String {
        if !self.is_sure {
            return "not sure: mouth and sound do not move together clearly enough".into();
        }
        match self.lag_ms {
            lag if lag > OFF_MS => {
                format!("the sound comes {lag:.0} ms after the mouth")
            }
            lag if lag < -OFF_MS => format!("the sound comes {:.0} ms before the mouth", -lag),
            lag => format!("mouth and sound agree, lag {lag:+.0} ms"),
        }
    }

    /// What that rests on.
    pub(super) fn numbers(&self) -> String {
        let place = match self.region {
            Some([x0, y0, x1, y1]) => format!("motion found in [{x0}, {y0}, {x1}, {y1}]"),
            None => "motion in the crop rectangles".into(),
        };
        format!(
            "correlation {:.2}, {:.2} above other lags, {:.2} by chance; {place}",
            self.correlation, self.margin, self.by_chance
        )
    }
}

/// The ups and downs of each cell's brightness: an open mouth is darker than a closed one, teeth are brighter.
struct Cells {
    across: usize,
    down: usize,
    /// For each cell, mean 0 and variance 1; none where it hardly changes.
    waves: Vec<Option<Vec<f64>>>,
    /// How strongly each cell changes: standard deviation in levels of 255.
    strengths: Vec<f64>,
}

/// What moves with a sound.
struct Mouth {
    columns: Range<usize>,
    rows: Range<usize>,
    /// Rises and falls with the sound: mean 0, variance 1.
    wave: Vec<f64>,
    /// Its correlation with the sound at the best lag.
    peak: f64,
}

impl Cells {
    fn of(motion: &Motion, times: &[f64]) -> Self {
        let (across, down) = motion.grid;
        let values = |cell: usize| -> Vec<f64> {
            let frames = motion.cells.iter();
            frames.map(|cells| f64::from(cells[cell])).collect()
        };
        let (waves, strengths) = (0..across * down)
            .into_par_iter()
            .map(|cell| {
                let mut values = values(cell);
                flatten(&mut values, times);
                let strength = deviation(&values);
                (
                    wave_of_flat(values).filter(|_| strength > LEAST_LEVELS),
                    strength,
                )
            })
            .unzip();
        Self {
            across,
            down,
            waves,
            strengths,
        }
    }

    /// The cells that go with the sound best, at whichever lag, when it is moved on by `shift` frames.
    fn mouth(&self, lags: &[(f64, Vec<f64>)], shift: usize) -> Option<Mouth> {
        let found = self
            .waves
            .par_iter()
            .enumerate()
            .filter_map(|(cell, wave)| {
                let wave = wave.as_ref()?;
                // Every second lag is enough to find the place.
                let signed = lags.iter().step_by(2).map(|(_, s)| shifted(wave, s, shift));
                let best = signed.max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
                // Strong changes that go with the sound, rather than any speck that happens to.
                let score = best * best * self.strengths[cell].sqrt();
                Some((score, cell, best))
            });
        let scores: Vec<(f64, usize, f64)> = found.collect();
        let (_, centre, most) = scores.iter().max_by(|a, b| a.0.total_cmp(&b.0)).copied()?;
        let near = |at: usize, size: usize| at.saturating_sub(REACH)..(at + REACH + 1).min(size);
        let columns = near(centre % self.across, self.across);
        let rows = near(centre / self.across, self.down);
        let mut sum = vec![0.0; lags.first()?.1.len()];
        for (_, cell, r) in &scores {
            let inside = columns.contains(&(cell % self.across));
            let inside = inside && rows.contains(&(cell / self.across));
            if !inside || r.abs() < MEMBER * most.abs() {
                continue;
            }
            for (sum, value) in sum.iter_mut().zip(self.waves[*cell].iter().flatten()) {
                *sum += r.signum() * self.strengths[*cell] * value;
            }
        }
        let wave = wave_of_flat(sum)?;
        let peaks = lags.iter().map(|(_, sound)| shifted(&wave, sound, shift));
        Some(Mouth {
            columns,
            rows,
            peak: peaks.fold(0.0, f64::max),
            wave,
        })
    }

    /// The highest correlation that is found with the sound at wrong places of the clip, its end put before its start.
    fn by_chance(&self, lags: &[(f64, Vec<f64>)]) -> f64 {
        let frames = lags.first().map_or(0, |(_, sound)| sound.len());
        let shifts = (1..=CHANCES).map(|i| i * frames / (CHANCES + 1));
        let peaks = shifts.filter_map(|shift| Some(self.mouth(lags, shift)?.peak));
        peaks.fold(0.0, f64::max)
    }
}

/// Correlation of a wave with a sound that is moved on by `shift` frames, its end put before its start.
fn shifted(wave: &[f64], sound: &[f64], shift: usize) -> f64 {
    let (start, end) = sound.split_at(shift);
    let (early, late) = wave.split_at(end.len());
    let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (products(early, end) + products(late, start)) / wave.len() as f64
}

/// Takes off what changes slowly, such as light and the pose: the mean over two seconds.
fn flatten(values: &mut [f64], times: &[f64]) {
    let span = times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0);
    let second = (values.len() as f64 / span.max(1e-9)).round().max(1.0) as usize;
    let mut sums = vec![0.0];
    for value in values.iter() {
        sums.push(sums[sums.len() - 1] + value);
    }
    for (i, value) in values.iter_mut().enumerate() {
        let (from, to) = (
            i.saturating_sub(second),
            (i + second + 1).min(sums.len() - 1),
        );
        *value -= (sums[to] - sums[from]) / (to - from) as f64;
    }
}

/// The quick ups and downs of values at `times`.
fn wave(mut values: Vec<f64>, times: &[f64]) -> Option<Vec<f64>> {
    flatten(&mut values, times);
    wave_of_flat(values)
}

/// Mean 0 and variance 1; none where all values are equal.
fn wave_of_flat(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let deviation = deviation(&values);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    for value in &mut values {
        *value = (*value - mean) / deviation;
    }
    (deviation > 1e-6).then_some(values)
}

/// Standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Correlation of two standardised curves.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

/// The top of the parabola through the best lag and its neighbours.
fn vertex(curve: &[(f64, f64)], best: usize) -> f64 {
    let (at, peak) = curve[best];
    let before = best.checked_sub(1).and_then(|i| curve.get(i));
    let Some((before, after)) = before.zip(curve.get(best + 1)) else {
        return at;
    };
    let bend = before.1 - 2.0 * peak + after.1;
    if bend >= 0.0 {
        return at;
    }
    at + 0.5 * (before.1 - after.1) / bend * f64::from(STEP_MS)
}
