//! Whether a clip is what it was expected to be: frame by frame, and its sound, against another clip or folder of pictures.
//!
//! Frames are decoded on the calling thread and measured on all others as they come; nothing of a frame is kept but its
//! figures.

mod audio;
mod measure;
mod picture;
mod run;
mod side;
mod text;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

pub(crate) use audio::AudioDifference;
pub(crate) use measure::psnr;
pub(crate) use picture::draw;
pub(crate) use side::Facts;

use crate::cancel::Cancel;
use crate::sync::{Look, Loudness, Making, Motion, Sync, View, rounded};
use run::Run;
use side::{Colours, Side};

/// Version of the JSON; keys are only ever added to it.
const SCHEMA_VERSION: u32 = 1;
/// Rates that differ by a smaller share are one: containers that count milliseconds round them.
const SAME_RATE: f64 = 5e-4;
/// Frames that are listed and drawn as the worst.
const WORST: usize = 5;

/// What every pair of frames must reach.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Limits {
    /// Least PSNR, dB.
    pub min_psnr_db: Option<f64>,
    /// Least SSIM.
    pub min_ssim: Option<f64>,
    /// Largest difference of two samples.
    pub max_abs: Option<u16>,
}

impl Limits {
    /// Where no limit is given, frames must be equal.
    fn or_equal(self) -> Self {
        let none = self == Self::default();
        Self {
            max_abs: if none { Some(0) } else { self.max_abs },
            ..self
        }
    }

    fn are_kept_by(&self, frame: &FrameFigures) -> bool {
        self.min_psnr_db.is_none_or(|least| frame.psnr() >= least)
            && self.min_ssim.is_none_or(|least| frame.ssim >= least)
            && self.max_abs.is_none_or(|most| frame.max_abs <= most)
    }
}

/// The figures of one pair of frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FrameFigures {
    /// Its number, from 0.
    pub frame: usize,
    /// When the expected one is shown, in seconds; else the actual one; none between folders.
    pub seconds: Option<f64>,
    /// Peak signal-to-noise ratio in dB; none (infinite) where the frames are equal.
    pub psnr_db: Option<f64>,
    /// Structural similarity, 1 where they are equal.
    pub ssim: f64,
    /// Largest difference of two samples.
    pub max_abs: u16,
    /// Column and row of that.
    pub at: [usize; 2],
    /// Whether it keeps the limits.
    pub passes: bool,
}

impl FrameFigures {
    /// PSNR in dB, infinite where the frames are equal.
    pub(crate) fn psnr(&self) -> f64 {
        self.psnr_db.unwrap_or(f64::INFINITY)
    }
}

/// Figures of all frames together.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overall {
    /// Of the mean squared error of all frames, dB; none (infinite) where all are equal.
    pub psnr_db: Option<f64>,
    /// Of the frame where it is lowest, dB; none where all are equal.
    pub lowest_psnr_db: Option<f64>,
    /// Mean of all frames.
    pub ssim: f64,
    /// Of the frame where it is lowest.
    pub lowest_ssim: f64,
    /// Largest difference of two samples in any frame.
    pub max_abs: u16,
    /// Frames that are equal.
    pub equal: usize,
    /// Frames that do not keep the limits.
    pub failed: usize,
    /// Each plane alone.
    pub planes: Vec<PlaneFigures>,
}

/// Figures of one plane in all frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlaneFigures {
    /// `Y`, `U`, `V`, `R`, `G`, `B` or `A`.
    pub plane: char,
    /// PSNR of the mean squared error, dB; none (infinite) where it is equal in all frames.
    pub psnr_db: Option<f64>,
    /// Mean SSIM.
    pub ssim: f64,
}

/// How well mouth and sound of each clip agree.
#[derive(Debug, Serialize)]
pub(crate) struct SyncPair {
    /// Of the expected clip; none without sound or without motion.
    pub expected: Option<Sync>,
    /// Of the actual clip.
    pub actual: Option<Sync>,
    /// Milliseconds by which the lag of the actual one is greater; none where either is not sure.
    pub apart_ms: Option<f64>,
}

/// What a comparison found.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    schema_version: u32,
    /// Whether all is as it should be.
    pub same: bool,
    /// What is not, one line each.
    pub differences: Vec<String>,
    /// What should be known but is no difference.
    pub warnings: Vec<String>,
    /// The clip as it should be.
    pub expected: Facts,
    /// The clip as it is.
    pub actual: Facts,
    /// Letters of the planes that were compared: `Y U V` as both videos store them, else `R G B`.
    pub compared_in: String,
    /// Bits of a sample: full scale is 255 for 8.
    pub depth: u32,
    /// What every frame had to keep.
    pub limits: Limits,
    /// All frames together; none where none could be compared.
    pub overall: Option<Overall>,
    /// How the sounds differ; none where a side has none.
    pub sound: Option<AudioDifference>,
    /// How well mouth and sound agree.
    pub sync: SyncPair,
    /// Numbers of the worst frames, the worst first; equal ones are none of them.
    pub worst: Vec<usize>,
    /// Every frame.
    pub frames: Vec<FrameFigures>,
    #[serde(skip)]
    sides: [Side; 2],
}

impl Comparison {
    /// Compares `actual` with `expected`. `making` is what is known of the making of both; `progress` is told how many
    /// frames were compared, of how many as far as that is known.
    pub(crate) fn of(
        expected: &Path,
        actual: &Path,
        limits: Limits,
        making: &Making,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let sides = [Side::open(expected)?, Side::open(actual)?];
        let mut warnings = Vec::new();
        let (colours, compared_in) = colours_of(&sides);
        let mut views = [None, None];
        for (view, side) in views.iter_mut().zip(&sides) {
            if side.sound().is_some() {
                let found = View::of(&side.path, side.size, making, &mut warnings, cancel)?;
                *view = Some(found);
            }
        }
        let counts = sides.iter().filter_map(Side::frames);
        let all = counts.min().unwrap_or(0);
        let run = Run::over(&sides, colours, &views, cancel, &mut |done| {
            if all > 0 {
                progress(done, all);
            }
        })?;
        let limits = limits.or_equal();
        let overall = run.overall();
        let mut frames = run.figures;
        for frame in &mut frames {
            frame.passes = limits.are_kept_by(frame);
        }
        let failed = frames.iter().filter(|frame| !frame.passes).count();
        let mut syncs = Vec::new();
        for ((side, view), looks) in sides.iter().zip(views).zip(run.looks) {
            syncs.push(sync_of(side, view, looks, &mut warnings, cancel)?);
        }
        let [first, second] = &sides;
        let delay = |side: &Side| side.film().map_or(0.0, |film| film.media.picture_delay());
        let sound = match (first.sound(), second.sound()) {
            (Some(a), Some(b)) => Some(AudioDifference::of(
                (a, delay(first)),
                (b, delay(second)),
                cancel,
            )?),
            _ => None,
        };
        let actual_sync = syncs.pop().flatten();
        let mut comparison = Self {
            schema_version: SCHEMA_VERSION,
            same: false,
            differences: Vec::new(),
            warnings,
            expected: first.facts(run.counts[0]),
            actual: second.facts(run.counts[1]),
            compared_in,
            depth: run.depth,
            limits,
            overall: overall.map(|overall| Overall { failed, ..overall }),
            sound,
            sync: SyncPair::of(syncs.pop().flatten(), actual_sync),
            worst: worst(&frames),
            frames,
            sides,
        };
        comparison.differences = comparison.find_differences();
        comparison.same = comparison.differences.is_empty();
        Ok(comparison)
    }

    fn find_differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (e, a) = (&self.expected, &self.actual);
        let mut differ = |what: &str, expected: String, actual: String| {
            found.push(format!("{what}: {expected} expected, {actual} found"));
        };
        if e.frames != a.frames {
            differ("frames", e.frames.to_string(), a.frames.to_string());
        }
        let [first, second] = &self.sides;
        if first.size != second.size {
            differ("size", first.size.to_string(), second.size.to_string());
        }
        if let (Some(x), Some(y)) = (first.fps(), second.fps())
            && (x - y).abs() > x * SAME_RATE
        {
            differ("frames a second", rate(x), rate(y));
        }
        if let (Some(x), Some(y)) = (&e.colours, &a.colours)
            && x != y
        {
            differ("colour tags", x.clone(), y.clone());
        }
        if first.film().is_some()
            && second.film().is_some()
            && e.sound.is_some() != a.sound.is_some()
        {
            let word = |sound: &Option<String>| if sound.is_some() { "one" } else { "none" };
            differ("sound", word(&e.sound).into(), word(&a.sound).into());
        }
        found.extend(self.sound.iter().flat_map(AudioDifference::faults));
        let failed = self.overall.as_ref().map_or(0, |overall| overall.failed);
        if failed > 0 {
            let verb = if failed == 1 { "is" } else { "are" };
            let what = self.limits.words();
            let all = self.frames.len();
            found.push(format!("{failed} of {all} frames {verb} {what}"));
        }
        found
    }

    /// The figures of the worst frames, the worst first.
    pub(crate) fn worst_frames(&self) -> impl Iterator<Item = &FrameFigures> {
        self.worst
            .iter()
            .filter_map(|frame| self.frames.get(*frame))
    }
}

impl Limits {
    /// What a frame is that does not keep them.
    fn words(&self) -> String {
        let psnr = self.min_psnr_db.map(|db| format!("below {db} dB"));
        let ssim = self.min_ssim.map(|least| format!("below SSIM {least}"));
        let largest = self.max_abs.map(|most| match most {
            0 => "not equal".into(),
            most => format!("more than {most} apart"),
        });
        let all: Vec<String> = [psnr, ssim, largest].into_iter().flatten().collect();
        all.join(" or ")
    }
}

impl SyncPair {
    fn of(expected: Option<Sync>, actual: Option<Sync>) -> Self {
        let sure = |sync: &Option<Sync>| Some(sync.as_ref().filter(|s| s.is_sure)?.lag_ms);
        let lags = sure(&expected).zip(sure(&actual));
        Self {
            apart_ms: lags.map(|(expected, actual)| actual - expected),
            expected,
            actual,
        }
    }
}

/// Frames a second as it is written: `25`, `29.97`.
fn rate(fps: f64) -> String {
    rounded(fps).to_string()
}

/// Where both sides are videos that store their pictures alike, as they are stored; else R G B.
fn colours_of(sides: &[Side; 2]) -> (Colours, String) {
    let films = sides[0].film().zip(sides[1].film());
    match films.and_then(|(a, b)| a.file.planes_as_in(&b.file)) {
        Some(letters) => (Colours::Stored, letters),
        None => (Colours::Rgb, "R G B".into()),
    }
}

/// The lowest PSNR first; equal frames are left out.
fn worst(frames: &[FrameFigures]) -> Vec<usize> {
    let mut unequal: Vec<&FrameFigures> = frames.iter().filter(|f| f.max_abs > 0).collect();
    unequal.sort_by(|a, b| {
        let by_psnr = a.psnr().total_cmp(&b.psnr());
        a.passes.cmp(&b.passes).then(by_psnr)
    });
    unequal.iter().take(WORST).map(|f| f.frame).collect()
}

fn sync_of(
    side: &Side,
    view: Option<View>,
    looks: Vec<(f64, Look)>,
    warnings: &mut Vec<String>,
    cancel: &Cancel,
) -> Result<Option<Sync>> {
    let Some((view, film, sound)) = view
        .zip(side.film())
        .and_then(|(view, film)| Some((view, film, film.sound.as_ref()?)))
    else {
        return Ok(None);
    };
    let late = film.media.picture_delay();
    let mut motion = Motion::new(side.size, view);
    for (seconds, look) in looks {
        motion.push(seconds + late, look);
    }
    let shown = side.path.display();
    warnings.extend(motion.doubt().map(|doubt| format!("`{shown}`: {doubt}")));
    let loudness = Loudness::of(sound, cancel)?;
    Ok(Sync::of(&motion, &loudness))
}

/// PSNR in dB, to three digits; none where there is no error.
fn decibels(mse: f64, depth: u32) -> Option<f64> {
    (mse > 0.0).then(|| rounded(psnr(mse, depth)))
}

/// A similarity to six digits; 1 only where nothing differs.
fn digits(ssim: f64) -> f64 {
    (ssim * 1e6).floor() / 1e6
}
