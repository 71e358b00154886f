//! A plan with its networks: rendered, or printed with `--dry-run`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::description;
use crate::assets;
use crate::cancel::Cancel;
use crate::cli::notices;
use crate::cli::ui::{Level, Ui};
use crate::inference::halving::BatchLimit;
use crate::inference::onnx::{Networks, Runtime};
use crate::plan::Plan;
use crate::render::memory::MemoryBudget;
use crate::render::report::RenderReport;
use crate::render::{ClipRender, networks, preview};

/// A plan and the loaded networks that carry it out.
pub(super) struct Job {
    plan: Plan,
    networks: Networks,
    /// Frames per run of the generator.
    batch: usize,
    memory: MemoryBudget,
    /// ONNX Runtime's library.
    runtime: PathBuf,
}

impl Job {
    /// Loads the networks and runs them once.
    pub(super) fn load(plan: Plan, ui: &Ui, report: &mut RenderReport) -> Result<Self> {
        let runtime = assets::runtime_library()?;
        let mut networks = networks::load(&plan, &Runtime::load(&runtime)?)?;
        report
            .versions
            .insert("onnxruntime", Runtime::version(&runtime));
        report.tuning = Some(networks.tuning.clone());
        let placement = &networks.placement;
        notices::networks(placement, &networks.tuning, plan.precision, ui);
        let batch = plan.batch.on(placement);
        report.device = Some(placement.device());
        report.device_reason = placement.reason();
        report.batch = Some(batch);
        let memory = networks::budget_memory(&plan, &mut networks, batch)?;
        notices::memory_shortfall(memory.shortfall, ui);
        note_batch_limit(&networks.batch_limit, ui, report);
        Ok(Self {
            plan,
            networks,
            batch,
            memory,
            runtime,
        })
    }

    /// Renders, and puts the outputs in place.
    pub(super) fn run(
        mut self,
        started: Instant,
        ui: &Ui,
        cancel: &Cancel,
        report: &mut RenderReport,
    ) -> Result<()> {
        for line in self.description() {
            ui.detail(&line);
        }
        let plan = &self.plan;
        let work = ClipRender::new(plan, self.batch, self.memory);
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
                note_batch_limit(&limit, ui, report);
            },
        )?;
        drop(progress);
        report.set_rendered(&rendered);
        rendered.publish(cancel)?;
        self.print_summary(started, frames, ui);
        Ok(())
    }

    /// What was written, and how fast.
    fn print_summary(&self, started: Instant, frames: u64, ui: &Ui) {
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
                "wrote {target}: {} frames",
                preview::sheet_frames(plan.frames).len()
            ));
        }
    }

    /// Prints the plan to stdout; with `--verbose`, also where each setting came from.
    pub(super) fn print_plan(&self, ui: &Ui) -> Result<()> {
        let mut lines = self.description();
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

    fn description(&self) -> Vec<String> {
        description::lines(
            &self.plan,
            &self.networks.placement.device(),
            self.batch,
            &self.runtime,
        )
    }
}

/// Warns when memory runs out for the first time, and keeps the batch size that was left in the report.
fn note_batch_limit(limit: &BatchLimit, ui: &Ui, report: &mut RenderReport) {
    let Some(limit) = limit.get() else { return };
    if report.batch_limit.is_none() {
        let frames = if limit == 1 { "frame" } else { "frames" };
        ui.warn(&format!(
            "not enough memory for the batch: falling back to {limit} {frames} at a time"
        ));
    }
    report.batch_limit = Some(limit);
}
