//! The mouth: the cells of a picture that get darker and brighter with the audio.

use std::ops::Range;

use rayon::prelude::*;

use super::motion::Motion;

/// Wrong positions of the audio that are tried.
const CHANCE_TRIALS: usize = 5;
/// Cells that change less are ignored as coding noise: standard deviation, in levels of 255.
const MIN_DEVIATION: f64 = 0.3;
/// Cells by which a mouth extends to each side of its centre ..
const REACH: usize = 3;
/// .. if their correlation is at least this share of the best one.
const MIN_SHARE: f64 = 0.6;

/// The brightness of each cell over time: an open mouth is darker than a closed one, teeth are brighter.
pub(super) struct CellCurves {
    across: usize,
    down: usize,
    /// Detrended brightness of each cell: mean 0, variance 1. None if it hardly changes.
    curves: Vec<Option<Vec<f64>>>,
    /// How much each cell changes: standard deviation, in levels of 255.
    strengths: Vec<f64>,
}

/// The cells that move with the audio.
pub(super) struct Mouth {
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Movement over time, rising with the audio: mean 0, variance 1.
    pub(super) curve: Vec<f64>,
    /// Correlation with the audio at the best lag.
    pub(super) peak: f64,
}

impl CellCurves {
    pub(super) fn of(motion: &Motion, times: &[f64]) -> Self {
        let (across, down) = motion.grid();
        let values = |cell: usize| -> Vec<f64> {
            let frames = motion.cells.iter();
            frames.map(|cells| f64::from(cells[cell])).collect()
        };
        let (curves, strengths) = (0..across * down)
            .into_par_iter()
            .map(|cell| {
                let mut values = values(cell);
                detrend(&mut values, times);
                let strength = standard_deviation(&values);
                (
                    standardise(values).filter(|_| strength > MIN_DEVIATION),
                    strength,
                )
            })
            .unzip();
        Self {
            across,
            down,
            curves,
            strengths,
        }
    }

    /// The cells with the best correlation at any lag, with the audio shifted by `shift` frames.
    pub(super) fn find_mouth(&self, lags: &[(f64, Vec<f64>)], shift: usize) -> Option<Mouth> {
        let found = self
            .curves
            .par_iter()
            .enumerate()
            .filter_map(|(cell, curve)| {
                let curve = curve.as_ref()?;
                // Every second lag is enough to find the mouth.
                let signed = lags
                    .iter()
                    .step_by(2)
                    .map(|(_, s)| shifted_correlation(curve, s, shift));
                let best = signed.max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
                // Strong changes are preferred to small ones that correlate by chance.
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
            if !inside || r.abs() < MIN_SHARE * most.abs() {
                continue;
            }
            for (sum, value) in sum.iter_mut().zip(self.curves[*cell].iter().flatten()) {
                *sum += r.signum() * self.strengths[*cell] * value;
            }
        }
        let curve = standardise(sum)?;
        let peaks = lags
            .iter()
            .map(|(_, audio)| shifted_correlation(&curve, audio, shift));
        Some(Mouth {
            columns,
            rows,
            peak: peaks.fold(0.0, f64::max),
            curve,
        })
    }

    /// The highest correlation with the audio at wrong positions: shifted, with its end moved to the front.
    pub(super) fn by_chance(&self, lags: &[(f64, Vec<f64>)]) -> f64 {
        let frames = lags.first().map_or(0, |(_, audio)| audio.len());
        let shifts = (1..=CHANCE_TRIALS).map(|i| i * frames / (CHANCE_TRIALS + 1));
        let peaks = shifts.filter_map(|shift| Some(self.find_mouth(lags, shift)?.peak));
        peaks.fold(0.0, f64::max)
    }
}

/// Correlation of a curve with audio shifted by `shift` frames, cyclically.
fn shifted_correlation(curve: &[f64], audio: &[f64], shift: usize) -> f64 {
    let (start, end) = audio.split_at(shift);
    let (early, late) = curve.split_at(end.len());
    let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (products(early, end) + products(late, start)) / curve.len() as f64
}

/// Subtracts the mean over two seconds, which removes slow changes such as lighting and pose.
fn detrend(values: &mut [f64], times: &[f64]) {
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

/// The quick changes of `values` at `times`: mean 0, variance 1. None if all values are equal.
pub(super) fn detrended(mut values: Vec<f64>, times: &[f64]) -> Option<Vec<f64>> {
    detrend(&mut values, times);
    standardise(values)
}

/// Scales to mean 0 and variance 1; None if all values are equal.
fn standardise(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let standard_deviation = standard_deviation(&values);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    for value in &mut values {
        *value = (*value - mean) / standard_deviation;
    }
    (standard_deviation > 1e-6).then_some(values)
}

/// Standard deviation.
fn standard_deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Correlation of two standardised curves.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}
