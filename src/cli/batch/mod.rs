//! `lipsync batch`: many clips in one run.
//!
//! - `args.rs`: the options
//! - `selection.rs`: checks all jobs, and picks those of this run's shard
//! - `dry_run.rs`: prints them, with `--dry-run`
//! - `run.rs`: renders those that are not finished; `events.rs` and `progress.rs` print what happens meanwhile
//! - `summary.rs`: what is printed at the end

mod args;
mod dry_run;
mod events;
mod progress;
mod run;
mod selection;
mod summary;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::ArgMatches;

pub(super) use args::BatchArgs;

use super::process;
use super::ui::Ui;
use crate::batch::contents::ContentDigests;
use crate::batch::job::Job;
use crate::batch::planner::Planner;
use crate::batch::shard::Shard;
use crate::batch::{files, inputs};
use crate::cancel::Cancel;
use crate::plan::{OpenBackgrounds, Request};
use crate::render::report;

/// Clips rendered side by side by default: measured, see docs/batch.md.
const DEFAULT_LANES: usize = 2;

/// The jobs of all inputs, and how to work on them.
struct Batch<'a> {
    jobs: Vec<Job>,
    planner: Planner<'a>,
    /// Which share of the jobs this run takes; all if none.
    shard: Option<Shard>,
    /// Clips rendered side by side.
    lanes: usize,
    fail_fast: bool,
    ui: &'a Ui,
    cancel: &'a Cancel,
}

/// Renders all jobs, or prints them with `--dry-run`.
pub(super) fn batch(
    args: BatchArgs,
    matches: &ArgMatches,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let started = Instant::now();
    let defaults = Request {
        force: args.force,
        ..args.settings.into_request(matches)
    };
    let config = process::configure(config, &defaults, ui)?;
    let jobs = inputs::collect(&args.inputs, &args.output, &defaults, config.as_ref())?;
    let mut files = files::of(&jobs, &args.output)
        .inputs("the input", args.inputs.iter().map(PathBuf::as_path))
        .inputs(
            "the configuration",
            config.as_ref().map(|config| config.path.as_path()),
        );
    if let Some(path) = &args.report {
        files = files.output("--report", &report::target(path));
    }
    files.check()?;
    if let Some(path) = &args.report {
        report::check(path)?;
    }
    let shard = shard(args.shard, ui)?;
    let batch = Batch {
        jobs,
        planner: Planner {
            output: args.output,
            config: config.as_ref(),
            open_backgrounds: OpenBackgrounds::default(),
            contents: ContentDigests::default(),
            resume: args.resume,
            force: args.force,
        },
        shard,
        lanes: args.jobs.map_or(DEFAULT_LANES, NonZeroUsize::get),
        fail_fast: args.fail_fast,
        ui,
        cancel,
    };
    if args.dry_run {
        return dry_run::print_jobs(&batch);
    }
    run::run(&batch, started, args.report.as_deref())
}

/// The shard that `--shard` asks for, or that the environment of an array job gives this run.
fn shard(requested: Option<Shard>, ui: &Ui) -> Result<Option<Shard>> {
    if requested.is_some() {
        return Ok(requested);
    }
    Ok(Shard::of_array_job()?.map(|(shard, variable)| {
        ui.say(&format!(
            "rendering shard {shard} of the jobs, from {variable}"
        ));
        shard
    }))
}
