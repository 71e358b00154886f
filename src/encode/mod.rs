//! Where finished frames go.

pub mod clip;
pub mod codec;
pub mod composed;
pub mod container;
#[cfg(feature = "credentials")]
pub mod credentials;
pub mod join;
pub mod mark;
mod package;
pub mod part_tag;
pub mod png;
pub mod segment;
mod sound;
mod track;
mod video;

use anyhow::Result;

use crate::background::Forms;
use crate::encode::composed::Composed;
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
