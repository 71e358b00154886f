//! What `prepare` found and wrote.

use serde::Serialize;

use super::frames::Scan;
use super::problems::{self, Problem};
use crate::timeline::FrameRate;

/// What was found in the footage, and what of it is used.
#[derive(Debug, Serialize)]
pub(crate) struct Prepared {
    /// Version of this description: 1. Fields may be added.
    pub schema_version: u32,
    /// The footage.
    pub source: String,
    /// Frames per second.
    pub fps: FrameRate,
    /// Width of a frame.
    pub width: u32,
    /// Height of a frame.
    pub height: u32,
    /// How many frames were looked at.
    pub scanned_frames: usize,
    /// How many of them can be used.
    pub usable_frames: usize,
    /// How many frames are written.
    pub frames: usize,
    /// When the first written frame is shown in the footage, in seconds.
    pub from_s: f64,
    /// When the last written frame ends.
    pub to_s: f64,
    /// Why frames were left out, and what else the user should know.
    pub problems: Vec<Problem>,
    /// Whether the footage is a single picture, to which times mean nothing.
    #[serde(skip)]
    pub(super) is_photo: bool,
    #[serde(skip)]
    pub(super) scan: Scan,
}

impl Prepared {
    /// The problems in words, with their times.
    pub(crate) fn findings(&self) -> Vec<String> {
        problems::in_words(&self.problems, self.is_photo)
    }
}
