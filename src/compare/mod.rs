//! Compares a clip with what it is expected to be: frame by frame, and its audio.
//!
//! Two paths come in, each a video or a folder of pictures. A [`Comparison`] goes out, which is printed as text or JSON, or
//! drawn. Frames are decoded on the calling thread and measured on all others; only their figures are kept.
//!
//! - `input` opens a video or a folder, `frames` decodes its frames one by one.
//! - `pass` goes through the frames of both inputs and collects their figures, which `metrics` defines; `measure` computes
//!   PSNR and SSIM of one pair.
//! - `limits` says which frames pass.
//! - `audio` compares the audio tracks, `lip_sync` the lag between mouth and audio.
//! - `text` formats the result for people, `picture` draws it.

mod audio;
mod frames;
mod input;
mod limits;
mod lip_sync;
mod measure;
mod metrics;
mod pass;
mod picture;
mod text;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use audio::AudioDifference;
use input::{Input, InputInfo};
pub(crate) use limits::Limits;
use lip_sync::LipSync;
use metrics::{FrameFigures, OverallFigures};
use pass::FramePass;
pub(crate) use picture::draw;

use crate::cancel::Cancel;
use crate::sync::{RenderInputs, View, rounded};

/// Version of the JSON; keys are only ever added to it.
const SCHEMA_VERSION: u32 = 1;
/// Frame rates that differ by a smaller share count as the same: containers with timestamps in milliseconds round them.
const SAME_RATE: f64 = 5e-4;
/// Frames that are listed and drawn as the worst.
const WORST_FRAMES: usize = 5;

/// The result of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    schema_version: u32,
    /// Whether everything is as expected.
    pub same: bool,
    /// What differs, one line each.
    pub differences: Vec<String>,
    /// What the user should know but does not count as a difference.
    pub warnings: Vec<String>,
    /// The clip as it should be.
    pub expected: InputInfo,
    /// The clip as it is.
    pub actual: InputInfo,
    /// Letters of the compared planes: `Y U V` as both videos store them, else `R G B`.
    pub compared_in: String,
    /// Bits per sample: full scale is 255 for 8.
    pub depth: u32,
    /// The limits for every frame.
    pub limits: Limits,
    /// All frames together; none if no frames could be compared.
    pub overall: Option<OverallFigures>,
    /// How the audio tracks differ; none if an input has no audio.
    pub sound: Option<AudioDifference>,
    /// Lag between mouth and audio of each clip.
    pub sync: LipSync,
    /// Numbers of the worst frames, worst first; without identical ones.
    pub worst: Vec<usize>,
    /// Every frame.
    pub frames: Vec<FrameFigures>,
    #[serde(skip)]
    inputs: [Input; 2],
}

impl Comparison {
    /// Compares `actual` with `expected`. `making` names the backgrounds or crop rectangles of both. If the number of frames
    /// is known, `progress` is called with the number of compared frames and that of all.
    pub(crate) fn of(
        expected: &Path,
        actual: &Path,
        limits: Limits,
        making: &RenderInputs,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let inputs = [Input::open(expected)?, Input::open(actual)?];
        let mut warnings = Vec::new();
        let mut views = [None, None];
        for (view, input) in views.iter_mut().zip(&inputs) {
            if input.audio().is_some() {
                let found = View::of(&input.path, input.size, making, &mut warnings, cancel)?;
                *view = Some(found);
            }
        }
        let (planes, compared_in) = input::common_planes(&inputs);
        let total = inputs.iter().filter_map(Input::frame_count).min();
        let total = total.filter(|total| *total > 0);
        let pass = FramePass::over(&inputs, planes, &views, cancel, &mut |done| {
            if let Some(total) = total {
                progress(done, total);
            }
        })?;
        let limits = limits.or_identical();
        let overall = pass.overall();
        let mut frames = pass.figures;
        for frame in &mut frames {
            frame.passes = limits.are_met_by(frame);
        }
        let failed = frames.iter().filter(|frame| !frame.passes).count();
        let sync = LipSync::of(&inputs, views, pass.sync_frames, &mut warnings, cancel)?;
        let [first, second] = &inputs;
        let mut comparison = Self {
            schema_version: SCHEMA_VERSION,
            same: false,
            differences: Vec::new(),
            warnings,
            expected: first.info(pass.counts[0]),
            actual: second.info(pass.counts[1]),
            compared_in,
            depth: pass.depth,
            limits,
            overall: overall.map(|overall| OverallFigures { failed, ..overall }),
            sound: AudioDifference::between(first, second, cancel)?,
            sync,
            worst: worst(&frames),
            frames,
            inputs,
        };
        comparison.differences = comparison.find_differences();
        comparison.same = comparison.differences.is_empty();
        Ok(comparison)
    }

    fn find_differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (e, a) = (&self.expected, &self.actual);
        let mut differ = |what: &str, expected: String, actual: String| {
            found.push(format!("{what}: expected {expected}, found {actual}"));
        };
        if e.frames != a.frames {
            differ("frame count", e.frames.to_string(), a.frames.to_string());
        }
        let [first, second] = &self.inputs;
        if first.size != second.size {
            differ("size", first.size.to_string(), second.size.to_string());
        }
        if let (Some(x), Some(y)) = (first.fps(), second.fps())
            && (x - y).abs() > x * SAME_RATE
        {
            // `25 fps`, `29.97 fps`.
            let words = |fps| format!("{} fps", rounded(fps));
            differ("frame rate", words(x), words(y));
        }
        if let (Some(x), Some(y)) = (&e.colours, &a.colours)
            && x != y
        {
            differ("colour tags", x.clone(), y.clone());
        }
        if first.video().is_some()
            && second.video().is_some()
            && e.sound.is_some() != a.sound.is_some()
        {
            let word = |codec: &Option<String>| if codec.is_some() { "one" } else { "none" };
            differ("audio track", word(&e.sound).into(), word(&a.sound).into());
        }
        found.extend(self.sound.iter().flat_map(AudioDifference::faults));
        let failed = self.overall.as_ref().map_or(0, |overall| overall.failed);
        if failed > 0 {
            let verb = if failed == 1 { "is" } else { "are" };
            let what = self.limits.violation();
            let all = self.frames.len();
            found.push(format!("{failed} of {all} frames {verb} {what}"));
        }
        found
    }

    /// The figures of the worst frames, worst first.
    pub(crate) fn worst_frames(&self) -> impl Iterator<Item = &FrameFigures> {
        self.worst
            .iter()
            .filter_map(|frame| self.frames.get(*frame))
    }
}

/// Frames that fail first, then the lowest PSNR; without identical frames.
fn worst(frames: &[FrameFigures]) -> Vec<usize> {
    let mut unequal: Vec<&FrameFigures> = frames.iter().filter(|f| f.max_abs > 0).collect();
    unequal.sort_by(|a, b| {
        let by_psnr = a.psnr().total_cmp(&b.psnr());
        a.passes.cmp(&b.passes).then(by_psnr)
    });
    unequal.iter().take(WORST_FRAMES).map(|f| f.frame).collect()
}
