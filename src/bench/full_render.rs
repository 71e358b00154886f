//! The full render, as `lipsync render` does it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::measure::Runs;
use crate::cancel::Cancel;
use crate::encode::FrameSink as _;
use crate::encode::clip::{ClipFile, ClipFormat};
use crate::inference::onnx::Networks;
use crate::output::Target;
use crate::plan::Plan;
use crate::render::pipeline::{self, Clip, StageTime};

/// Measurements of the full render.
pub(super) struct FullRender {
    pub(super) runs: Runs,
    /// From the start of loading the networks to the first encoded frame, in the first run.
    pub(super) first_frame: Duration,
    /// Of the last run.
    pub(super) stages: Vec<StageTime>,
    /// Peak memory of the process in the first run, bytes.
    pub(super) peak_rss: Option<u64>,
}

/// How a render went.
pub(super) struct RenderedClip {
    /// How each stage spent its time.
    pub(super) stages: Vec<StageTime>,
    /// From its start to the first encoded frame.
    pub(super) first_frame: Duration,
}

/// Renders `clip` to `target`.
pub(super) fn render(
    plan: &Plan,
    clip: Clip<'_>,
    format: ClipFormat,
    target: Target,
    networks: &mut Networks,
    cancel: &Cancel,
) -> Result<RenderedClip> {
    // Like every render, this one starts with nothing decoded.
    plan.backgrounds.forget();
    let started = Instant::now();
    let mut first_frame = None;
    let mut sink = Box::new(ClipFile::create(
        target,
        plan.clip_spec(format)?,
        &plan.sound,
    )?);
    let stages = pipeline::run(
        clip,
        &mut networks.encoder,
        &mut networks.generators,
        sink.as_mut(),
        cancel,
        |_| {
            first_frame.get_or_insert_with(|| started.elapsed());
        },
    )?;
    sink.finish()?;
    Ok(RenderedClip {
        stages,
        first_frame: first_frame.unwrap_or_else(|| started.elapsed()),
    })
}
