//! `lipsync batch`: many clips.

mod args;

use std::path::Path;

use anyhow::Result;
use clap::ArgMatches;
use serde_json::json;

pub(super) use args::BatchArgs;

use super::render::set_out;
use super::ui::Ui;
use crate::batch::inputs;
use crate::batch::job::Job;
use crate::batch::shard::Shard;
use crate::batch::survey::survey;
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::config::{Backdrops, Plan, Request};
use crate::error::{Fault, Report};

/// Renders all jobs.
pub(super) fn batch(
    args: BatchArgs,
    matches: &ArgMatches,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let defaults = Request {
        force: args.force,
        ..args.settings.into_request(matches)
    };
    let config = set_out(config, &defaults, ui)?;
    let jobs = inputs::collect(&args.inputs, &args.output, &defaults, config.as_ref())?;
    let shard = match args.shard {
        Some(shard) => Some(shard),
        None => Shard::of_array_job()?.map(|(shard, _)| shard),
    };
    dry_run(&jobs, shard, &args.output, config.as_ref(), ui, cancel)
}

/// The share's jobs as a jobs file on stdout, and those that cannot be rendered on stderr.
fn dry_run(
    jobs: &[Job],
    shard: Option<Shard>,
    output: &Path,
    config: Option<&ConfigFile>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let backdrops = Backdrops::default();
    let threads = rayon::current_num_threads();
    let found = survey(jobs, threads, cancel, |job| {
        let plan = Plan::among(job.request_in(output), config, &backdrops)?;
        Ok((plan.frames, job.line(&plan)?))
    })?;
    let frames: Vec<u64> = found
        .iter()
        .map(|found| found.as_ref().map_or(0, |(frames, _)| *frames))
        .collect();
    let mine = shard.map_or_else(|| (0..jobs.len()).collect(), |shard| shard.choose(&frames));
    let mut failed = Vec::new();
    let mut lines = String::new();
    for n in &mine {
        match &found[*n] {
            Ok((_, line)) => lines += &format!("{line}\n"),
            Err(error) => failed.push((jobs[*n].id.as_str(), Report::of(error))),
        }
    }
    ui.data(&lines)?;
    let rows: Vec<_> = failed.iter().map(|(id, report)| (*id, report)).collect();
    ui.failures(&rows);
    if failed.is_empty() {
        ui.event("success", json!({ "dry_run": true }));
        return Ok(());
    }
    Err(Fault::partial(format!(
        "{} of {} clips cannot be rendered",
        failed.len(),
        mine.len()
    ))
    .into())
}
