//! All that people and scripts read while the program runs. Nothing else prints: data goes to stdout, the rest to stderr.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use clap::builder::styling::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::error::{Fault, Report};
use crate::output::{OutputKind, Target};

/// Time between two plain progress lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Columns for the names of failed clips.
const WIDEST_NAME: usize = 40;
/// Time between two progress objects.
const EVENT_EVERY: Duration = Duration::from_millis(500);

/// How much is said, and how.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct UiArgs {
    /// Say more: what was found and decided; twice: FFmpeg's own messages too
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// How progress is shown: auto, bar, plain, json (one object a line, docs/progress.schema.json) or none
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        global = true,
        value_name = "HOW",
        env = "LIPSYNC_PROGRESS",
        hide_env = true,
        default_value = "auto"
    )]
    progress: ProgressMode,
    /// Whether messages are coloured: auto, always or never
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        global = true,
        value_name = "WHEN",
        env = "LIPSYNC_COLOR",
        hide_env = true,
        default_value = "auto"
    )]
    color: ColorMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProgressMode {
    /// a bar on a terminal, lines elsewhere
    Auto,
    /// a bar
    Bar,
    /// a line every few seconds
    Plain,
    /// one JSON object a line, for scripts
    Json,
    /// nothing
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ColorMode {
    /// on a terminal, unless NO_COLOR is set
    Auto,
    /// always
    Always,
    /// never
    Never,
}

/// How much is said, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what everybody should know.
    Info,
    /// And what was found and decided.
    Debug,
    /// And what the libraries say.
    Trace,
}

impl Level {
    /// The level that a configuration calls `name`; [`Level::Info`] if none.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "debug" => Self::Debug,
            _ => Self::Info,
        }
    }
}

/// The terminal, or whatever stderr and stdout are.
pub(super) struct Ui {
    level: Cell<Level>,
    /// Whether the command line said how much to say.
    level_was_asked: bool,
    progress: ProgressMode,
    color: bool,
    /// The bar on the screen, around which lines are printed.
    bar: RefCell<Option<ProgressBar>>,
    warnings: RefCell<Vec<String>>,
}

impl Ui {
    pub(super) fn new(args: UiArgs) -> Self {
        let level = match (args.quiet, args.verbose) {
            (true, _) => Level::Error,
            (false, 0) => Level::Info,
            (false, 1) => Level::Debug,
            (false, _) => Level::Trace,
        };
        Self {
            level: Cell::new(level),
            level_was_asked: args.quiet || args.verbose > 0,
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

    /// How much is said, if the command line left that open.
    pub(super) fn suggest_level(&self, level: Level) {
        if !self.level_was_asked {
            self.level.set(level);
        }
    }

    /// Whether lines of this level are shown.
    pub(super) fn shows(&self, level: Level) -> bool {
        level <= self.level.get()
    }

    /// A result that was asked for, with its line ends: to stdout, whatever `--quiet` says.
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
            // Whoever reads has read enough, like `head`.
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

    /// Something that stops nothing but should be known.
    pub(super) fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(text.to_owned());
        if self.is_json() {
            self.event("warning", json!({ "message": text }));
        } else if self.shows(Level::Warn) {
            let word = self.painted("warning:", AnsiColor::Yellow);
            self.line(&format!("{word} {text}"));
        }
    }

    /// All warnings so far.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// A line that everybody gets.
    pub(super) fn say(&self, text: &str) {
        if self.shows(Level::Info) && !self.is_json() {
            self.line(text);
        }
    }

    /// A line for `--verbose`.
    pub(super) fn detail(&self, text: &str) {
        if self.shows(Level::Debug) && !self.is_json() {
            self.line(text);
        }
    }

    /// An object for `--progress json`; `fields` is a JSON object.
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

    /// An object for `--progress json` about the clip `id`.
    pub(super) fn clip_event(&self, name: &str, id: &str, fields: Value) {
        let mut of_clip = json!({ "id": id });
        if let (Value::Object(all), Value::Object(fields)) = (&mut of_clip, fields) {
            all.extend(fields);
        }
        self.event(name, of_clip);
    }

    /// Something that stops nothing but should be known, of the clip `id`.
    pub(super) fn warn_of(&self, id: &str, text: &str) {
        if self.is_json() {
            self.warnings.borrow_mut().push(text.to_owned());
            self.clip_event("warning", id, json!({ "message": text }));
        } else {
            self.warn(&format!("{id}: {text}"));
        }
    }

    /// What failed, why, and what to do.
    pub(super) fn error(&self, report: &Report) {
        if self.is_json() {
            self.event("failure", report.to_json());
            return;
        }
        let mut text = self.painted("error:", AnsiColor::Red);
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
            text += &self.painted("hint:", AnsiColor::Cyan);
            text += " ";
            text += hint;
        }
        self.line(&text);
    }

    /// Clips that failed, why, and what to do: a row each, whatever `--quiet` says. With `--progress json` they were told
    /// one by one.
    pub(super) fn failures(&self, failed: &[(&str, String, Option<String>)]) {
        if self.is_json() {
            return;
        }
        let width = failed.iter().map(|(id, ..)| id.chars().count()).max();
        let width = width.unwrap_or(0).min(WIDEST_NAME);
        for (id, why, hint) in failed {
            let word = self.painted("failed", AnsiColor::Red);
            self.line(&format!("{word}  {id:width$}  {why}"));
            if let Some(hint) = hint {
                self.line(&format!("{:6}  {:width$}  {hint}", "", ""));
            }
        }
    }

    /// Starts the display of `frames` frames.
    pub(super) fn progress(&self, frames: u64) -> Progress<'_> {
        let display = match self.progress {
            ProgressMode::Json => Display::Events {
                next: Duration::ZERO,
            },
            _ if !self.shows(Level::Info) => Display::None,
            ProgressMode::Bar => {
                let bar = ProgressBar::with_draw_target(Some(frames), ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template(
                    "{bar:32} {pos}/{len} frames  {per_sec}  {eta} left",
                ) {
                    bar.set_style(style.with_key("per_sec", per_second));
                }
                *self.bar.borrow_mut() = Some(bar.clone());
                Display::Bar(bar)
            }
            ProgressMode::Plain => Display::Lines { next: LINE_EVERY },
            ProgressMode::Auto | ProgressMode::None => Display::None,
        };
        Progress {
            ui: self,
            frames,
            started: Instant::now(),
            display,
        }
    }

    fn is_json(&self) -> bool {
        self.progress == ProgressMode::Json
    }

    fn painted(&self, word: &str, color: AnsiColor) -> String {
        if self.color {
            let style = Style::new().fg_color(Some(color.into())).bold();
            format!("{style}{word}{style:#}")
        } else {
            word.to_owned()
        }
    }

    fn line(&self, text: &str) {
        // A reader of stderr that has gone away is no reason to stop the work.
        let write = || {
            let _ = writeln!(stderr(), "{text}");
        };
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn per_second(state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = write!(out, "{:.1} fps", state.per_sec());
}

/// A progress display; it goes away when dropped.
pub(super) struct Progress<'a> {
    ui: &'a Ui,
    frames: u64,
    started: Instant,
    display: Display,
}

enum Display {
    None,
    Bar(ProgressBar),
    /// The time since the start at which the next line is due.
    Lines {
        next: Duration,
    },
    /// The time since the start at which the next object is due.
    Events {
        next: Duration,
    },
}

impl Progress<'_> {
    /// `done` frames are written.
    pub(super) fn update(&mut self, done: u64) {
        self.advance(done, None);
    }

    /// `done` frames of all clips are written, `frame` of the `frames` of the clip `id` among them.
    pub(super) fn update_clip(&mut self, done: u64, id: &str, frame: u64, frames: u64) {
        self.advance(done, Some((id, frame, frames)));
    }

    fn advance(&mut self, done: u64, clip: Option<(&str, u64, u64)>) {
        let elapsed = self.started.elapsed();
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-6);
        let left = self.frames.saturating_sub(done) as f64 / rate.max(1e-6);
        match &mut self.display {
            Display::None => (),
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines { next } => {
                if elapsed >= *next && done < self.frames {
                    *next = elapsed + LINE_EVERY;
                    let percent = 100 * done / self.frames;
                    self.ui.line(&format!(
                        "{done}/{} frames ({percent} %)  {rate:.1} fps  {left:.0} s left",
                        self.frames
                    ));
                }
            }
            Display::Events { next } => {
                let (frame, frames) =
                    clip.map_or((done, self.frames), |(_, frame, frames)| (frame, frames));
                if elapsed >= *next || frame == frames {
                    *next = elapsed + EVENT_EVERY;
                    let round = |x: f64| (x * 100.0).round() / 100.0;
                    let mut event = json!({
                        "frame": frame,
                        "frames": frames,
                        "fps": round(rate),
                        "eta_s": round(left),
                    });
                    match clip {
                        None => self.ui.event("progress", event),
                        Some((id, ..)) => {
                            event["all_frame"] = done.into();
                            event["all_frames"] = self.frames.into();
                            self.ui.clip_event("progress", id, event);
                        }
                    }
                }
            }
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
            *self.ui.bar.borrow_mut() = None;
        }
    }
}
