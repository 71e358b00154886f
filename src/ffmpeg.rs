//! FFmpeg, made ready.

use anyhow::Result;
use ffmpeg_next as ff;

/// To be called before anything else of FFmpeg; calling it again does no harm.
///
/// FFmpeg's own messages stay off the terminal: what matters of them becomes an error.
pub(crate) fn init() -> Result<()> {
    ff::init()?;
    ff::log::set_level(ff::log::Level::Quiet);
    Ok(())
}
