//! `lipsync batch --dry-run`: the jobs, checked and complete.

use anyhow::Result;
use serde_json::json;

use super::Batch;
use crate::batch::journal::Known;
use crate::error::{Fault, Report};

impl Batch<'_> {
    /// Writes the jobs of the share to stdout, as a jobs file; with `--resume`, those that are not finished. Jobs that
    /// cannot be rendered are told.
    pub(super) fn dry_run(&self) -> Result<()> {
        let known = Known::read(&self.planner.output)?;
        let planner = &self.planner;
        let found = self.look(|job, mut plan| {
            if planner.is_finished(job, &plan, &known)? {
                return Ok(None);
            }
            planner.claim(&mut plan, &known)?;
            job.line(&plan).map(Some)
        })?;
        let mine = self.share(&found);
        let mut lines = String::new();
        let mut failed = Vec::new();
        for &n in &mine {
            match &found[n].more {
                Ok(line) => lines.extend(line.iter().flat_map(|line| [line, "\n"])),
                Err(error) => {
                    let id = self.jobs[n].id.as_str();
                    let report = Report::of(error);
                    self.ui.clip_event("failure", id, report.to_json());
                    failed.push((id, report.line(), report.hint));
                }
            }
        }
        self.ui.data(&lines)?;
        self.ui.failures(&failed);
        if failed.is_empty() {
            self.ui.event("success", json!({ "dry_run": true }));
            return Ok(());
        }
        let (failed, all) = (failed.len(), mine.len());
        Err(Fault::partial(format!("{failed} of {all} clips cannot be rendered")).into())
    }
}
