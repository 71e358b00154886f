//! `lipsync render`: one clip.

mod args;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::ArgMatches;
use serde_json::json;

pub(super) use args::RenderArgs;

use super::ui::{Level, Ui};
use crate::activity::{Activity, Rest};
use crate::assets;
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::config::{Plan, Silence};
use crate::encode::FrameSink;
use crate::encode::mp4::{Mp4, Mp4Spec};
use crate::encode::png::PngFolder;
use crate::error::Report;
use crate::infer::onnx::{Networks, Runtime};
use crate::output::Kind;
use crate::pipeline::{self, Clip, Selection};
use crate::report::{self, RenderReport};

/// Renders, and reports on it whatever happens.
pub(super) fn render(
    args: RenderArgs,
    matches: &ArgMatches,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let started = Instant::now();
    let (dry_run, report_path) = (args.dry_run, args.report.clone());
    if let Some(path) = &report_path {
        report::check(path)?;
    }
    let mut report = RenderReport::default();
    let request = args.into_request(matches);
    let plan = plan(request, config, ui, &mut report);
    let result = plan.and_then(|plan| {
        let job = Job::load(plan, ui, &mut report)?;
        if dry_run {
            job.tell_plan(ui);
            return Ok(());
        }
        job.run(started, ui, cancel, &mut report)
    });
    if let Some(path) = report_path.filter(|_| !dry_run) {
        let error = result.as_ref().err().map(Report::of);
        report.warnings = ui.warnings();
        report.set_end(started.elapsed().as_secs_f64(), error.as_ref());
        match (report.write(&path), &result) {
            (Err(error), Err(_)) => ui.warn(&format!("{error:#}")),
            (written, _) => written?,
        }
    }
    result
}

/// Decides and checks everything but the networks.
fn plan(
    request: crate::config::Request,
    config: Option<&Path>,
    ui: &Ui,
    report: &mut RenderReport,
) -> Result<Plan> {
    let config = ConfigFile::find(config)?;
    if let Some(level) = config.as_ref().and_then(|config| config.log_level.as_ref()) {
        ui.suggest_level(Level::named(level.value));
    }
    let plan = Plan::new(request, config.as_ref())?;
    report.set_plan(&plan);
    for warning in &plan.backgrounds.warnings {
        ui.warn(warning);
    }
    Ok(plan)
}

/// A plan and the networks that carry it out.
struct Job {
    plan: Plan,
    networks: Networks,
    batch: usize,
    runtime: std::path::PathBuf,
}

impl Job {
    fn load(plan: Plan, ui: &Ui, report: &mut RenderReport) -> Result<Self> {
        let runtime = assets::runtime_library()?;
        let networks = Networks::load(
            &Runtime::load(&runtime)?,
            &plan.model.audio_encoder,
            &plan.model.generator,
            plan.hardware,
        )?;
        let placement = &networks.placement;
        let batch = plan.batch.on(placement);
        report.device = Some(placement.device.clone());
        report.device_reason.clone_from(&placement.reason);
        report.batch = Some(batch);
        match &placement.reason {
            Some(reason) => ui.say(&format!("networks run on {}: {reason}", placement.device)),
            None => ui.say(&format!("networks run on {}", placement.device)),
        }
        // Fails only if a pool exists already, which then serves as well.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(plan.hardware.threads)
            .build_global();
        Ok(Self {
            plan,
            networks,
            batch,
            runtime,
        })
    }

    fn run(
        mut self,
        started: Instant,
        ui: &Ui,
        cancel: &Cancel,
        report: &mut RenderReport,
    ) -> Result<()> {
        for line in self.lines() {
            ui.detail(&line);
        }
        let plan = &self.plan;
        let rest = match plan.silence {
            Silence::Model => None,
            Silence::Rest => Some(Rest::in_pauses(&Activity::of(&plan.sound, cancel)?)),
        };
        let frames = Selection::Range(0..plan.frames);
        let clip = Clip {
            sound: &plan.sound,
            rest: rest.as_ref(),
            backgrounds: &plan.backgrounds,
            keep_bytes: plan.keep_bytes,
            order: plan.order,
            start: plan.start,
            paste: plan.paste,
            fps: plan.fps,
            frames: &frames,
            batch: self.batch,
        };
        let mut sink = sink(plan)?;
        ui.event(
            "start",
            json!({
                "input": plan.sound.path(),
                "output": plan.output(),
                "frames": plan.frames,
                "fps": plan.fps.as_f64(),
                "device": self.networks.placement.device,
                "batch": self.batch,
            }),
        );
        let mut progress = ui.progress(plan.frames);
        let times = pipeline::run(
            clip,
            &mut self.networks.encoder,
            &mut self.networks.generator,
            sink.as_mut(),
            cancel,
            |done| progress.update(done),
        )?;
        drop(progress);
        sink.finish()?;
        report.set_stages(&times);
        self.sum_up(started, ui);
        Ok(())
    }

    fn sum_up(&self, started: Instant, ui: &Ui) {
        let plan = &self.plan;
        let (took, lasts) = (started.elapsed().as_secs_f64(), plan.sound.seconds());
        let fps = plan.frames as f64 / took;
        ui.event(
            "success",
            json!({
                "output": plan.output(),
                "frames": plan.frames,
                "seconds": lasts,
                "wall_s": took,
                "fps": fps,
            }),
        );
        ui.say(&format!(
            "wrote `{}`: {} frames, {lasts:.2} s, in {took:.1} s ({fps:.1} fps, {:.2}x real time, {})",
            plan.output().display(),
            plan.frames,
            lasts / took,
            self.networks.placement.device
        ));
    }

    /// The plan, on stdout.
    fn tell_plan(&self, ui: &Ui) {
        for line in self.lines() {
            ui.data(&line);
        }
        if ui.shows(Level::Debug) {
            ui.data("");
            for (name, setting) in &self.plan.settings {
                ui.data(&format!("{name:>14}  {:<24}  {}", setting.value, setting.origin));
            }
        }
        ui.event("success", json!({ "dry_run": true }));
    }

    /// What will be done, a line each.
    fn lines(&self) -> Vec<String> {
        let plan = &self.plan;
        let sound = &plan.sound;
        [
            (
                "sound",
                format!(
                    "`{}`: {:.2} s, {} Hz, {} channels",
                    sound.path().display(),
                    sound.seconds(),
                    sound.rate,
                    sound.channels
                ),
            ),
            (
                "model",
                format!(
                    "{}: `{}`, `{}`",
                    plan.model.id,
                    plan.model.generator.display(),
                    plan.model.audio_encoder.display()
                ),
            ),
            (
                "background",
                format!(
                    "`{}`: {} frames of {}, from number {}",
                    plan.background.display(),
                    plan.backgrounds.count(),
                    plan.backgrounds.size(),
                    plan.start.0
                ),
            ),
            (
                "output",
                format!(
                    "`{}`: {} frames at {} fps",
                    plan.output().display(),
                    plan.frames,
                    plan.fps
                ),
            ),
            (
                "work",
                format!(
                    "on {}, batches of {}, {} threads, {:?} order, {:?} paste",
                    self.networks.placement.device,
                    self.batch,
                    plan.hardware.threads,
                    plan.order,
                    plan.paste
                ),
            ),
            ("runtime", format!("`{}`", self.runtime.display())),
        ]
        .map(|(what, value)| format!("{what:>10}  {value}"))
        .into()
    }
}

fn sink(plan: &Plan) -> Result<Box<dyn FrameSink>> {
    let target = plan.target.clone();
    Ok(match plan.target.kind {
        Kind::Frames => Box::new(PngFolder::create(target)?),
        Kind::File => {
            let spec = Mp4Spec {
                size: plan.backgrounds.size(),
                fps: plan.fps,
                frames: plan.frames,
                threads: plan.hardware.threads,
            };
            Box::new(Mp4::create(target, spec, &plan.sound)?)
        }
    })
}
