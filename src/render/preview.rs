//! Frames for the contact sheet: a few frames of the clip, collected on their way to the output.

use anyhow::Result;

use crate::background::FrameFormats;
use crate::draw::SheetFrame;
use crate::encode::FrameSink;
use crate::encode::composed::ComposedFrame;
use crate::image::Picture;
use crate::output::StagedOutput;
use crate::render::pipeline::Clip;

/// Frames on a contact sheet.
const SHEET_FRAMES: u64 = 12;

/// The frames of a clip of `frames` frames that the contact sheet shows: twelve at even distances, or all if there are fewer.
pub(crate) fn sheet_frames(frames: u64) -> Vec<u64> {
    let count = frames.min(SHEET_FRAMES);
    // The middle of each twelfth: neither the first frame nor the last says much.
    (0..count)
        .map(|i| (2 * i + 1) * frames / (2 * count))
        .collect()
}

/// A sink that keeps some frames, and passes all of them on to the output, if there is one.
pub(crate) struct Preview<'a> {
    clip: Clip<'a>,
    sink: Option<Box<dyn FrameSink>>,
    wanted: Vec<u64>,
    /// How many frames were written.
    written: u64,
    collected: Vec<SheetFrame>,
}

impl<'a> Preview<'a> {
    /// Collects the frames `wanted` (in ascending order) of `clip`, and passes all frames on to `sink`.
    pub(crate) fn new(clip: Clip<'a>, wanted: Vec<u64>, sink: Option<Box<dyn FrameSink>>) -> Self {
        Self {
            clip,
            sink,
            wanted,
            written: 0,
            collected: Vec::new(),
        }
    }

    /// The frames collected so far.
    pub(crate) fn take(&mut self) -> Vec<SheetFrame> {
        std::mem::take(&mut self.collected)
    }
}

impl FrameSink for Preview<'_> {
    fn forms(&self) -> FrameFormats {
        let sink = self
            .sink
            .as_ref()
            .map_or(FrameFormats::default(), |s| s.forms());
        if self.wanted.is_empty() {
            sink
        } else {
            sink.and(FrameFormats::RGB)
        }
    }

    fn write(&mut self, frame: &ComposedFrame) -> Result<()> {
        let index = self.clip.frames.get(self.written);
        self.written += 1;
        if let Some(index) = index.filter(|index| self.wanted.binary_search(&index.0).is_ok()) {
            let mut whole = Picture::default();
            frame.draw(&mut whole)?;
            self.collected.push(SheetFrame {
                frame: whole,
                rect: self.clip.backgrounds.rect(self.clip.background(index)),
                index,
                seconds: self.clip.fps.seconds(index),
            });
        }
        match &mut self.sink {
            Some(sink) => sink.write(frame),
            None => Ok(()),
        }
    }

    fn complete(self: Box<Self>) -> Result<Option<StagedOutput>> {
        self.sink.map_or(Ok(None), FrameSink::complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_over_the_clip() {
        assert_eq!(sheet_frames(3), [0, 1, 2]);
        assert_eq!(
            sheet_frames(24),
            [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
        );
        let hour = sheet_frames(90_000);
        assert_eq!((hour.len(), hour[0], hour[11]), (12, 3750, 86_250));
    }
}
