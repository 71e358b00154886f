//! Opens files by their path, whatever bytes it has. `ffmpeg-next` panics at paths that are not UTF-8; FFmpeg takes any.

#![expect(
    unsafe_code,
    reason = "ffmpeg-next converts paths to text; the functions below it take bytes"
)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use ff::Dictionary;
use ff::format::context::{Input, Output};
use ffmpeg_next as ff;

/// Opens the file at `path` to read it.
pub(crate) fn input(path: &Path, options: Dictionary<'_>) -> Result<Input, ff::Error> {
    let url = url(path)?;
    let mut context = ptr::null_mut();
    // SAFETY: `url` ends with NUL and outlives the calls. FFmpeg allocates the context and takes entries out of the
    // options, which go back into a dictionary that frees them. On success, `Input` owns the context; on failure, the first
    // call leaves none, and the second leaves one that is closed.
    unsafe {
        let mut entries = options.disown();
        let opened = ff::ffi::avformat_open_input(
            &raw mut context,
            url.as_ptr(),
            ptr::null_mut(),
            &raw mut entries,
        );
        drop(Dictionary::own(entries));
        result(opened)?;
        let found = ff::ffi::avformat_find_stream_info(context, ptr::null_mut());
        if found < 0 {
            ff::ffi::avformat_close_input(&raw mut context);
        }
        result(found)?;
        Ok(Input::wrap(context))
    }
}

/// Opens the file at `path` to write it in the container that FFmpeg calls `format`.
pub(crate) fn output(path: &Path, format: &str) -> Result<Output, ff::Error> {
    let url = url(path)?;
    let format = CString::new(format).map_err(|_| ff::Error::MuxerNotFound)?;
    let mut context = ptr::null_mut();
    // SAFETY: both texts end with NUL and outlive the calls. FFmpeg allocates the context. On success, `Output` owns it and
    // closes the file; on failure, the first call leaves none, and what the second leaves is freed.
    unsafe {
        result(ff::ffi::avformat_alloc_output_context2(
            &raw mut context,
            ptr::null(),
            format.as_ptr(),
            url.as_ptr(),
        ))?;
        let opened = ff::ffi::avio_open(
            &raw mut (*context).pb,
            url.as_ptr(),
            ff::ffi::AVIO_FLAG_WRITE,
        );
        if opened < 0 {
            ff::ffi::avformat_free_context(context);
        }
        result(opened)?;
        Ok(Output::wrap(context))
    }
}

/// The path with its protocol: a colon in the name then does not start one.
fn url(path: &Path) -> Result<CString, ff::Error> {
    let url = [b"file:", path.as_os_str().as_bytes()].concat();
    CString::new(url).map_err(|_| ff::Error::Other {
        errno: ff::util::error::EINVAL,
    })
}

fn result(code: i32) -> Result<(), ff::Error> {
    if code < 0 {
        return Err(ff::Error::from(code));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;

    use super::*;

    /// Also under Valgrind: nothing leaks when opening fails.
    #[test]
    fn any_path_is_opened() {
        crate::ffmpeg::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(OsStr::from_bytes(b"a:\xff %d.mov"));
        assert!(input(&path, Dictionary::new()).is_err());
        drop(output(&path, "mov").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert!(output(&path, "no such format").is_err());
        assert!(output(&path.join("below a file"), "mov").is_err());
        fs::write(&path, b"not a clip").unwrap();
        assert!(input(&path, Dictionary::new()).is_err());
        let wav = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/hello.wav");
        fs::copy(wav, &path).unwrap();
        assert_eq!(
            input(&path, Dictionary::new()).unwrap().streams().count(),
            1
        );
        assert!(input(Path::new("a\0b"), Dictionary::new()).is_err());
    }
}
