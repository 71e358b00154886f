//! `lipsync render`: one clip.

mod args;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::ArgMatches;
use serde_json::json;

pub(super) use args::{ClipArgs, RenderArgs};

use super::ui::{Level, Ui};
use crate::assets;
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::error::Report;
use crate::ffmpeg;
use crate::inference::halving::BatchLimit;
use crate::inference::onnx::{Networks, Placement, Runtime};
use crate::inference::precision::{Precision, Tuning};
use crate::plan::{Plan, Request};
use crate::render::ClipRender;
use crate::render::memory::MemoryBudget;
use crate::render::networks;
use crate::render::preview;
use crate::render::report::{self, RenderReport};

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
            return job.tell_plan(ui);
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
    request: Request,
    config: Option<&Path>,
    ui: &Ui,
    report: &mut RenderReport,
) -> Result<Plan> {
    let config = set_out(config, &request, ui)?;
    let plan = Plan::new(request, config.as_ref())?;
    report.set_plan(&plan);
    for warning in &plan.warnings {
        ui.warn(warning);
    }
    Ok(plan)
}

/// What comes before all work: finds the configuration, and does what it and `request` say of messages and threads.
pub(super) fn set_out(
    config: Option<&Path>,
    request: &Request,
    ui: &Ui,
) -> Result<Option<ConfigFile>> {
    let config = ConfigFile::find(config)?;
    if let Some(level) = config.as_ref().and_then(|config| config.log_level.as_ref()) {
        ui.suggest_level(Level::named(level.value));
    }
    if ui.shows(Level::Trace) {
        ffmpeg::speak()?;
    }
    use_threads(request.threads.as_ref().map(|threads| threads.value));
    Ok(config)
}

/// Holds all work on pictures to so many threads; all cores if none. Checking the backgrounds is such work already.
pub(super) fn use_threads(threads: Option<NonZeroUsize>) {
    // Fails only if a pool exists, which then serves as well.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.map_or(0, NonZeroUsize::get))
        .build_global();
}

/// A plan and the networks that carry it out.
struct Job {
    plan: Plan,
    networks: Networks,
    batch: usize,
    room: MemoryBudget,
    runtime: std::path::PathBuf,
}

impl Job {
    fn load(plan: Plan, ui: &Ui, report: &mut RenderReport) -> Result<Self> {
        let runtime = assets::runtime_library()?;
        let mut networks = networks::load(&plan, &Runtime::load(&runtime)?)?;
        report
            .versions
            .insert("onnxruntime", Runtime::version(&runtime));
        report.tuning = Some(networks.tuning.clone());
        let placement = &networks.placement;
        tell_networks(placement, &networks.tuning, plan.precision, ui);
        let batch = plan.batch.on(placement);
        report.device = Some(placement.device());
        report.device_reason = placement.reason();
        report.batch = Some(batch);
        let room = networks::make_room(&plan, &mut networks, batch)?;
        tell_lacking(room.lacking, ui);
        tell_batch_limit(&networks.batch_limit, ui, report);
        Ok(Self {
            plan,
            networks,
            batch,
            room,
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
        let work = ClipRender::new(plan, self.batch, self.room);
        let frames = work.frames();
        ui.event("start", work.start(&self.networks.placement.device()));
        let mut progress = ui.progress(frames);
        let limit = self.networks.batch_limit.clone();
        let rendered = work.render(
            &mut self.networks.encoder,
            &mut self.networks.generators,
            cancel,
            |done| {
                progress.update(done);
                tell_batch_limit(&limit, ui, report);
            },
        )?;
        drop(progress);
        report.set_rendered(&rendered);
        rendered.publish()?;
        self.sum_up(started, frames, ui);
        Ok(())
    }

    fn sum_up(&self, started: Instant, frames: u64, ui: &Ui) {
        let plan = &self.plan;
        let took = started.elapsed().as_secs_f64();
        let fps = frames as f64 / took;
        let lasts = plan.seconds();
        ui.event(
            "success",
            json!({
                "output": plan.output_path(),
                "frames": frames,
                "seconds": lasts,
                "wall_s": took,
                "fps": fps,
            }),
        );
        let on = self.networks.placement.device();
        if let Some(target) = &plan.target {
            ui.say(&format!(
                "wrote {target}: {frames} frames, {lasts:.2} s, in {took:.1} s ({fps:.1} fps, {:.2}x real time, {on})",
                lasts / took,
            ));
        }
        if let Some(target) = &plan.contact_sheet {
            ui.say(&format!(
                "wrote {target}: {} moments",
                preview::moments(plan.frames).len()
            ));
        }
    }

    /// The plan, on stdout.
    fn tell_plan(&self, ui: &Ui) -> Result<()> {
        let mut lines = self.lines();
        if ui.shows(Level::Debug) {
            lines.push(String::new());
            let settings = self.plan.settings.iter();
            lines.extend(settings.map(|(name, setting)| {
                format!("{name:>14}  {:<24}  {}", setting.value, setting.origin)
            }));
        }
        ui.data(&(lines.join("\n") + "\n"))?;
        ui.event("success", json!({ "dry_run": true }));
        Ok(())
    }

    /// What will be done, a line each.
    fn lines(&self) -> Vec<String> {
        let plan = &self.plan;
        let sound = &plan.sound;
        [
            (
                "sound",
                format!(
                    "`{}`: {:.2} s, {} Hz, {}",
                    sound.path().display(),
                    sound.seconds(),
                    sound.rate,
                    match sound.channels {
                        1 => "mono".to_owned(),
                        n => format!("{n} channels"),
                    }
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
                    "{}: {}{} frames at {} fps{}",
                    self.outputs(),
                    self.part(),
                    plan.range.count(),
                    plan.fps,
                    self.compression()
                ),
            ),
            (
                "work",
                format!(
                    "on {}, batches of {}, {} threads, {:?} order, {:?} paste",
                    self.networks.placement.device(),
                    self.batch,
                    plan.hardware.threads,
                    plan.order,
                    plan.paste,
                ),
            ),
            ("runtime", format!("`{}`", self.runtime.display())),
        ]
        .map(|(what, value)| format!("{what:>10}  {value}"))
        .into()
    }

    fn outputs(&self) -> String {
        let targets = [&self.plan.target, &self.plan.contact_sheet];
        let names: Vec<String> = targets
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        names.join(" and ")
    }

    /// Which part of the clip it is, in words.
    fn part(&self) -> String {
        let range = &self.plan.range;
        range.part.map_or(String::new(), |part| {
            format!(
                "part {part} of {} frames, from frame {} on: ",
                self.plan.frames, range.frames.start
            )
        })
    }

    /// How the clip is compressed, in words.
    fn compression(&self) -> String {
        let Some(format) = &self.plan.format else {
            return String::new();
        };
        let video = &format.video;
        let crf = video
            .crf
            .map(|crf| format!(", crf {crf}"))
            .unwrap_or_default();
        let preset = video.preset.as_ref().map(|preset| format!(", {preset}"));
        format!(
            ", {}{crf}{}",
            video.encoder.name,
            preset.unwrap_or_default()
        )
    }
}

/// Says the first time that memory ran out, and keeps how far the batch went down since.
fn tell_batch_limit(limit: &BatchLimit, ui: &Ui, report: &mut RenderReport) {
    let Some(limit) = limit.get() else { return };
    if report.batch_limit.is_none() {
        ui.warn(&format!(
            "there is not enough memory for the batch: going on with {limit} frames at a time"
        ));
    }
    report.batch_limit = Some(limit);
}

/// Where the networks run and why, and what was made of the generator.
pub(super) fn tell_networks(placement: &Placement, tuning: &Tuning, asked: Precision, ui: &Ui) {
    tell_tuning(tuning, asked, ui);
    let device = placement.device();
    match placement.reason() {
        Some(reason) => ui.say(&format!("networks run on {device}: {reason}")),
        None => ui.say(&format!("networks run on {device}")),
    }
    if let Some(left) = &placement.left_on_cpu {
        ui.warn(&format!(
            "{device} leaves a part of the generator to the CPU: {left}"
        ));
    }
}

/// That the memory limit is so many bytes too small for anything to be kept.
pub(super) fn tell_lacking(bytes: usize, ui: &Ui) {
    if bytes > 0 {
        ui.warn(&format!(
            "the memory limit is {:.2} GB less than what networks and encoder take: nothing of the backgrounds is kept",
            bytes as f64 / 1e9
        ));
    }
}

/// What was made of the generator; what was asked for and could not be had is a warning.
fn tell_tuning(tuning: &Tuning, asked: Precision, ui: &Ui) {
    let psnr = tuning.psnr_db.map(|db| format!(", {db:.1} dB from exact"));
    let precision = &tuning.precision;
    ui.detail(&format!(
        "precision {precision}{}",
        psnr.unwrap_or_default()
    ));
    for what in &tuning.rewritings {
        ui.detail(&format!("generator: {what}"));
    }
    for why in &tuning.dropped {
        let wanted = asked == Precision::Int8 && why.starts_with("int8")
            || asked == Precision::Fp16 && why.starts_with("fp16");
        if wanted {
            ui.warn(&format!("the generator runs in full precision: {why}"));
        } else {
            ui.detail(&format!("generator: not used: {why}"));
        }
    }
}
