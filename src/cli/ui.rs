//! All that people read while the program runs. Nothing else prints; messages go to stderr, results to stdout.
#![expect(clippy::print_stderr, reason = "this is the one file that prints")]

use std::cell::RefCell;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Fault, Report, plain_io};

/// Time between two plain progress lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The terminal, or whatever stderr is.
pub(super) struct Ui {
    quiet: bool,
    verbose: bool,
    /// The bar on the screen, around which lines are printed.
    bar: RefCell<Option<ProgressBar>>,
}

impl Ui {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        Self {
            quiet,
            verbose,
            bar: RefCell::new(None),
        }
    }

    /// Something that stops nothing but should be known.
    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            self.line(&format!("warning: {text}"));
        }
    }

    /// A line that everybody gets.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A line for `--verbose`.
    pub(super) fn detail(&self, text: &str) {
        if self.verbose {
            self.line(text);
        }
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
            Err(e) => Err(Fault::failed("cannot write to stdout").because(plain_io(&e))),
            Ok(()) => Ok(()),
        }
    }

    /// What failed, why, and what to do.
    pub(super) fn error(&self, report: &Report) {
        let mut text = format!("error: {}", report.message);
        for (i, cause) in report.causes.iter().enumerate() {
            text += if i == 0 {
                "\n  Caused by: "
            } else {
                "\n             "
            };
            text += cause;
        }
        if let Some(hint) = &report.hint {
            text += "\n\nhint: ";
            text += hint;
        }
        self.line(&text);
    }

    /// Starts the display of `frames` frames: a bar on a terminal, lines elsewhere.
    pub(super) fn progress(&self, frames: u64) -> Progress<'_> {
        let display = if self.quiet {
            Display::None
        } else if stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(frames), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("{bar:32} {pos}/{len} frames  {per_sec}  {eta} left")
            {
                bar.set_style(style.with_key("per_sec", per_second));
            }
            *self.bar.borrow_mut() = Some(bar.clone());
            Display::Bar(bar)
        } else {
            Display::Lines { next: LINE_EVERY }
        };
        Progress {
            ui: self,
            frames,
            started: Instant::now(),
            display,
        }
    }

    fn line(&self, text: &str) {
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
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
}

impl Progress<'_> {
    /// `done` frames are written.
    pub(super) fn update(&mut self, done: u64) {
        match &mut self.display {
            Display::None => (),
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines { next } => {
                let elapsed = self.started.elapsed();
                if elapsed >= *next && done < self.frames {
                    *next = elapsed + LINE_EVERY;
                    let rate = done as f64 / elapsed.as_secs_f64();
                    let left = (self.frames - done) as f64 / rate;
                    let percent = 100 * done / self.frames;
                    self.ui.line(&format!(
                        "{done}/{} frames ({percent} %)  {rate:.1} fps  {left:.0} s left",
                        self.frames
                    ));
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
