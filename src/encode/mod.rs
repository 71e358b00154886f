//! Where finished frames go.

mod audio;
pub(crate) mod clip;
pub(crate) mod codec;
pub(crate) mod composed;
pub(crate) mod container;
#[cfg(feature = "credentials")]
pub(crate) mod credentials;
pub(crate) mod join;
pub(crate) mod mark;
mod package;
pub(crate) mod part_tag;
pub(crate) mod png;
pub(crate) mod segment;
mod track;
mod video;

pub use clip::{ClipFile, ClipFormat, ClipSpec};
pub use codec::{Codec, VideoEncoder};
pub use composed::ComposedFrame;
pub use container::Container;
pub use mark::Mark;
pub use png::PngFolder;

use anyhow::Result;

use crate::background::FrameFormats;
use crate::output::StagedOutput;

/// Takes the clip's frames in order. Dropped before [`FrameSink::finish`], it leaves nothing behind.
pub trait FrameSink {
    /// What its frames are put together from.
    fn forms(&self) -> FrameFormats;

    /// The next frame, whose background has these forms.
    fn write(&mut self, frame: &ComposedFrame) -> Result<()>;

    /// After the last frame: completes and checks the output, which is then to be put in its place; none if it has no place.
    fn complete(self: Box<Self>) -> Result<Option<StagedOutput>>;

    /// After the last frame: completes, checks and publishes the output.
    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?.map_or(Ok(()), StagedOutput::commit)
    }
}
