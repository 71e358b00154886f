//! Everything that lipsync prints. Data goes to stdout, messages and progress to stderr; nothing else prints.
//!
//! - `args.rs`: the options for it, and the log levels
//! - `progress.rs`: the progress display

mod args;
mod progress;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::ProgressBar;
use serde_json::{Value, json};

pub(super) use args::{Level, UiArgs};
pub(super) use progress::Progress;

use crate::error::{ErrorReport, Fault};
use crate::output::{OutputKind, Target};
use args::{ColorMode, ProgressMode};

/// Columns for the ids of failed clips; longer ids push their row to the right.
const MAX_ID_WIDTH: usize = 40;

/// stdout and stderr: a terminal, a file or a pipe.
pub(super) struct Ui {
    level: Cell<Level>,
    /// Whether `-v` or `-q` set the level.
    level_is_fixed: bool,
    progress: ProgressMode,
    color: bool,
    /// The bar on the terminal; it is hidden while a line is printed.
    bar: RefCell<Option<ProgressBar>>,
    warnings: RefCell<Vec<String>>,
}

impl Ui {
    pub(super) fn new(args: UiArgs) -> Self {
        let level = args.level();
        Self {
            level: Cell::new(level.unwrap_or(Level::Info)),
            level_is_fixed: level.is_some(),
            progress: match args.progress {
                ProgressMode::Auto if stderr().is_terminal() => ProgressMode::Bar,
                ProgressMode::Auto => ProgressMode::Plain,
                other => other,
            },
            color: match args.color {
                ColorMode::Auto => stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
                ColorMode::Always => true,
                ColorMode::Never => false,
            },
            bar: RefCell::new(None),
            warnings: RefCell::default(),
        }
    }

    /// Sets the level, unless `-v` or `-q` did.
    pub(super) fn suggest_level(&self, level: Level) {
        if !self.level_is_fixed {
            self.level.set(level);
        }
    }

    /// Whether messages of this level are printed.
    pub(super) fn shows(&self, level: Level) -> bool {
        level <= self.level.get()
    }

    /// Prints a result to stdout, also with `--quiet`. `text` ends with a line break.
    pub(super) fn data(&self, text: &str) -> Result<(), Fault> {
        let write = || {
            let mut out = stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        let written = match &*self.bar.borrow() {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        match written {
            // The reader, such as `head`, has read enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(e) => {
                let stdout = Target {
                    path: "-".into(),
                    kind: OutputKind::Stdout,
                    force: false,
                };
                Err(stdout.cannot_write(&e))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Prints a warning: something the user should know that does not stop the run.
    pub(super) fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(text.to_owned());
        if self.is_json() {
            self.event("warning", json!({ "message": text }));
        } else if self.shows(Level::Warn) {
            let word = self.colored("warning:", AnsiColor::Yellow);
            self.line(&format!("{word} {text}"));
        }
    }

    /// All warnings so far, for reports.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// Prints a line at the normal level.
    pub(super) fn say(&self, text: &str) {
        if self.shows(Level::Info) && !self.is_json() {
            self.line(text);
        }
    }

    /// Prints a line with `--verbose`.
    pub(super) fn detail(&self, text: &str) {
        if self.shows(Level::Debug) && !self.is_json() {
            self.line(text);
        }
    }

    /// Prints an event with `--progress json`; `fields` is a JSON object.
    pub(super) fn event(&self, name: &str, fields: Value) {
        if !self.is_json() {
            return;
        }
        let mut object = serde_json::Map::new();
        object.insert("event".into(), name.into());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        self.line(&Value::Object(object).to_string());
    }

    /// Prints an event about clip `id` with `--progress json`.
    pub(super) fn clip_event(&self, name: &str, id: &str, fields: Value) {
        let mut of_clip = json!({ "id": id });
        if let (Value::Object(all), Value::Object(fields)) = (&mut of_clip, fields) {
            all.extend(fields);
        }
        self.event(name, of_clip);
    }

    /// Prints a warning about clip `id`.
    pub(super) fn clip_warning(&self, id: &str, text: &str) {
        if self.is_json() {
            self.warnings.borrow_mut().push(text.to_owned());
            self.clip_event("warning", id, json!({ "message": text }));
        } else {
            self.warn(&format!("{id}: {text}"));
        }
    }

    /// Prints what failed, why, and what to do.
    pub(super) fn error(&self, report: &ErrorReport) {
        if self.is_json() {
            self.event("failure", report.to_json());
            return;
        }
        let mut text = self.colored("error:", AnsiColor::Red);
        text += " ";
        text += &report.message;
        for (i, cause) in report.causes.iter().enumerate() {
            text += if i == 0 {
                "\n  Caused by: "
            } else {
                "\n             "
            };
            text += &cause.replace('\n', "\n             ");
        }
        if let Some(hint) = &report.hint {
            text += "\n\n";
            text += &self.colored("hint:", AnsiColor::Cyan);
            text += " ";
            text += hint;
        }
        self.line(&text);
    }

    /// Lists the clips that failed: for each, its id, why it failed, and a hint. Also with `--quiet`; with `--progress json`,
    /// each failure was an event already.
    pub(super) fn failures(&self, failed: &[(&str, String, Option<String>)]) {
        if self.is_json() {
            return;
        }
        let width = failed.iter().map(|(id, ..)| id.chars().count()).max();
        let width = width.unwrap_or(0).min(MAX_ID_WIDTH);
        for (id, why, hint) in failed {
            let word = self.colored("failed", AnsiColor::Red);
            self.line(&format!("{word}  {id:width$}  {why}"));
            if let Some(hint) = hint {
                self.line(&format!("{:6}  {:width$}  {hint}", "", ""));
            }
        }
    }

    /// Starts the display of a progress of `frames` frames.
    pub(super) fn progress(&self, frames: u64) -> Progress<'_> {
        Progress::new(self, frames)
    }

    fn is_json(&self) -> bool {
        self.progress == ProgressMode::Json
    }

    fn colored(&self, word: &str, color: AnsiColor) -> String {
        if self.color {
            let style = Style::new().fg_color(Some(color.into())).bold();
            format!("{style}{word}{style:#}")
        } else {
            word.to_owned()
        }
    }

    fn line(&self, text: &str) {
        // Work goes on if nobody reads stderr any more.
        let write = || {
            let _ = writeln!(stderr(), "{text}");
        };
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
