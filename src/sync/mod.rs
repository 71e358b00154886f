//! Whether the mouth moves with the sound: both curves, laid over each other at every lag up to 400 ms.
//!
//! The mouth is seen by its brightness: it darkens where it opens. That follows the loudness much more closely than the
//! amount of motion does, which has a peak at each opening and another at each closing. Where the backgrounds are known,
//! the brightness is what the clip adds to them, so that neither the head's sway nor the light counts.

mod grid;
mod known_backgrounds;
mod loudness;
mod motion;
mod mouth;

use serde::Serialize;

pub(crate) use grid::luma;
pub(crate) use loudness::Loudness;
pub(crate) use motion::{Look, Making, Motion, View};

use crate::image::Rect;
use mouth::{CellCurves, correlation};

/// Milliseconds from one lag to the next.
const LAG_STEP_MS: i32 = 10;
/// The greatest lag, in milliseconds.
const MAX_LAG_MS: i32 = 400;
/// Lags this near to the best one belong to its peak.
const PEAK_WIDTH_MS: i32 = 120;
/// Off by more than this is told as a fault: what viewers notice (ITU-R BT.1359: 45 ms early, 125 ms late).
const MAX_IN_SYNC_MS: f64 = 80.0;
/// Frames that are needed at least.
const MIN_FRAMES: usize = 50;
/// Correlation below which nothing is claimed.
const MIN_CORRELATION: f64 = 0.3;
/// The peak must stand above all other lags by this much.
const MIN_MARGIN: f64 = 0.05;
/// .. and be so many times as high as what is found with the sound at wrong places of the clip.
const MIN_CHANCE_RATIO: f64 = 1.2;

/// How far apart mouth and sound are.
#[derive(Debug, Serialize)]
pub(crate) struct Sync {
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
    /// Whether the backgrounds were known, so that only what the clip adds to them was looked at.
    pub with_background: bool,
    /// Seconds of the clip that were looked at.
    pub seconds: f64,
    /// Correlation at each lag, `(milliseconds, correlation)`.
    #[serde(skip)]
    pub(crate) curve: Vec<(f64, f64)>,
    /// How the mouth moves at each frame, rising with the sound: mean 0, variance 1.
    #[serde(skip)]
    pub(crate) mouth: Vec<f64>,
}

impl Sync {
    /// Compares motion and sound; none where there is too little of them.
    pub(crate) fn of(motion: &Motion, loudness: &Loudness) -> Option<Self> {
        let times = &motion.middles();
        if times.len() < MIN_FRAMES {
            return None;
        }
        let lags: Vec<(f64, Vec<f64>)> = (-MAX_LAG_MS..=MAX_LAG_MS)
            .step_by(LAG_STEP_MS as usize)
            .map(|ms| Some((f64::from(ms), loudness.curve(times, f64::from(ms) / 1e3)?)))
            .collect::<Option<_>>()?;
        let cells = CellCurves::of(motion, times);
        let mouth = cells.find_mouth(&lags, 0)?;
        let curve: Vec<(f64, f64)> = lags
            .iter()
            .map(|(ms, audio)| (*ms, correlation(&mouth.curve, audio)))
            .collect();
        let best = (0..curve.len()).max_by(|a, b| curve[*a].1.total_cmp(&curve[*b].1))?;
        let (at, peak) = curve[best];
        let others = curve
            .iter()
            .filter(|(ms, _)| (ms - at).abs() > f64::from(PEAK_WIDTH_MS));
        let margin = peak - others.map(|(_, r)| *r).fold(-1.0, f64::max);
        let by_chance = cells.by_chance(&lags);
        let area = motion.area(&mouth.columns, &mouth.rows);
        Some(Self {
            lag_ms: parabola_peak(&curve, best).round(),
            correlation: rounded(peak),
            margin: rounded(margin),
            by_chance: rounded(by_chance),
            is_sure: peak >= MIN_CORRELATION
                && margin >= MIN_MARGIN
                && peak >= MIN_CHANCE_RATIO * by_chance
                && best > 0
                && best + 1 < curve.len(),
            region: area.map(|area| [area.x0, area.y0, area.x1, area.y1]),
            with_background: motion.has_backgrounds(),
            seconds: rounded(times.last()? - times.first()?),
            curve,
            mouth: mouth.curve,
        })
    }

    /// Whether mouth and sound are surely apart.
    pub(crate) fn is_off(&self) -> bool {
        self.is_sure && self.lag_ms.abs() > MAX_IN_SYNC_MS
    }

    /// The area that was found by itself.
    pub(crate) fn region(&self) -> Option<Rect> {
        self.region.map(|[x0, y0, x1, y1]| Rect { x0, y0, x1, y1 })
    }

    /// What is said of it.
    pub(crate) fn verdict(&self) -> String {
        if !self.is_sure {
            return "not sure: mouth and sound do not move together clearly enough".into();
        }
        match self.lag_ms {
            lag if lag > MAX_IN_SYNC_MS => {
                format!("the sound comes {lag:.0} ms after the mouth")
            }
            lag if lag < -MAX_IN_SYNC_MS => {
                format!("the sound comes {:.0} ms before the mouth", -lag)
            }
            lag => format!("mouth and sound agree, lag {lag:+.0} ms"),
        }
    }

    /// What that rests on.
    pub(crate) fn numbers(&self) -> String {
        let place = match self.region {
            Some([x0, y0, x1, y1]) => format!("motion found in [{x0}, {y0}, {x1}, {y1}]"),
            None if self.with_background => "motion against the background".into(),
            None => "motion in the crop rectangles".into(),
        };
        format!(
            "correlation {:.2}, {:.2} above other lags, {:.2} by chance; {place}",
            self.correlation, self.margin, self.by_chance
        )
    }
}

/// The top of the parabola through the best lag and its neighbours.
fn parabola_peak(curve: &[(f64, f64)], best: usize) -> f64 {
    let (at, peak) = curve[best];
    let before = best.checked_sub(1).and_then(|i| curve.get(i));
    let Some((before, after)) = before.zip(curve.get(best + 1)) else {
        return at;
    };
    let bend = before.1 - 2.0 * peak + after.1;
    if bend >= 0.0 {
        return at;
    }
    at + 0.5 * (before.1 - after.1) / bend * f64::from(LAG_STEP_MS)
}

/// Rounded to three digits after the point: nothing is known better, and JSON stays readable.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
