//! What the pipeline renders, and how its frames are grouped into batches.

use std::ops::Range;

use crate::audio::AudioFile;
use crate::audio::voice_activity::RestSchedule;
use crate::background::Backgrounds;
use crate::background::order::Order;
use crate::face::Paste;
use crate::image::pool::{Pool, Pooled};
use crate::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// Frames at rest that a batch may hold besides those that go through the generator.
const MAX_RESTING: usize = 8;

/// Which frames of a clip are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSelection {
    /// All frames of a range.
    Range(Range<u64>),
    /// Single frames, in ascending order.
    Picked(Vec<u64>),
}

impl FrameSelection {
    /// How many frames are selected.
    pub fn count(&self) -> u64 {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::Picked(frames) => frames.len() as u64,
        }
    }

    /// The `n`-th selected frame, counted from 0.
    pub fn get(&self, n: u64) -> Option<FrameIndex> {
        match self {
            Self::Range(range) => Some(range.start + n).filter(|frame| range.contains(frame)),
            Self::Picked(frames) => frames.get(n as usize).copied(),
        }
        .map(FrameIndex)
    }
}

/// A clip to render: the input of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Clip<'a> {
    /// The speech.
    pub sound: &'a AudioFile,
    /// Where the mouth is at rest; if none, every frame goes through the networks.
    pub rest: Option<&'a RestSchedule>,
    /// The presenter's background frames.
    pub backgrounds: &'a Backgrounds,
    /// Memory for the cache of decoded backgrounds, bytes.
    pub cache_bytes: usize,
    /// The order of the background frames.
    pub order: Order,
    /// The first background frame.
    pub start: BackgroundIndex,
    /// How the new mouth is pasted into the frame.
    pub paste: Paste,
    /// Frames per second of the clip.
    pub fps: FrameRate,
    /// Frames to render.
    pub frames: &'a FrameSelection,
    /// Frames per run of the generator.
    pub batch: usize,
}

/// A frame of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScheduledFrame {
    pub(super) frame: FrameIndex,
    /// How much of the generated mouth it shows, 0..=1; 0 is the background's own mouth.
    pub(super) weight: f32,
}

impl ScheduledFrame {
    pub(super) fn needs_generator(&self) -> bool {
        self.weight > 0.0
    }
}

impl<'a> Clip<'a> {
    /// The frames in batches: up to `batch` that go through the generator, and some at rest between them.
    pub(super) fn batches(self) -> impl Iterator<Item = Pooled<Vec<ScheduledFrame>>> + use<'a> {
        let pool = Pool::<Vec<ScheduledFrame>>::default();
        let mut frames = (0..self.frames.count())
            .filter_map(move |n| self.frames.get(n))
            .map(move |frame| ScheduledFrame {
                frame,
                weight: self
                    .rest
                    .map_or(1.0, |rest| rest.weight(self.fps.seconds(frame))),
            })
            .peekable();
        std::iter::from_fn(move || {
            let mut batch = pool.take();
            batch.clear();
            let mut generated = 0;
            while generated < self.batch && batch.len() < self.batch + MAX_RESTING {
                let Some(frame) = frames.next() else { break };
                generated += usize::from(frame.needs_generator());
                batch.push(frame);
            }
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// The background of a frame.
    pub fn background(&self, frame: FrameIndex) -> BackgroundIndex {
        self.order
            .background(frame, self.backgrounds.count(), self.start)
    }
}
