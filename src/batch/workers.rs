//! Clips side by side: a planner looks ahead, lanes render, and one thread hears of all of it.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Error, Result};
use serde_json::Value;

use super::contents::{ClipDigest, ContentDigests};
use super::job::Job;
use super::journal::{Journal, Known};
use super::model_pool::{ModelPool, PooledModel};
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::error::{Exit, Report};
use crate::inference::shared::SharedEncoder;
use crate::inference::threads;
use crate::output::Target;
use crate::plan::{OpenBackgrounds, Plan};
use crate::render::ClipRender;
use crate::render::report::RenderReport;

/// Plans that wait for a lane.
const PLANS_AHEAD: usize = 1;

/// How jobs become plans.
pub(crate) struct Planner<'a> {
    /// The output folder.
    pub output: PathBuf,
    /// `lipsync.yaml`.
    pub config: Option<&'a ConfigFile>,
    /// Backgrounds that are open.
    pub backdrops: OpenBackgrounds,
    /// Digests of what clips are made of.
    pub contents: ContentDigests,
    /// Whether to skip what is finished, and to replace what earlier runs wrote.
    pub resume: bool,
    /// Whether to replace what somebody else wrote.
    pub force: bool,
}

impl Planner<'_> {
    /// What is to be done for a job, whatever is in the places of its outputs.
    pub(crate) fn look(&self, job: &Job) -> Result<Plan> {
        let mut request = job.request_in(&self.output);
        request.force = true;
        Plan::with_backgrounds(request, self.config, &self.backdrops)
    }

    /// Lets `plan` replace what it may: everything by force, and what earlier runs wrote if this one goes on with them;
    /// `known` tells which that is. All else is an error.
    pub(crate) fn claim(&self, plan: &mut Plan, known: &Known) -> Result<()> {
        for target in plan.outputs_mut() {
            // What appears later is somebody else's.
            target.force = target.is_taken();
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
                    .because("no run of lipsync batch in this folder wrote what is in it")
                    .into());
            }
        }
        Ok(())
    }

    /// Whether this run is to skip the job: `known` says that it is finished, and nothing has changed since.
    pub(crate) fn is_finished(&self, job: &Job, plan: &Plan, known: &Known) -> Result<bool> {
        // The sound is read only where the answer is not clear without it.
        let may_be = self.resume && plan.outputs().all(Target::is_taken);
        Ok(may_be && known.is_finished(&self.contents.key(job, plan)?))
    }
}

/// What happens to the job of a number.
pub(crate) enum JobEvent {
    /// Its networks are there; new ones if `is_new`, for which those of `dropped` had to go.
    Networks {
        /// The job.
        job: usize,
        /// The networks.
        networks: Arc<PooledModel>,
        /// Whether they were loaded for it.
        is_new: bool,
        /// Models that had to go.
        dropped: Vec<String>,
        /// How many bytes too few the memory limit has.
        lacking: usize,
    },
    /// Rendering begins.
    Start {
        /// The job.
        job: usize,
        /// What the event of that name tells.
        event: Value,
        /// What its user should know.
        warnings: Vec<String>,
    },
    /// So many of its frames are written.
    Progress {
        /// The job.
        job: usize,
        /// Frames written.
        done: u64,
    },
    /// It ended; without an error, its outputs are in their places.
    End {
        /// The job.
        job: usize,
        /// What is known of it.
        report: Box<RenderReport>,
        /// Why it failed.
        error: Option<Report>,
    },
}

/// What all lanes share.
pub(crate) struct Workers<'a> {
    /// All jobs.
    pub jobs: &'a [Job],
    /// How they become plans.
    pub planner: &'a Planner<'a>,
    /// The networks.
    pub stock: &'a ModelPool<'a>,
    /// What is finished.
    pub journal: &'a Journal,
    /// Stops all clips; they leave nothing.
    pub cancel: &'a Cancel,
    /// Whether the first clip that fails stops all others.
    pub fail_fast: bool,
    /// ONNX Runtime's version.
    pub runtime: String,
}

/// A job's number, and its plan or why there is none.
type Planned = (usize, Result<(Plan, ClipDigest)>);

impl Workers<'_> {
    /// Works on the jobs of these numbers, in this order, `count` at a time, and tells what happens on the calling thread.
    /// Jobs of which no end is told were stopped.
    pub(crate) fn run(
        &self,
        todo: &[usize],
        count: usize,
        mut tell: impl FnMut(JobEvent),
    ) -> Result<()> {
        let (plans, planned) = sync_channel(PLANS_AHEAD);
        // Gone with the last lane, which ends the planner.
        let planned = Arc::new(Mutex::new(planned));
        let (news, heard) = channel();
        thread::scope(|scope| {
            let spawn = |name: String| thread::Builder::new().name(name);
            spawn("planner".into()).spawn_scoped(scope, move || self.plan_all(todo, &plans))?;
            for lane in 0..count {
                let (planned, news) = (Arc::clone(&planned), news.clone());
                let lane = spawn(format!("lane {lane}"));
                lane.spawn_scoped(scope, move || self.lane(&planned, &news))?;
            }
            drop((planned, news));
            heard.into_iter().for_each(&mut tell);
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

    fn lane(&self, planned: &Mutex<Receiver<Planned>>, news: &Sender<JobEvent>) {
        // The others wait for the lock instead of for the plan.
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
                plan.and_then(|(plan, key)| self.clip(job, &plan, &key, &mut report, news));
            let error = result.err().map(|error| Report::of(&error));
            threads::give_memory_back();
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
            // Nobody hears it only if that thread has panicked.
            let _ = news.send(JobEvent::End {
                job,
                report: Box::new(report),
                error,
            });
        }
    }

    fn clip(
        &self,
        job: usize,
        plan: &Plan,
        key: &ClipDigest,
        report: &mut RenderReport,
        news: &Sender<JobEvent>,
    ) -> Result<()> {
        report.set_plan(plan);
        report.warnings.clone_from(&plan.warnings);
        self.cancel.check()?;
        let ready = self.stock.get(plan)?;
        let networks = &ready.networks;
        report.device = Some(networks.placement.device());
        report.device_reason = networks.placement.reason();
        report.batch = Some(networks.batch);
        report.tuning = Some(networks.tuning.clone());
        let tell = |what| drop(news.send(what));
        tell(JobEvent::Networks {
            job,
            networks: Arc::clone(networks),
            is_new: ready.is_new,
            dropped: ready.dropped,
            lacking: ready.room.lacking,
        });
        for target in plan.outputs() {
            target.make_folders()?;
        }
        let work = ClipRender::new(plan, networks.batch, ready.room);
        tell(JobEvent::Start {
            job,
            event: work.start(&networks.placement.device()),
            warnings: plan.warnings.clone(),
        });
        let rendered = work.render(
            &mut SharedEncoder(&networks.encoder),
            &mut networks.generators.borrowers(),
            self.cancel,
            |done| tell(JobEvent::Progress { job, done }),
        )?;
        report.batch_limit = networks.batch_limit.get();
        report.set_rendered(&rendered);
        self.journal
            .complete(key, &self.jobs[job].id, &rendered.parts)?;
        rendered.publish()
    }
}
