//! What a run did, for scripts: the JSON of `batch --report`, described by `docs/batch-report.schema.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error;
use crate::render::report::{RenderReport, peak_mb, rounded, seconds, versions};

/// Version of the schema; it changes when a field changes its meaning or is removed.
const SCHEMA_VERSION: u32 = 1;

/// A run, complete or interrupted.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BatchReport {
    /// Set at the end.
    pub schema_version: u32,
    /// The output folder.
    pub output: String,
    /// The shard, `K-of-N`; none for all jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// How many clips were rendered at the same time.
    pub jobs: usize,
    /// How many clips ended in which way.
    pub totals: Totals,
    /// Frames rendered.
    pub frames: u64,
    /// Length of the rendered clips, in seconds.
    pub seconds: f64,
    /// Time from the start of the program to the end of the work, in seconds.
    pub wall_s: f64,
    /// Frames rendered per second of `wall_s`.
    pub frames_per_s: f64,
    /// Seconds of clips rendered per second of `wall_s`.
    pub realtime_factor: f64,
    /// Peak memory of the process, in MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Versions of lipsync and its libraries.
    pub versions: BTreeMap<&'static str, String>,
    /// Each clip of this run, in the order of the jobs.
    pub clips: Vec<ClipReport>,
    /// Why the run did not finish all of its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
}

/// How many clips ended in which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// All clips of this run.
    pub clips: usize,
    /// Rendered by this run.
    pub rendered: usize,
    /// Already rendered by an earlier run.
    pub skipped: usize,
    /// Failed with an error.
    pub failed: usize,
    /// Not started or not finished, because the run was stopped.
    pub stopped: usize,
}

/// How a clip ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// This run has rendered it.
    Rendered,
    /// An earlier run has rendered it.
    Skipped,
    /// It failed; see its error.
    Failed,
    /// The run was stopped before it was finished.
    #[default]
    Stopped,
}

/// A clip of the run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ClipReport {
    /// The id of its job.
    pub id: String,
    /// How it ended.
    pub end: End,
    /// As `render --report` writes it; none if the clip was not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render: Option<Box<RenderReport>>,
    /// Why it failed; also in the report of the render.
    #[serde(skip)]
    pub error: Option<error::ErrorReport>,
}

impl BatchReport {
    /// The clips that failed: id, error and hint.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, String, Option<String>)> {
        self.clips.iter().filter_map(|clip| {
            let error = clip.error.as_ref()?;
            Some((clip.id.as_str(), error.line(), error.hint.clone()))
        })
    }

    /// Sums up the clips, `wall_s` seconds after the start of the program.
    pub(crate) fn set_end(&mut self, wall_s: f64, error: Option<&error::ErrorReport>) {
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
        let (frames, length) = reports.fold((0, 0.0), |(frames, length), report| {
            (
                frames + report.frames.unwrap_or(0),
                length + report.seconds.unwrap_or(0.0),
            )
        });
        self.frames = frames;
        self.seconds = seconds(length);
        self.wall_s = seconds(wall_s);
        self.frames_per_s = rounded(frames as f64 / wall_s);
        self.realtime_factor = rounded(length / wall_s);
        self.peak_rss_mb = peak_mb();
        self.versions.extend(versions());
        self.error = error.map(error::ErrorReport::to_json);
    }
}
