//! Jobs -> plans: what is finished is skipped, and outputs of others are protected.

use std::path::PathBuf;

use anyhow::Result;

use super::contents::ContentDigests;
use super::job::Job;
use super::journal::FinishedClips;
use crate::config::file::ConfigFile;
use crate::output::Target;
use crate::plan::{OpenBackgrounds, Plan};

/// Turns jobs into plans.
pub(crate) struct Planner<'a> {
    /// The output folder.
    pub output: PathBuf,
    /// `lipsync.yaml`.
    pub config: Option<&'a ConfigFile>,
    /// Backgrounds, shared by all plans.
    pub open_backgrounds: OpenBackgrounds,
    /// Digests of clips.
    pub contents: ContentDigests,
    /// `--resume`: skip finished clips, and overwrite outdated ones of earlier runs.
    pub resume: bool,
    /// `--force`: overwrite everything.
    pub force: bool,
}

impl Planner<'_> {
    /// The plan of a job, whether or not its outputs exist.
    pub(crate) fn look(&self, job: &Job) -> Result<Plan> {
        if let Some(obstacle) = &job.obstacle {
            return Err(obstacle.fault().into());
        }
        let mut request = job.request_in(&self.output);
        request.force = true;
        Plan::with_backgrounds(request, self.config, &self.open_backgrounds)
    }

    /// Allows `plan` to overwrite existing outputs: all with `--force`, those of earlier runs (listed in `known`) with
    /// `--resume`. Any other existing output is an error.
    pub(crate) fn claim(&self, plan: &mut Plan, known: &FinishedClips) -> Result<()> {
        for target in plan.outputs_mut() {
            // A file that appears later belongs to somebody else.
            target.force = target.exists();
            if !target.force || self.force {
                continue;
            }
            if !self.resume {
                return Err(target.taken().into());
            }
            let inside = target.path.strip_prefix(&self.output);
            if !known.is_ours(inside.unwrap_or(&target.path)) {
                return Err(target
                    .taken()
                    .because(
                        "it was not written by lipsync batch in this folder, or has changed since",
                    )
                    .into());
            }
        }
        Ok(())
    }

    /// Whether to skip the job: by `known` it is finished, and nothing has changed since.
    pub(crate) fn is_finished(
        &self,
        job: &Job,
        plan: &Plan,
        known: &FinishedClips,
    ) -> Result<bool> {
        // The digest reads the audio file, so it comes last.
        let may_be_finished = self.resume && plan.outputs().all(Target::exists);
        Ok(may_be_finished && known.is_finished(&self.contents.key(job, plan)?))
    }
}
