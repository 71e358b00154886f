//! `lipsync render`: one clip.
//!
//! - `args.rs`: the options, and the request that they make
//! - `job.rs`: a plan with its networks: rendered, or printed with `--dry-run`
//! - `description.rs`: a plan in words
//! - `stream.rs`: audio that comes through a pipe

mod args;
mod description;
mod job;
mod stream;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::ArgMatches;

pub(super) use args::{ClipArgs, RenderArgs};

use super::process;
use super::ui::Ui;
use crate::cancel::Cancel;
use crate::error::ErrorReport;
use crate::output::RunFiles;
use crate::plan::{Plan, Request};
use crate::render::report::{self, RenderReport};
use job::Job;

/// Renders one clip, and writes a report if one was asked for, also on failure.
pub(super) fn render(
    args: RenderArgs,
    matches: &ArgMatches,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let started = Instant::now();
    let (dry_run, report_path) = (args.dry_run, args.report.clone());
    let mut request = args.into_request(matches);
    if let Some(path) = &report_path {
        with_report(request.files(), path).check()?;
        report::check(path)?;
    }
    let mut report = RenderReport::default();
    let copied = stream::copy(&mut request, cancel);
    let plan = copied.and_then(|()| plan(request, config, ui, &mut report));
    if let (Ok(plan), Some(path)) = (&plan, &report_path) {
        // Also with the files that were not named. There is no place for a report on this mistake.
        with_report(plan.files(), path).check()?;
    }
    let result = plan.and_then(|plan| {
        let job = Job::load(plan, ui, &mut report)?;
        if dry_run {
            return job.print_plan(ui);
        }
        job.run(started, ui, cancel, &mut report)
    });
    if let Some(path) = report_path.filter(|_| !dry_run) {
        let error = result.as_ref().err().map(ErrorReport::of);
        report.warnings = ui.warnings();
        report.set_end(started.elapsed().as_secs_f64(), error.as_ref());
        match (report.write(&path, cancel), &result) {
            (Err(error), Err(_)) => ui.warn(&format!("{error:#}")),
            (written, _) => written?,
        }
    }
    result
}

fn with_report(files: RunFiles, report: &Path) -> RunFiles {
    files.output("--report", &report::target(report))
}

/// Decides and checks everything except the networks.
fn plan(
    request: Request,
    config: Option<&Path>,
    ui: &Ui,
    report: &mut RenderReport,
) -> Result<Plan> {
    let config = process::configure(config, &request, ui)?;
    let plan = Plan::new(request, config.as_ref())?;
    report.set_plan(&plan);
    for warning in &plan.warnings {
        ui.warn(warning);
    }
    Ok(plan)
}
