//! What a machine has and lacks for rendering; everything is really tried.

mod gpu;
mod hardware;
mod software;

use std::path::Path;

use serde::Serialize;

use crate::error::Report;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Rendering works, but slower, or not with every option.
    Warning,
    /// Nothing can be rendered without it.
    Missing,
}

impl State {
    /// Its name in lines and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found; one line or a few.
    pub detail: String,
    /// What mends it, where something does.
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

    /// A thing that is as it should be.
    pub(crate) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(State::Ok, name, detail)
    }

    /// What an error says, with its hint as the remedy.
    fn of(state: State, name: impl Into<String>, error: &anyhow::Error) -> Self {
        let report = Report::of(error);
        let texts = std::iter::once(report.message).chain(report.causes);
        let detail = texts.collect::<Vec<_>>().join(": ");
        Self {
            remedy: report.hint,
            ..Self::new(state, name, detail)
        }
    }

    /// What mends it.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Looks at everything, from the hardware up to the models. `config` is the file that was named with `--config`.
pub(crate) fn examine(config: Option<&Path>) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("lipsync", env!("CARGO_PKG_VERSION"))];
    findings.extend(hardware::examine());
    findings.extend(software::ffmpeg());
    let (runtime, finding) = software::runtime();
    findings.push(finding);
    let (config, finding) = software::config(config);
    findings.push(finding);
    findings.extend(software::bundled());
    let (models, placement) = software::models(runtime.as_ref(), config.as_ref());
    findings.extend(models);
    findings.extend(software::backgrounds(config.as_ref()));
    findings.extend(gpu::examine(placement.as_ref()));
    findings
}
