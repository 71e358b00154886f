//! Looks for everything that a render needs, by trying it: libraries are loaded, encoders looked up, and every model is run.
//! Each finding says how it is and, if something is missing, how to fix it.
//!
//! - `hardware.rs`: cores, memory, disk space
//! - `software.rs`: FFmpeg, ONNX Runtime, the configuration
//! - `bundled.rs`: bundled and configured models, backgrounds and samples
//! - `gpu.rs`: NVIDIA's driver and the CUDA libraries

mod bundled;
mod gpu;
mod hardware;
mod software;

use std::path::Path;

use serde::Serialize;

use crate::error::ErrorReport;

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nothing to do.
    Ok,
    /// Rendering works, but more slowly or not with every option.
    Warning,
    /// A missing dependency: nothing can be rendered without it.
    Missing,
}

impl State {
    /// Its name in text and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was checked.
    pub name: String,
    /// How severe it is.
    pub state: State,
    /// What was found, in one or more lines.
    pub detail: String,
    /// How to fix it, if there is a way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding without a remedy.
    pub(crate) fn new(state: State, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// A finding without a problem.
    pub(crate) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(State::Ok, name, detail)
    }

    /// An error as a finding, with its hint as the remedy.
    fn of(state: State, name: impl Into<String>, error: &anyhow::Error) -> Self {
        let report = ErrorReport::of(error);
        let texts = std::iter::once(report.message).chain(report.causes);
        let detail = texts.collect::<Vec<_>>().join(": ");
        Self {
            remedy: report.hint,
            ..Self::new(state, name, detail)
        }
    }

    /// Adds how to fix it.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Runs all checks, from the hardware up to the models. `config` is the file given with `--config`.
pub(crate) fn examine(config: Option<&Path>) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("lipsync", env!("CARGO_PKG_VERSION"))];
    findings.extend(hardware::examine());
    findings.extend(software::ffmpeg());
    let (runtime, finding) = software::runtime();
    findings.push(finding);
    let (config, finding) = software::config(config);
    findings.push(finding);
    findings.extend(bundled::sample());
    let (models, placement) = bundled::models(runtime.as_ref(), config.as_ref());
    findings.extend(models);
    findings.extend(bundled::face_networks(runtime.as_ref()));
    findings.extend(bundled::backgrounds(config.as_ref()));
    findings.extend(gpu::examine(placement.as_ref()));
    findings
}
