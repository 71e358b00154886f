//! Renders the jobs of this run's shard that are not finished.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::events::{EventPrinter, JobEnd, print_failure};
use super::progress::BatchProgress;
use super::selection::{CheckedJob, check_all, in_shard};
use super::{Batch, summary};
use crate::assets;
use crate::batch::journal::{FinishedClips, Journal};
use crate::batch::lock::Lock;
use crate::batch::model_pool::ModelPool;
use crate::batch::report::{BatchReport, ClipReport, End};
use crate::batch::workers::Workers;
use crate::error::{ErrorReport, Fault, plain_io};
use crate::inference::onnx::Runtime;
use crate::output::remove_abandoned;
use crate::render::report::{self, RenderReport};

/// A job that can be rendered.
struct RenderableJob {
    is_finished: bool,
    presenter: Presenter,
}

/// Generator and background. Clips of one presenter are rendered one after the other.
type Presenter = (PathBuf, PathBuf);

/// A job to render.
struct Todo {
    /// The index of the job.
    job: usize,
    frames: u64,
}

/// Renders, prints the summary, and writes the report, also on failure.
pub(super) fn run(batch: &Batch<'_>, started: Instant, report_path: Option<&Path>) -> Result<()> {
    let output = &batch.planner.output;
    fs::create_dir_all(output).map_err(|e| {
        Fault::failed(format!(
            "cannot create output folder `{}`",
            output.display()
        ))
        .because(plain_io(&e))
    })?;
    let lock = Lock::take(output, batch.shard)?;
    if let Some(warning) = &lock.warning {
        batch.ui.warn(warning);
    }
    remove_abandoned(output);
    let mut report = BatchReport {
        output: output.display().to_string(),
        shard: batch.shard.map(|shard| shard.to_string()),
        jobs: batch.lanes,
        ..BatchReport::default()
    };
    let result = render_all(batch, &mut report).and_then(|()| check_end(batch, &report));
    report.warnings = batch.ui.warnings();
    let error = result.as_ref().err().map(ErrorReport::of);
    report.set_end(started.elapsed().as_secs_f64(), error.as_ref());
    if error.is_none() || !report.clips.is_empty() {
        summary::print(&report, batch.ui);
    }
    if let Some(path) = report_path {
        match (report::write_json(&report, path, batch.cancel), &result) {
            (Err(error), Err(_)) => batch.ui.warn(&format!("{error:#}")),
            (written, _) => written?,
        }
    }
    result
}

/// Checks all jobs, and renders those of this run's shard that are not finished.
fn render_all(batch: &Batch<'_>, report: &mut BatchReport) -> Result<()> {
    let planner = &batch.planner;
    let known = FinishedClips::read(&planner.output)?;
    let checked = check_all(batch, |job, mut plan| {
        let is_finished = planner.is_finished(job, &plan, &known)?;
        if !is_finished {
            planner.claim(&mut plan, &known)?;
        }
        Ok(RenderableJob {
            is_finished,
            presenter: (plan.model.generator, plan.background),
        })
    })?;
    let selected = in_shard(batch, &checked);
    report.clips = selected
        .iter()
        .map(|&n| ClipReport {
            id: batch.jobs[n].id.clone(),
            ..ClipReport::default()
        })
        .collect();
    let todo = report_finished_and_failed(batch, &checked, &selected, &mut report.clips);
    let failed = report.clips.iter().any(|clip| clip.end == End::Failed);
    if todo.is_empty() || failed && batch.fail_fast {
        return Ok(());
    }
    let journal = Journal::open(&planner.output, batch.shard, known)?;
    let clip_of_job: HashMap<usize, usize> = selected.iter().copied().zip(0..).collect();
    render_jobs(batch, &todo, &journal, |end| {
        let clip = &mut report.clips[clip_of_job[&end.job]];
        clip.end = match &end.error {
            None => End::Rendered,
            Some(_) => End::Failed,
        };
        clip.render = Some(end.render);
        clip.error = end.error;
    })
}

/// Reports the `selected` jobs that are finished or cannot be rendered in their `clips`, and returns the others, sorted by
/// presenter.
fn report_finished_and_failed(
    batch: &Batch<'_>,
    checked: &[CheckedJob<RenderableJob>],
    selected: &[usize],
    clips: &mut [ClipReport],
) -> Vec<Todo> {
    let ui = batch.ui;
    let mut todo = Vec::new();
    let mut turns: HashMap<&Presenter, usize> = HashMap::new();
    for (clip, &job) in clips.iter_mut().zip(selected) {
        let frames = checked[job].frames;
        match &checked[job].outcome {
            Err(error) => {
                let error = ErrorReport::of(error);
                print_failure(&clip.id, &error, ui);
                let mut render = RenderReport::default();
                render.set_end(0.0, Some(&error));
                clip.end = End::Failed;
                clip.render = Some(Box::new(render));
                clip.error = Some(error);
            }
            Ok(found) if found.is_finished => {
                clip.end = End::Skipped;
                ui.clip_event("skip", &clip.id, json!({ "frames": frames }));
                ui.detail(&format!("{} is finished already", clip.id));
            }
            Ok(found) => {
                let next = turns.len();
                let turn = *turns.entry(&found.presenter).or_insert(next);
                todo.push((turn, Todo { job, frames }));
            }
        }
    }
    // All clips of one presenter before the networks and pictures of the next one take its memory.
    todo.sort_by_key(|(turn, _)| *turn);
    todo.into_iter().map(|(_, todo)| todo).collect()
}

/// Renders the jobs `todo`, prints what happens, and calls `ended` for each job that finished or failed.
fn render_jobs(
    batch: &Batch<'_>,
    todo: &[Todo],
    journal: &Journal,
    mut ended: impl FnMut(JobEnd),
) -> Result<()> {
    let library = assets::runtime_library()?;
    let runtime = Runtime::load(&library)?;
    let lanes = batch.lanes.min(todo.len());
    let models = ModelPool::new(&runtime, lanes);
    let order: Vec<usize> = todo.iter().map(|todo| todo.job).collect();
    let frames: HashMap<usize, u64> = todo.iter().map(|todo| (todo.job, todo.frames)).collect();
    let display = batch.ui.progress(frames.values().sum());
    let progress = BatchProgress::new(display, &frames);
    let mut printer = EventPrinter::new(&batch.jobs, progress, batch.ui);
    Workers {
        jobs: &batch.jobs,
        planner: &batch.planner,
        models: &models,
        journal,
        cancel: batch.cancel,
        fail_fast: batch.fail_fast,
        runtime: Runtime::version(&library),
    }
    .run(&order, lanes, |event| {
        printer.print(event).into_iter().for_each(&mut ended);
    })
}

/// Fails if clips failed or the run was interrupted.
fn check_end(batch: &Batch<'_>, report: &BatchReport) -> Result<()> {
    let failed = report.clips.iter().filter(|clip| clip.end == End::Failed);
    let failed = failed.count();
    let stopped_itself = batch.fail_fast && failed > 0;
    if !stopped_itself {
        batch.cancel.check()?;
    }
    if failed == 0 {
        return Ok(());
    }
    let fault = Fault::partial(format!("{failed} of {} clips failed", report.clips.len()));
    Err(fault
        .hint("fix their causes, then run the same command with --resume")
        .into())
}
