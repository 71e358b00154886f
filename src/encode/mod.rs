//! Where finished frames go.

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
mod sound;
mod track;
mod video;

pub use clip::{ClipFile, ClipFormat, ClipSpec};
pub use codec::{Codec, VideoEncoder};
pub use composed::Composed;
pub use container::Container;
pub use mark::Mark;
pub use png::PngFolder;

use anyhow::Result;

use crate::background::Forms;
use crate::output::Part;

/// Takes the clip's frames in order. Dropped before [`FrameSink::finish`], it leaves nothing behind.
pub trait FrameSink {
    /// What its frames are put together from.
    fn forms(&self) -> Forms;

    /// The next frame, whose background has these forms.
    fn write(&mut self, frame: &Composed) -> Result<()>;

    /// After the last frame: completes and checks the output, which is then to be put in its place; none if it has no place.
    fn complete(self: Box<Self>) -> Result<Option<Part>>;

    /// After the last frame: completes, checks and publishes the output.
    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?.map_or(Ok(()), Part::commit)
    }
}
