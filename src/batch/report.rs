//! What a run of many clips did, for scripts: the JSON of `batch --report`, described by `docs/batch-report.schema.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error;
use crate::render::report::{RenderReport, peak_mb, rounded, seconds, versions};

/// Version of the report's shape; it changes when a field changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

/// A run, as far as it came.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BatchReport {
    /// Set at the end.
    pub schema_version: u32,
    /// The output folder.
    pub output: String,
    /// Which share of the jobs, `K-of-N`; all if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// How many clips were worked on side by side.
    pub jobs: usize,
    /// How many clips came to which end.
    pub totals: Totals,
    /// Frames rendered.
    pub frames: u64,
    /// Length of the clips that were rendered, seconds.
    pub seconds: f64,
    /// Time from the start of the program to the end of the work, seconds.
    pub wall_s: f64,
    /// Frames rendered a second of `wall_s`.
    pub frames_per_s: f64,
    /// Seconds of clips rendered a second of `wall_s`.
    pub realtime_factor: f64,
    /// Most memory that the process held, MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// What was warned of.
    pub warnings: Vec<String>,
    /// What it was made with.
    pub versions: BTreeMap<&'static str, String>,
    /// Each clip of the share, in the order of the jobs.
    pub clips: Vec<ClipReport>,
    /// Why the run did not do all of its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
}

/// How many clips came to which end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// All of the share.
    pub clips: usize,
    /// In their places, by this run.
    pub rendered: usize,
    /// In their places, by an earlier one.
    pub skipped: usize,
    /// With an error.
    pub failed: usize,
    /// Not begun or not ended, as the run was stopped.
    pub stopped: usize,
}

/// How a clip ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// It is in its place.
    Rendered,
    /// It was in its place already.
    Skipped,
    /// See its error.
    Failed,
    /// The run was stopped before.
    #[default]
    Stopped,
}

/// A clip of the run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ClipReport {
    /// Its job's name.
    pub id: String,
    /// How it ended.
    pub end: End,
    /// As `render --report` writes it; none where the clip was not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render: Option<Box<RenderReport>>,
    /// Why it failed; the render's report says it too.
    #[serde(skip)]
    pub error: Option<error::Report>,
}

impl BatchReport {
    /// The clips that failed: name, why, and what to do.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, String, Option<String>)> {
        self.clips.iter().filter_map(|clip| {
            let error = clip.error.as_ref()?;
            Some((clip.id.as_str(), error.line(), error.hint.clone()))
        })
    }

    /// Sums up the clips, `wall_s` seconds after the program's start.
    pub(crate) fn set_end(&mut self, wall_s: f64, error: Option<&error::Report>) {
        self.schema_version = SCHEMA_VERSION;
        let count = |end| self.clips.iter().filter(|clip| clip.end == end).count();
        self.totals = Totals {
            clips: self.clips.len(),
            rendered: count(End::Rendered),
            skipped: count(End::Skipped),
            failed: count(End::Failed),
            stopped: count(End::Stopped),
        };
        let rendered = self.clips.iter().filter(|clip| clip.end == End::Rendered);
        let reports = rendered.filter_map(|clip| clip.render.as_ref());
        let (frames, lasts) = reports.fold((0, 0.0), |(frames, lasts), report| {
            (
                frames + report.frames.unwrap_or(0),
                lasts + report.seconds.unwrap_or(0.0),
            )
        });
        self.frames = frames;
        self.seconds = seconds(lasts);
        self.wall_s = seconds(wall_s);
        self.frames_per_s = rounded(frames as f64 / wall_s);
        self.realtime_factor = rounded(lasts / wall_s);
        self.peak_rss_mb = peak_mb();
        self.versions.extend(versions());
        self.error = error.map(error::Report::to_json);
    }
}
