//! Errors about settings name what was written: a flag only if it was typed, else the variable or the line of the file.

use std::fmt::Display;

use anyhow::Error;

use super::request::Request;
use super::setting::{Origin, Setting};
use crate::error::Fault;

/// Where the settings come from that errors are about.
pub(super) struct Blame(Vec<Blamed>);

/// A setting that no flag made.
struct Blamed {
    flag: &'static str,
    value: String,
    origin: Origin,
}

impl Blame {
    /// Remembers the origins of a request in which nothing is decided yet.
    pub(super) fn of(request: &Request) -> Self {
        let mut blame = Self(Vec::new());
        blame.note("--crf", request.crf.as_ref());
        blame.note("--preset", request.preset.as_ref());
        blame.note("--audio-bitrate", request.audio_kilobits.as_ref());
        blame.note("--start-frame", request.start_frame.as_ref());
        blame.note("--no-mark", request.no_mark.as_ref());
        blame.note("--deterministic", request.deterministic.as_ref());
        blame.note("--codec", request.codec.as_ref());
        blame.path("--model", request.model.as_ref());
        blame.path("--background", request.background.as_ref());
        blame.path("--crop-rects", request.crop_rects.as_ref());
        blame
    }

    fn note<T: Display>(&mut self, flag: &'static str, setting: Option<&Setting<T>>) {
        let Some(Setting { value, origin }) = setting else {
            return;
        };
        if matches!(origin, Origin::Environment(_) | Origin::File(..)) {
            self.0.push(Blamed {
                flag,
                value: value.to_string(),
                origin: origin.clone(),
            });
        }
    }

    fn path(&mut self, flag: &'static str, setting: Option<&Setting<std::path::PathBuf>>) {
        let shown = setting.map(|setting| setting.clone().map(|path| path.display().to_string()));
        self.note(flag, shown.as_ref());
    }

    /// The error with the names of what was written.
    pub(super) fn name(&self, error: Error) -> Error {
        let mut fault = match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(other) => return other,
        };
        for Blamed {
            flag,
            value,
            origin,
        } in &self.0
        {
            let is_named = fault.to_string().starts_with(flag);
            let is_quoted = fault.to_string().contains(&format!("`{value}`"));
            fault = match origin {
                Origin::Environment(name) if is_named => fault
                    .renamed(&format!("{flag} {value}"), &format!("{name}={value}"))
                    .renamed(flag, name),
                Origin::Environment(name) if is_quoted => fault.of_variable(name),
                Origin::File(..) if is_named => {
                    let key = flag.trim_start_matches('-').replace('-', "_");
                    fault
                        .renamed(
                            &format!("{flag} {value}"),
                            &format!("`{key}: {value}` ({origin})"),
                        )
                        .renamed(flag, &format!("`{key}` ({origin})"))
                }
                _ => fault,
            };
        }
        fault.into()
    }
}
