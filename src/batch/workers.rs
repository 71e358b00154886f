//! Several clips at the same time: one thread plans ahead, workers render, and the calling thread receives their events.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Error, Result};
use serde_json::Value;

use super::contents::ClipDigest;
use super::job::Job;
use super::journal::Journal;
use super::model_pool::{ModelPool, PooledModel};
use super::planner::Planner;
use crate::cancel::Cancel;
use crate::error::{ErrorReport, Exit, no_thread};
use crate::inference::shared::SharedEncoder;
use crate::inference::threads;
use crate::plan::Plan;
use crate::render::ClipRender;
use crate::render::report::RenderReport;

/// Plans that wait for a worker.
const PLANS_AHEAD: usize = 1;

/// What happens to a job; `job` is its index.
pub(crate) enum JobEvent {
    /// Its networks are resources.
    Networks {
        /// The job.
        job: usize,
        /// The networks.
        networks: Arc<PooledModel>,
        /// Whether they were loaded for it.
        is_new: bool,
        /// Models that were unloaded to make room.
        dropped: Vec<String>,
        /// Bytes by which the memory limit is too low.
        shortfall: usize,
    },
    /// Rendering starts.
    Start {
        /// The job.
        job: usize,
        /// The progress event of this name.
        event: Value,
        /// Warnings of its plan.
        warnings: Vec<String>,
    },
    /// Some of its frames are written.
    Progress {
        /// The job.
        job: usize,
        /// Frames written so far.
        done: u64,
    },
    /// It ended; without an error, its outputs are published.
    End {
        /// The job.
        job: usize,
        /// The report of its render.
        report: Box<RenderReport>,
        /// Why it failed.
        error: Option<ErrorReport>,
    },
}

/// What all workers share.
pub(crate) struct Workers<'a> {
    /// All jobs.
    pub jobs: &'a [Job],
    /// Turns jobs into plans.
    pub planner: &'a Planner<'a>,
    /// The loaded models.
    pub models: &'a ModelPool<'a>,
    /// Records finished clips.
    pub journal: &'a Journal,
    /// Stops all clips; unfinished outputs are removed.
    pub cancel: &'a Cancel,
    /// Whether the first clip that fails stops all others.
    pub fail_fast: bool,
    /// The version of ONNX Runtime.
    pub runtime: String,
}

/// The index of a job, and its plan or the error.
type Planned = (usize, Result<(Plan, ClipDigest)>);

impl Workers<'_> {
    /// Renders the jobs with these indices, in this order, `count` at a time. `on_event` is called on this thread. A job
    /// without an `End` event was stopped.
    pub(crate) fn run(
        &self,
        todo: &[usize],
        count: usize,
        mut on_event: impl FnMut(JobEvent),
    ) -> Result<()> {
        let (plans, planned) = sync_channel(PLANS_AHEAD);
        // The last worker closes the channel, which ends the planner.
        let planned = Arc::new(Mutex::new(planned));
        let (events, received) = channel();
        thread::scope(|scope| {
            let spawn = |name: String| thread::Builder::new().name(name);
            spawn("planner".into())
                .spawn_scoped(scope, move || self.plan_all(todo, &plans))
                .map_err(|e| no_thread(&e))?;
            for worker in 0..count {
                let (planned, events) = (Arc::clone(&planned), events.clone());
                let thread = spawn(format!("worker {worker}"));
                thread
                    .spawn_scoped(scope, move || self.work(&planned, &events))
                    .map_err(|e| no_thread(&e))?;
            }
            drop((planned, events));
            received.into_iter().for_each(&mut on_event);
            Ok(())
        })
    }

    fn plan_all(&self, todo: &[usize], plans: &SyncSender<Planned>) {
        for &n in todo {
            let job = &self.jobs[n];
            let plan = self.cancel.check().map_err(Error::from).and_then(|()| {
                let mut plan = self.planner.look(job)?;
                self.planner.claim(&mut plan, self.journal.known())?;
                let key = self.planner.contents.key(job, &plan)?;
                Ok((plan, key))
            });
            if plans.send((n, plan)).is_err() {
                return;
            }
        }
    }

    /// Renders plans until there are no more.
    fn work(&self, planned: &Mutex<Receiver<Planned>>, events: &Sender<JobEvent>) {
        // One worker waits for the next plan; the others wait for the lock.
        let next = || {
            planned
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv()
        };
        while let Ok((job, plan)) = next() {
            let started = Instant::now();
            let mut report = RenderReport::default();
            report.versions.insert("onnxruntime", self.runtime.clone());
            let result =
                plan.and_then(|(plan, key)| self.render(job, &plan, &key, &mut report, events));
            let error = result.err().map(|error| ErrorReport::of(&error));
            threads::release_memory();
            if error
                .as_ref()
                .is_some_and(|error| error.exit == Exit::Interrupted)
            {
                continue;
            }
            if error.is_some() && self.fail_fast {
                self.cancel.cancel();
            }
            report.set_end(started.elapsed().as_secs_f64(), error.as_ref());
            // Sending fails only if the receiving thread has panicked.
            let _ = events.send(JobEvent::End {
                job,
                report: Box::new(report),
                error,
            });
        }
    }

    fn render(
        &self,
        job: usize,
        plan: &Plan,
        key: &ClipDigest,
        report: &mut RenderReport,
        events: &Sender<JobEvent>,
    ) -> Result<()> {
        report.set_plan(plan);
        report.warnings.clone_from(&plan.warnings);
        self.cancel.check()?;
        let resources = self.models.get(plan)?;
        let networks = &resources.networks;
        report.device = Some(networks.placement.device());
        report.device_reason = networks.placement.reason();
        report.batch = Some(networks.batch);
        report.tuning = Some(networks.tuning.clone());
        let send = |event| drop(events.send(event));
        send(JobEvent::Networks {
            job,
            networks: Arc::clone(networks),
            is_new: resources.is_new,
            dropped: resources.dropped,
            shortfall: resources.room.shortfall,
        });
        for target in plan.outputs() {
            target.make_folders()?;
        }
        let clip = ClipRender::new(plan, networks.batch, resources.room);
        send(JobEvent::Start {
            job,
            event: clip.start(&networks.placement.device()),
            warnings: plan.warnings.clone(),
        });
        let rendered = clip.render(
            &mut SharedEncoder(&networks.encoder),
            &mut networks.generators.borrowers(),
            self.cancel,
            |done| send(JobEvent::Progress { job, done }),
        )?;
        report.batch_limit = networks.batch_limit.get();
        report.set_rendered(&rendered);
        self.journal
            .complete(key, &self.jobs[job].id, &rendered.outputs)?;
        rendered.publish(self.cancel)
    }
}
