//! `lipsync batch`: many clips.

mod args;
mod dry_run;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::ArgMatches;
use serde_json::json;

pub(super) use args::BatchArgs;

use super::render::{set_out, tell_lacking, tell_networks};
use super::ui::{Progress, Ui};
use crate::assets;
use crate::batch::contents::ContentDigests;
use crate::batch::inputs;
use crate::batch::job::Job;
use crate::batch::journal::{Journal, Known};
use crate::batch::lock::Lock;
use crate::batch::model_pool::ModelPool;
use crate::batch::planner::Planner;
use crate::batch::report::{BatchReport, ClipReport, End};
use crate::batch::shard::Shard;
use crate::batch::survey::survey;
use crate::batch::workers::{JobEvent, Workers};
use crate::cancel::Cancel;
use crate::error::{Fault, Report, plain_io};
use crate::inference::onnx::Runtime;
use crate::output::remove_abandoned;
use crate::plan::{OpenBackgrounds, Plan, Request};
use crate::render::report::{self, RenderReport};

/// Clips side by side by default: measured (docs/batch.md, "Side by side").
const USUAL_LANES: usize = 2;

/// Renders all jobs.
pub(super) fn batch(
    args: BatchArgs,
    matches: &ArgMatches,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let started = Instant::now();
    if let Some(path) = &args.report {
        report::check(path)?;
    }
    let defaults = Request {
        force: args.force,
        ..args.settings.into_request(matches)
    };
    let config = set_out(config, &defaults, ui)?;
    let jobs = inputs::collect(&args.inputs, &args.output, &defaults, config.as_ref())?;
    let shard = shard(args.shard, ui)?;
    let batch = Batch {
        jobs,
        planner: Planner {
            output: args.output,
            config: config.as_ref(),
            backdrops: OpenBackgrounds::default(),
            contents: ContentDigests::default(),
            resume: args.resume,
            force: args.force,
        },
        shard,
        lanes: args.jobs.map_or(USUAL_LANES, NonZeroUsize::get),
        fail_fast: args.fail_fast,
        ui,
        cancel,
    };
    if args.dry_run {
        return batch.dry_run();
    }
    batch.run(started, args.report.as_deref())
}

/// The share that was asked for, or that an array job gives this run.
fn shard(asked: Option<Shard>, ui: &Ui) -> Result<Option<Shard>> {
    if asked.is_some() {
        return Ok(asked);
    }
    Ok(Shard::of_array_job()?.map(|(shard, variable)| {
        ui.say(&format!("share {shard} of the jobs, by {variable}"));
        shard
    }))
}

/// Jobs, and how they are to be worked on.
struct Batch<'a> {
    jobs: Vec<Job>,
    planner: Planner<'a>,
    shard: Option<Shard>,
    /// Clips side by side.
    lanes: usize,
    fail_fast: bool,
    ui: &'a Ui,
    cancel: &'a Cancel,
}

/// What a look at a job found: how long it is, and whether and how it is to be rendered.
struct Found<T> {
    frames: u64,
    more: Result<T>,
}

/// What is known of a job that can be rendered.
struct Prospect {
    is_finished: bool,
    /// Clips of one presenter are rendered one after the other.
    presenter: (PathBuf, PathBuf),
}

impl Batch<'_> {
    fn run(&self, started: Instant, report_path: Option<&Path>) -> Result<()> {
        let output = &self.planner.output;
        fs::create_dir_all(output).map_err(|e| {
            Fault::failed(format!("cannot make output folder `{}`", output.display()))
                .because(plain_io(&e))
        })?;
        let lock = Lock::take(output, self.shard)?;
        if let Some(warning) = &lock.warning {
            self.ui.warn(warning);
        }
        remove_abandoned(output);
        let mut report = BatchReport {
            output: output.display().to_string(),
            shard: self.shard.map(|shard| shard.to_string()),
            jobs: self.lanes,
            ..BatchReport::default()
        };
        let result = self.render(&mut report).and_then(|()| self.end(&report));
        report.warnings = self.ui.warnings();
        let error = result.as_ref().err().map(Report::of);
        report.set_end(started.elapsed().as_secs_f64(), error.as_ref());
        if error.is_none_or(|_| !report.clips.is_empty()) {
            self.sum_up(&report);
        }
        if let Some(path) = report_path {
            match (report::write_json(&report, path), &result) {
                (Err(error), Err(_)) => self.ui.warn(&format!("{error:#}")),
                (written, _) => written?,
            }
        }
        result
    }

    /// Looks at all jobs, and renders those of this run's share that are not finished.
    fn render(&self, report: &mut BatchReport) -> Result<()> {
        let known = Known::read(&self.planner.output)?;
        let planner = &self.planner;
        let found = self.look(|job, mut plan| {
            let is_finished = planner.is_finished(job, &plan, &known)?;
            if !is_finished {
                planner.claim(&mut plan, &known)?;
            }
            Ok(Prospect {
                is_finished,
                presenter: (plan.model.generator, plan.background),
            })
        })?;
        let mine = self.share(&found);
        report.clips = mine
            .iter()
            .map(|&n| ClipReport {
                id: self.jobs[n].id.clone(),
                ..ClipReport::default()
            })
            .collect();
        let mut todo = Vec::new();
        let mut presenters = HashMap::new();
        for (clip, &n) in report.clips.iter_mut().zip(&mine) {
            match &found[n].more {
                Err(error) => {
                    let error = Report::of(error);
                    self.tell_failure(&clip.id, &error);
                    let mut render = RenderReport::default();
                    render.set_end(0.0, Some(&error));
                    clip.end = End::Failed;
                    clip.render = Some(Box::new(render));
                    clip.error = Some(error);
                }
                Ok(prospect) if prospect.is_finished => {
                    clip.end = End::Skipped;
                    let frames = found[n].frames;
                    self.ui
                        .clip_event("skip", &clip.id, json!({ "frames": frames }));
                    self.ui.detail(&format!("{} is finished", clip.id));
                }
                Ok(prospect) => {
                    let turn = presenters.len();
                    let turn = *presenters.entry(&prospect.presenter).or_insert(turn);
                    todo.push((turn, n, found[n].frames));
                }
            }
        }
        let failed = report.clips.iter().any(|clip| clip.end == End::Failed);
        if todo.is_empty() || failed && self.fail_fast {
            return Ok(());
        }
        // Networks and pictures of one presenter are used up before those of the next take their memory.
        todo.sort_by_key(|(turn, ..)| *turn);
        let journal = Journal::open(&self.planner.output, self.shard, known)?;
        let places: HashMap<usize, usize> = mine.iter().copied().zip(0..).collect();
        self.work(&todo, &journal, |n, render, error| {
            let clip = &mut report.clips[places[&n]];
            clip.end = error.as_ref().map_or(End::Rendered, |_| End::Failed);
            clip.render = Some(render);
            clip.error = error;
        })
    }

    /// Renders the jobs of these numbers and frames, and tells how each ended.
    fn work(
        &self,
        todo: &[(usize, usize, u64)],
        journal: &Journal,
        mut ended: impl FnMut(usize, Box<RenderReport>, Option<Report>),
    ) -> Result<()> {
        let ui = self.ui;
        let library = assets::runtime_library()?;
        let runtime = Runtime::load(&library)?;
        let lanes = self.lanes.min(todo.len());
        let stock = ModelPool::new(&runtime, lanes);
        let numbers: Vec<usize> = todo.iter().map(|(_, n, _)| *n).collect();
        let frames: HashMap<usize, u64> = todo.iter().map(|(_, n, frames)| (*n, *frames)).collect();
        let mut progress = Tally::new(ui.progress(frames.values().sum()), &frames);
        let mut warned = HashSet::new();
        Workers {
            jobs: &self.jobs,
            planner: &self.planner,
            stock: &stock,
            journal,
            cancel: self.cancel,
            fail_fast: self.fail_fast,
            runtime: Runtime::version(&library),
        }
        .run(&numbers, lanes, |news| match news {
            JobEvent::Networks {
                job,
                networks,
                is_new,
                dropped,
                lacking,
            } => {
                for model in dropped {
                    ui.detail(&format!("model {model} gave up its memory"));
                }
                if is_new {
                    ui.detail(&format!(
                        "model {} is loaded for {}",
                        networks.model, self.jobs[job].id
                    ));
                    tell_networks(
                        &networks.placement,
                        &networks.tuning,
                        networks.precision,
                        ui,
                    );
                    tell_lacking(lacking, ui);
                }
            }
            JobEvent::Start {
                job,
                event,
                warnings,
            } => {
                let id = &self.jobs[job].id;
                ui.clip_event("start", id, event);
                ui.detail(&format!("{id} begins"));
                for warning in warnings {
                    // Many clips show one background; what is wrong with it is told once.
                    if warned.insert(warning.clone()) {
                        ui.warn_of(id, &warning);
                    }
                }
            }
            JobEvent::Progress { job, done } => progress.update(job, &self.jobs[job].id, done),
            JobEvent::End {
                job,
                report,
                error: None,
            } => {
                let id = &self.jobs[job].id;
                ui.clip_event("success", id, report.success());
                ui.detail(&format!("{id} is in its place"));
                ended(job, report, None);
            }
            JobEvent::End {
                job,
                report,
                error: Some(error),
            } => {
                progress.give_up(job);
                self.tell_failure(&self.jobs[job].id, &error);
                ended(job, report, Some(error));
            }
        })
    }

    /// What the run is to say at its end beside its figures: the clips that failed, or that it was interrupted.
    fn end(&self, report: &BatchReport) -> Result<()> {
        let failed = report.clips.iter().filter(|clip| clip.end == End::Failed);
        let failed = failed.count();
        let stopped_itself = self.fail_fast && failed > 0;
        if !stopped_itself {
            self.cancel.check()?;
        }
        if failed == 0 {
            return Ok(());
        }
        let fault = Fault::partial(format!("{failed} of {} clips failed", report.clips.len()));
        Err(fault
            .hint("mend what is wrong with them, and run the same with --resume")
            .into())
    }

    /// What `more` finds in each job, beside its frames. The frames depend on the job alone, so that all shards see the
    /// same; a job that is no clip has none.
    fn look<T: Send>(
        &self,
        more: impl Fn(&Job, Plan) -> Result<T> + Sync,
    ) -> Result<Vec<Found<T>>> {
        let planner = &self.planner;
        survey(
            &self.jobs,
            rayon::current_num_threads(),
            self.cancel,
            |job| match planner.look(job) {
                Ok(plan) => Found {
                    frames: plan.frames,
                    more: more(job, plan),
                },
                Err(error) => Found {
                    frames: 0,
                    more: Err(error),
                },
            },
        )
    }

    /// The numbers of the jobs that are this run's.
    fn share<T>(&self, found: &[Found<T>]) -> Vec<usize> {
        let frames: Vec<u64> = found.iter().map(|found| found.frames).collect();
        match self.shard {
            Some(shard) => shard.choose(&frames),
            None => (0..found.len()).collect(),
        }
    }

    fn tell_failure(&self, id: &str, error: &Report) {
        self.ui.clip_event("failure", id, error.to_json());
        self.ui.say(&format!("{id} failed: {}", error.message));
    }

    /// The clips that failed, and the figures of the run.
    fn sum_up(&self, report: &BatchReport) {
        let failed: Vec<(&str, String, Option<String>)> = report.failures().collect();
        self.ui.failures(&failed);
        let totals = report.totals;
        if report.error.is_none() {
            self.ui.event(
                "success",
                json!({
                    "output": report.output,
                    "clips": totals.clips,
                    "rendered": totals.rendered,
                    "skipped": totals.skipped,
                    "frames": report.frames,
                    "seconds": report.seconds,
                    "wall_s": report.wall_s,
                    "fps": report.frames_per_s,
                }),
            );
        }
        let others: String = [
            (totals.skipped, "finished before"),
            (totals.failed, "failed"),
            (totals.stopped, "stopped"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .flat_map(|(count, what)| [", ".to_owned(), count.to_string(), format!(" {what}")])
        .collect();
        self.ui.say(&format!(
            "rendered {} of {} clips{others}: {} frames, {:.2} s, in {:.1} s ({:.1} fps, {:.2}x real time)",
            totals.rendered,
            totals.clips,
            report.frames,
            report.seconds,
            report.wall_s,
            report.frames_per_s,
            report.realtime_factor
        ));
    }
}

/// Counts the frames of all clips together.
struct Tally<'a> {
    progress: Progress<'a>,
    /// Of each job, how many frames it has.
    frames: &'a HashMap<usize, u64>,
    /// Of each job, how many frames are written.
    done: HashMap<usize, u64>,
    all: u64,
}

impl<'a> Tally<'a> {
    fn new(progress: Progress<'a>, frames: &'a HashMap<usize, u64>) -> Self {
        Self {
            progress,
            frames,
            done: HashMap::new(),
            all: 0,
        }
    }

    /// `done` frames of a job are written.
    fn update(&mut self, job: usize, id: &str, done: u64) {
        self.count(job, done);
        self.progress
            .update_clip(self.all, id, done, self.frames[&job]);
    }

    /// Nothing more of a job is to be waited for.
    fn give_up(&mut self, job: usize) {
        self.count(job, self.frames[&job]);
    }

    fn count(&mut self, job: usize, done: u64) {
        let before = self.done.insert(job, done).unwrap_or(0);
        self.all += done.saturating_sub(before);
    }
}
