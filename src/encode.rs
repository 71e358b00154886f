//! Where finished frames go.

pub mod clip;
pub mod codec;
pub mod container;
pub mod mark;
pub mod png;
mod sound;
mod track;
mod video;

use anyhow::Result;

use crate::frame::Picture;

/// Takes the clip's frames in order. Dropped before [`FrameSink::finish`], it leaves nothing behind.
pub trait FrameSink {
    /// The next frame.
    fn write(&mut self, frame: &Picture) -> Result<()>;

    /// After the last frame: completes, checks and publishes the output.
    fn finish(self: Box<Self>) -> Result<()>;
}
