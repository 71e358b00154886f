//! Prints what happens to jobs while they are rendered.

use std::collections::HashSet;

use super::progress::BatchProgress;
use crate::batch::job::Job;
use crate::batch::workers::JobEvent;
use crate::cli::notices;
use crate::cli::ui::Ui;
use crate::error::ErrorReport;
use crate::render::report::RenderReport;

/// How a job ended.
pub(super) struct JobEnd {
    /// Its index.
    pub(super) job: usize,
    pub(super) render: Box<RenderReport>,
    /// Why it failed.
    pub(super) error: Option<ErrorReport>,
}

/// Prints the events of a run.
pub(super) struct EventPrinter<'a> {
    jobs: &'a [Job],
    progress: BatchProgress<'a>,
    /// Warnings that were printed. Many clips share a background: each of its warnings is printed once.
    warned: HashSet<String>,
    ui: &'a Ui,
}

impl<'a> EventPrinter<'a> {
    pub(super) fn new(jobs: &'a [Job], progress: BatchProgress<'a>, ui: &'a Ui) -> Self {
        Self {
            jobs,
            progress,
            warned: HashSet::new(),
            ui,
        }
    }

    /// Prints an event; returns the end of a job.
    pub(super) fn print(&mut self, event: JobEvent) -> Option<JobEnd> {
        let ui = self.ui;
        match event {
            JobEvent::Networks {
                job,
                networks,
                is_new,
                dropped,
                shortfall,
            } => {
                for model in dropped {
                    ui.detail(&format!("model {model} was unloaded to free memory"));
                }
                if is_new {
                    let id = &self.jobs[job].id;
                    ui.detail(&format!("model {} is loaded for {id}", networks.model));
                    notices::networks(
                        &networks.placement,
                        &networks.tuning,
                        networks.precision,
                        ui,
                    );
                    notices::memory_shortfall(shortfall, ui);
                }
                None
            }
            JobEvent::Start {
                job,
                event,
                warnings,
            } => {
                let id = &self.jobs[job].id;
                ui.clip_event("start", id, event);
                ui.detail(&format!("{id} started"));
                for warning in warnings {
                    if self.warned.insert(warning.clone()) {
                        ui.clip_warning(id, &warning);
                    }
                }
                None
            }
            JobEvent::Progress { job, done } => {
                self.progress.update(job, &self.jobs[job].id, done);
                None
            }
            JobEvent::End { job, report, error } => {
                let id = &self.jobs[job].id;
                if let Some(error) = &error {
                    self.progress.skip(job);
                    print_failure(id, error, ui);
                } else {
                    ui.clip_event("success", id, report.success());
                    ui.detail(&format!("{id} finished"));
                }
                Some(JobEnd {
                    job,
                    render: report,
                    error,
                })
            }
        }
    }
}

/// Prints that the clip `id` failed, at once; the list at the end has the cause and the hint.
pub(super) fn print_failure(id: &str, error: &ErrorReport, ui: &Ui) {
    ui.clip_event("failure", id, error.to_json());
    ui.say(&format!("{id} failed: {}", error.message));
}
