//! The progress display: a bar, plain lines or JSON objects.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Ui;
use super::args::{Level, ProgressMode};

/// Time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two JSON objects.
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

/// A progress display, removed when dropped.
pub(in crate::cli) struct Progress<'a> {
    ui: &'a Ui,
    /// How many frames there are in all.
    frames: u64,
    started: Instant,
    display: Display,
}

enum Display {
    None,
    Bar(ProgressBar),
    /// `next`: time since the start at which the next line is due.
    Lines {
        next: Duration,
    },
    /// `next`: time since the start at which the next object is due.
    Events {
        next: Duration,
    },
}

/// How far one of several clips is.
struct ClipProgress<'a> {
    id: &'a str,
    done: u64,
    frames: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(ui: &'a Ui, frames: u64) -> Self {
        let display = match ui.progress {
            ProgressMode::Json => Display::Events {
                next: Duration::ZERO,
            },
            _ if !ui.shows(Level::Info) => Display::None,
            ProgressMode::Bar => Display::Bar(bar(ui, frames)),
            ProgressMode::Plain => Display::Lines {
                next: LINE_INTERVAL,
            },
            ProgressMode::Auto | ProgressMode::None => Display::None,
        };
        Self {
            ui,
            frames,
            started: Instant::now(),
            display,
        }
    }

    /// `done` frames are written.
    pub(in crate::cli) fn update(&mut self, done: u64) {
        self.advance(done, None);
    }

    /// `all_done` frames of all clips are written, among them `done` of the `frames` frames of clip `id`.
    pub(in crate::cli) fn update_clip(&mut self, all_done: u64, id: &str, done: u64, frames: u64) {
        self.advance(all_done, Some(&ClipProgress { id, done, frames }));
    }

    fn advance(&mut self, done: u64, clip: Option<&ClipProgress<'_>>) {
        let elapsed = self.started.elapsed();
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-6);
        let left = self.frames.saturating_sub(done) as f64 / rate.max(1e-6);
        match &mut self.display {
            Display::None => (),
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines { next } => {
                if elapsed >= *next && done < self.frames {
                    *next = elapsed + LINE_INTERVAL;
                    let percent = 100 * done / self.frames;
                    self.ui.line(&format!(
                        "{done}/{} frames ({percent} %)  {rate:.1} fps  {left:.0} s left",
                        self.frames
                    ));
                }
            }
            Display::Events { next } => {
                let (frame, frames) =
                    clip.map_or((done, self.frames), |clip| (clip.done, clip.frames));
                if elapsed >= *next || frame == frames {
                    *next = elapsed + EVENT_INTERVAL;
                    self.event(done, clip, rate, left);
                }
            }
        }
    }

    /// The event `progress`: `rate` in frames per second, `left` in seconds.
    fn event(&self, done: u64, clip: Option<&ClipProgress<'_>>, rate: f64, left: f64) {
        let round = |x: f64| (x * 100.0).round() / 100.0;
        let (frame, frames) = clip.map_or((done, self.frames), |clip| (clip.done, clip.frames));
        let mut event = json!({
            "frame": frame,
            "frames": frames,
            "fps": round(rate),
            "eta_s": round(left),
        });
        match clip {
            None => self.ui.event("progress", event),
            Some(clip) => {
                event["all_frame"] = done.into();
                event["all_frames"] = self.frames.into();
                self.ui.clip_event("progress", clip.id, event);
            }
        }
    }
}

/// A bar on the terminal; `ui` prints its lines around it.
fn bar(ui: &Ui, frames: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(frames), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {pos}/{len} frames  {per_sec}  {eta} left")
    {
        bar.set_style(style.with_key("per_sec", frames_per_second));
    }
    *ui.bar.borrow_mut() = Some(bar.clone());
    bar
}

fn frames_per_second(state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = write!(out, "{:.1} fps", state.per_sec());
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
            *self.ui.bar.borrow_mut() = None;
        }
    }
}
