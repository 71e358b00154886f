//! FFmpeg's libraries, set up once.

#[cfg(ffmpeg_on_demand)]
mod on_demand;

use std::ffi::CStr;
use std::sync::OnceLock;

use anyhow::Result;
use ffmpeg_next as ff;

/// Loads FFmpeg, makes it ready, and keeps it from writing to stderr: what it has to say comes back as errors.
///
/// Whoever calls FFmpeg calls this first: where the libraries are not there, this is what says so.
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

/// Lets FFmpeg write what it warns of to stderr.
pub(crate) fn speak() -> Result<()> {
    init()?;
    ff::log::set_level(ff::log::Level::Warning);
    Ok(())
}

/// FFmpeg's version, such as `5.1.9-0+deb12u1`.
#[expect(
    unsafe_code,
    reason = "ffmpeg-next knows only the versions of the single libraries"
)]
pub(crate) fn version() -> Result<String> {
    init()?;
    // SAFETY: the function returns a string with its zero that lies in the library for good.
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
