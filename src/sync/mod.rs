//! Frames of a clip and its audio -> how many milliseconds mouth and audio are apart.
//!
//! The brightness of the mouth is correlated with the loudness of the audio, at every lag up to 400 ms. A mouth gets
//! darker when it opens; this follows the loudness much more closely than the amount of motion, which peaks at each
//! opening and again at each closing. If the backgrounds are known, only what the clip adds to them counts, so that
//! head motion and lighting do not matter.
//!
//! | file | what it does |
//! | --- | --- |
//! | `grid` | reduces frames to the brightness of a coarse grid of cells |
//! | `known_backgrounds` | finds out which background a frame shows |
//! | `motion` | collects the cells of all frames: [`Motion`] |
//! | `loudness` | measures how loud the voice is over time: [`Loudness`] |
//! | `mouth` | finds the cells that change with the audio |

mod grid;
mod known_backgrounds;
mod loudness;
mod motion;
mod mouth;

use serde::Serialize;

pub(crate) use grid::luma;
pub(crate) use loudness::Loudness;
pub(crate) use motion::{Look, Motion, RenderInputs, View};

use crate::image::Rect;
use mouth::{CellCurves, correlation};

/// Milliseconds from one lag to the next.
const LAG_STEP_MS: i32 = 10;
/// Largest lag, in milliseconds.
const MAX_LAG_MS: i32 = 400;
/// Lags this close to the best one belong to its peak.
const PEAK_WIDTH_MS: i32 = 120;
/// A larger lag is reported as a problem: viewers notice it (ITU-R BT.1359: 45 ms early, 125 ms late).
const MAX_IN_SYNC_MS: f64 = 80.0;
/// Fewest frames that are compared.
const MIN_FRAMES: usize = 50;
/// Correlation below which the lag is not reliable.
const MIN_CORRELATION: f64 = 0.3;
/// Least difference between the peak and all other lags ..
const MIN_MARGIN: f64 = 0.05;
/// .. and least ratio of the peak to the correlation with the audio at wrong positions.
const MIN_CHANCE_RATIO: f64 = 1.2;

/// How far apart mouth and audio are.
#[derive(Debug, Serialize)]
pub(crate) struct Sync {
    /// Milliseconds by which the audio is behind the mouth; negative if it is ahead.
    pub lag_ms: f64,
    /// Correlation at this lag, -1..1.
    pub correlation: f64,
    /// How much higher it is than at all other lags.
    pub margin: f64,
    /// Highest correlation with the same audio at wrong positions in the clip.
    pub by_chance: f64,
    /// Whether the lag is reliable.
    pub is_sure: bool,
    /// Where the mouth was found: `[x0, y0, x1, y1]` in pixels; None if crop rectangles state it for each frame.
    pub region: Option<[u32; 4]>,
    /// Whether the backgrounds were known, so that only what the clip adds to them was compared.
    pub with_background: bool,
    /// Seconds of the clip that were compared.
    pub seconds: f64,
    /// Correlation at each lag, `(milliseconds, correlation)`.
    #[serde(skip)]
    pub(crate) curve: Vec<(f64, f64)>,
    /// Mouth movement at each frame, rising with the audio: mean 0, variance 1.
    #[serde(skip)]
    pub(crate) mouth: Vec<f64>,
}

impl Sync {
    /// Compares motion and loudness; None if there is too little of either.
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

    /// Whether mouth and audio are reliably out of sync.
    pub(crate) fn is_off(&self) -> bool {
        self.is_sure && self.lag_ms.abs() > MAX_IN_SYNC_MS
    }

    /// Where the mouth was found, if no crop rectangles are known.
    pub(crate) fn region(&self) -> Option<Rect> {
        self.region.map(|[x0, y0, x1, y1]| Rect { x0, y0, x1, y1 })
    }

    /// The result as a sentence.
    pub(crate) fn verdict(&self) -> String {
        if !self.is_sure {
            return "not sure: mouth and audio do not move together clearly enough".into();
        }
        match self.lag_ms {
            lag if lag > MAX_IN_SYNC_MS => {
                format!("the audio is {lag:.0} ms behind the mouth")
            }
            lag if lag < -MAX_IN_SYNC_MS => {
                format!("the audio is {:.0} ms ahead of the mouth", -lag)
            }
            lag => format!("mouth and audio are in sync, lag {lag:+.0} ms"),
        }
    }

    /// The numbers behind the result.
    pub(crate) fn numbers(&self) -> String {
        let region = match self.region {
            Some([x0, y0, x1, y1]) => format!("mouth found in [{x0}, {y0}, {x1}, {y1}]"),
            None if self.with_background => "compared with the background".into(),
            None => "measured in the crop rectangles".into(),
        };
        format!(
            "correlation {:.2}, {:.2} above other lags, {:.2} by chance; {region}",
            self.correlation, self.margin, self.by_chance
        )
    }
}

/// Vertex of the parabola through the best lag and its neighbours.
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

/// Rounds to three decimals: the values are not more precise, and JSON stays readable.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
