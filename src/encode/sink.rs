//! What every output for frames can do.

use anyhow::Result;

use super::composed::ComposedFrame;
use crate::background::FrameFormats;
use crate::output::StagedOutput;

/// Takes the frames of a clip in order. Dropped before [`FrameSink::complete`], it leaves nothing behind.
pub trait FrameSink {
    /// The formats in which it takes backgrounds.
    fn forms(&self) -> FrameFormats;

    /// Writes the next frame, whose background has these formats.
    fn write(&mut self, frame: &ComposedFrame) -> Result<()>;

    /// After the last frame: completes and checks the output, and leaves it to the caller to commit; none if it went to stdout.
    fn complete(self: Box<Self>) -> Result<Option<StagedOutput>>;

    /// After the last frame: completes, checks and commits the output.
    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?.map_or(Ok(()), StagedOutput::commit)
    }
}
