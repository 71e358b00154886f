//! Checks all jobs, and picks those of this run's shard.

use anyhow::Result;

use super::Batch;
use crate::batch::job::Job;
use crate::batch::survey::survey;
use crate::plan::Plan;

/// A job that was checked.
pub(super) struct CheckedJob<T> {
    /// Frames of its clip; 0 if it has no plan.
    pub(super) frames: u64,
    /// What the check found, or why the job cannot be rendered.
    pub(super) outcome: Result<T>,
}

/// Plans every job, and applies `check` to each plan.
///
/// The number of frames depends on the job alone, so that all shards see the same.
pub(super) fn check_all<T: Send>(
    batch: &Batch<'_>,
    check: impl Fn(&Job, Plan) -> Result<T> + Sync,
) -> Result<Vec<CheckedJob<T>>> {
    let planner = &batch.planner;
    survey(
        &batch.jobs,
        rayon::current_num_threads(),
        batch.cancel,
        |job| match planner.look(job) {
            Ok(plan) => CheckedJob {
                frames: plan.frames,
                outcome: check(job, plan),
            },
            Err(error) => CheckedJob {
                frames: 0,
                outcome: Err(error),
            },
        },
    )
}

/// The indices of the jobs in this run's shard.
pub(super) fn in_shard<T>(batch: &Batch<'_>, checked: &[CheckedJob<T>]) -> Vec<usize> {
    let frames: Vec<u64> = checked.iter().map(|job| job.frames).collect();
    match batch.shard {
        Some(shard) => shard.choose(&frames),
        None => (0..checked.len()).collect(),
    }
}
