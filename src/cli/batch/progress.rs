//! The progress of several clips at once.

use std::collections::HashMap;

use crate::cli::ui::Progress;

/// Adds up the frames of all clips.
pub(super) struct BatchProgress<'a> {
    display: Progress<'a>,
    /// Job -> how many frames it has.
    frames: &'a HashMap<usize, u64>,
    /// Job -> how many of its frames are written.
    done: HashMap<usize, u64>,
    /// Frames of all jobs that are written.
    all_done: u64,
}

impl<'a> BatchProgress<'a> {
    /// `frames`: job -> how many frames it has.
    pub(super) fn new(display: Progress<'a>, frames: &'a HashMap<usize, u64>) -> Self {
        Self {
            display,
            frames,
            done: HashMap::new(),
            all_done: 0,
        }
    }

    /// `done` frames of `job`, whose id is `id`, are written.
    pub(super) fn update(&mut self, job: usize, id: &str, done: u64) {
        self.count(job, done);
        self.display
            .update_clip(self.all_done, id, done, self.frames[&job]);
    }

    /// `job` failed: its remaining frames count as done.
    pub(super) fn skip(&mut self, job: usize) {
        self.count(job, self.frames[&job]);
    }

    fn count(&mut self, job: usize, done: u64) {
        let before = self.done.insert(job, done).unwrap_or(0);
        self.all_done += done.saturating_sub(before);
    }
}
