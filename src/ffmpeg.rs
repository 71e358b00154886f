//! FFmpeg's libraries, set up once.

use std::sync::OnceLock;

use anyhow::Result;
use ffmpeg_next as ff;

/// Makes FFmpeg ready, and keeps it from writing to stderr: what it has to say comes back as errors.
pub fn init() -> Result<()> {
    static DONE: OnceLock<Result<(), ff::Error>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        ff::init()?;
        ff::log::set_level(ff::log::Level::Quiet);
        Ok(())
    });
    Ok((*done)?)
}
