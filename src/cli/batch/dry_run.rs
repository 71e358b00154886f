//! `lipsync batch --dry-run`: the jobs, checked and complete.

use anyhow::Result;
use serde_json::json;

use super::Batch;
use super::selection::{check_all, in_shard};
use crate::batch::journal::FinishedClips;
use crate::error::{ErrorReport, Fault};

/// Prints the jobs of the shard to stdout, as a jobs file; with `--resume`, only those that are not finished. Lists the jobs
/// that cannot be rendered.
pub(super) fn print_jobs(batch: &Batch<'_>) -> Result<()> {
    let (planner, ui) = (&batch.planner, batch.ui);
    let journal = FinishedClips::read(&planner.output)?;
    let checked = check_all(batch, |job, mut plan| {
        if planner.is_finished(job, &plan, &journal)? {
            return Ok(None);
        }
        planner.claim(&mut plan, &journal)?;
        job.line(&plan).map(Some)
    })?;
    let selected = in_shard(batch, &checked);
    let mut lines = String::new();
    let mut failed = Vec::new();
    for &n in &selected {
        match &checked[n].outcome {
            Ok(line) => lines.extend(line.iter().flat_map(|line| [line, "\n"])),
            Err(error) => {
                let id = batch.jobs[n].id.as_str();
                let report = ErrorReport::of(error);
                ui.clip_event("failure", id, report.to_json());
                failed.push((id, report.line(), report.hint));
            }
        }
    }
    ui.data(&lines)?;
    ui.failures(&failed);
    if failed.is_empty() {
        ui.event("success", json!({ "dry_run": true }));
        return Ok(());
    }
    let (failed, all) = (failed.len(), selected.len());
    Err(Fault::partial(format!("{failed} of {all} clips cannot be rendered")).into())
}
