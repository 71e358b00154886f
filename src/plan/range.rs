//! Which frames of the clip are rendered: all, or those of one part.

use std::ops::Range;

use crate::audio::AudioFile;
use crate::encode::segment::Part;
use crate::error::Fault;
use crate::timeline::{FrameIndex, FrameRate};

/// The frames to render, of a clip that may be longer.
#[derive(Debug, Clone)]
pub struct FrameRange {
    /// Which part of the clip this is; none for the whole clip.
    pub part: Option<Part>,
    /// The frames.
    pub frames: Range<u64>,
    /// The samples of each channel that belong to these frames. Each sample belongs to exactly one part.
    pub samples: Range<u64>,
}

impl FrameRange {
    pub(super) fn new(
        part: Option<Part>,
        fps: FrameRate,
        audio: &AudioFile,
    ) -> Result<Self, Fault> {
        let clip_frames = fps.frames_covering(audio.frames, audio.rate);
        let frames = match part {
            Some(part) => part.frames(clip_frames)?,
            None => 0..clip_frames,
        };
        let before = |frame| fps.samples_before(FrameIndex(frame), audio.rate);
        let end = before(frames.end).min(audio.frames);
        let samples = before(frames.start)..end;
        Ok(Self {
            part,
            frames,
            samples,
        })
    }

    /// The number of frames.
    pub fn count(&self) -> u64 {
        self.frames.end - self.frames.start
    }
}
