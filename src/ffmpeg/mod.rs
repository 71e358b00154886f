//! FFmpeg's libraries, loaded and set up once.
//!
//! [`init`] comes before any other call of FFmpeg: it fails if the libraries are missing.
//! `on_demand` loads them at that moment instead of at program start, where the system allows it. `open` opens files.
//! `filter` runs frames through filters of libavfilter, which is loaded on its own when it is needed and may be missing.

pub(crate) mod filter;
#[cfg(ffmpeg_on_demand)]
mod on_demand;
pub(crate) mod open;

use std::ffi::CStr;
use std::sync::OnceLock;

use anyhow::Result;
use ffmpeg_next as ff;

/// Loads and initialises FFmpeg, and silences its log on stderr: failures are returned as errors.
///
/// Call it before any other function of FFmpeg; its error says which libraries are missing.
pub(crate) fn init() -> Result<()> {
    static DONE: OnceLock<Result<(), ff::Error>> = OnceLock::new();
    #[cfg(ffmpeg_on_demand)]
    on_demand::load()?;
    let done = DONE.get_or_init(|| {
        ff::init()?;
        ff::log::set_level(ff::log::Level::Quiet);
        Ok(())
    });
    Ok((*done)?)
}

/// Lets FFmpeg write its warnings to stderr.
pub(crate) fn log_warnings() -> Result<()> {
    init()?;
    ff::log::set_level(ff::log::Level::Warning);
    Ok(())
}

/// FFmpeg's version, such as `5.1.9-0+deb12u1`.
#[expect(
    unsafe_code,
    reason = "ffmpeg-next has the versions of the libraries, not that of FFmpeg"
)]
pub(crate) fn version() -> Result<String> {
    init()?;
    // SAFETY: the function returns a NUL-terminated string constant of the library, which is never unloaded.
    let text = unsafe { CStr::from_ptr(ff::ffi::av_version_info()) };
    Ok(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_a_version() {
        let version = super::version().unwrap();
        let number = version.split(['.', '-']).next().unwrap();
        assert!(
            number.trim_start_matches(['n', 'N']).parse::<u32>().is_ok(),
            "{version}"
        );
    }
}
