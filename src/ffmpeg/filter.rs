//! Filters of libavfilter: frames in, frames out.
//!
//! Few videos need one, and on Debian the library pulls in 100 others, so the program is not linked to it. It is loaded when
//! the first filter is looked up, and a machine without it can do everything else. All types of libavfilter are opaque
//! here, and the functions used are the same in FFmpeg 4 to 8.

#![expect(
    unsafe_code,
    reason = "functions of a library that is loaded at run time can only be called as unsafe"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use ff::ffi::AVFrame;
use ff::frame;
use ffmpeg_next as ff;
use libloading::os::unix::{Library as Loaded, RTLD_LAZY, RTLD_LOCAL};

/// `avcodec`'s major version minus `avfilter`'s: both count up with each release since FFmpeg 4 (58 and 7).
const AVCODEC_AHEAD: u32 = 51;
/// AV_BUFFERSRC_FLAG_KEEP_REF: the caller's frame stays as it is.
const KEEP_REF: c_int = 8;

/// The functions that are used, looked up once.
struct Functions {
    get_by_name: unsafe extern "C" fn(*const c_char) -> *const c_void,
    graph_alloc: unsafe extern "C" fn() -> *mut c_void,
    graph_free: unsafe extern "C" fn(*mut *mut c_void),
    graph_parse: unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        *mut *mut c_void,
        *mut *mut c_void,
        *mut c_void,
    ) -> c_int,
    graph_get_filter: unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void,
    graph_config: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    add_frame: unsafe extern "C" fn(*mut c_void, *mut AVFrame, c_int) -> c_int,
    get_frame: unsafe extern "C" fn(*mut c_void, *mut AVFrame) -> c_int,
    /// Keeps the functions loaded.
    _library: Loaded,
}

/// libavfilter; None if it is not installed.
fn functions() -> Option<&'static Functions> {
    static LOADED: OnceLock<Option<Functions>> = OnceLock::new();
    LOADED.get_or_init(load).as_ref()
}

fn load() -> Option<Functions> {
    super::init().ok()?;
    // SAFETY: the function takes nothing and returns a number. Loading runs the library's initialisers, as if it were
    // linked. Each name is that of a function with the type of its field, in the headers of FFmpeg 4 to 8.
    unsafe {
        let avcodec = ff::ffi::avcodec_version() >> 16;
        let major = avcodec.checked_sub(AVCODEC_AHEAD)?;
        let name = if cfg!(target_os = "macos") {
            format!("libavfilter.{major}.dylib")
        } else {
            format!("libavfilter.so.{major}")
        };
        let library = Loaded::open(Some(&name), RTLD_LAZY | RTLD_LOCAL).ok()?;
        let version = library.get::<unsafe extern "C" fn() -> c_uint>(b"avfilter_version\0");
        if version.ok()?() >> 16 != major {
            return None;
        }
        Some(Functions {
            get_by_name: *library.get(b"avfilter_get_by_name\0").ok()?,
            graph_alloc: *library.get(b"avfilter_graph_alloc\0").ok()?,
            graph_free: *library.get(b"avfilter_graph_free\0").ok()?,
            graph_parse: *library.get(b"avfilter_graph_parse_ptr\0").ok()?,
            graph_get_filter: *library.get(b"avfilter_graph_get_filter\0").ok()?,
            graph_config: *library.get(b"avfilter_graph_config\0").ok()?,
            add_frame: *library.get(b"av_buffersrc_add_frame_flags\0").ok()?,
            get_frame: *library.get(b"av_buffersink_get_frame\0").ok()?,
            _library: library,
        })
    }
}

/// Whether this FFmpeg has all of the filters.
pub(crate) fn has_filters(names: &[&CStr]) -> bool {
    functions().is_some_and(|functions| {
        names.iter().all(|name| {
            // SAFETY: the name ends with NUL; the function only searches a static table.
            let filter = unsafe { (functions.get_by_name)(name.as_ptr()) };
            !filter.is_null()
        })
    })
}

/// A chain of filters for frames of one size and pixel format.
pub(crate) struct FilterChain {
    functions: &'static Functions,
    graph: NonNull<c_void>,
    source: NonNull<c_void>,
    sink: NonNull<c_void>,
}

// SAFETY: a graph is used by one thread at a time (`&mut self`), and is not bound to the thread that made it.
unsafe impl Send for FilterChain {}

impl FilterChain {
    /// `filters` in the notation of ffmpeg's `-vf`, for frames like `frame`.
    pub(crate) fn new(filters: &str, frame: &frame::Video) -> Result<Self> {
        let functions = functions().ok_or_else(|| anyhow!("libavfilter is not installed"))?;
        let format = frame.format().descriptor().map_or("none", |d| d.name());
        let description = CString::new(format!(
            "buffer@in=video_size={}x{}:pix_fmt={format}:time_base=1/1:pixel_aspect=1/1,{filters},buffersink@out",
            frame.width(),
            frame.height()
        ))?;
        // SAFETY: the graph is new, and is freed once: by `drop`, or here if the source or the sink is not found.
        unsafe {
            let graph = NonNull::new((functions.graph_alloc)()).ok_or(out_of_memory())?;
            let none = ptr::null_mut();
            let text = description.as_ptr();
            let mut status = (functions.graph_parse)(
                graph.as_ptr(),
                text,
                ptr::null_mut(),
                ptr::null_mut(),
                none,
            );
            if status >= 0 {
                status = (functions.graph_config)(graph.as_ptr(), none);
            }
            let find = |name: &CStr| {
                NonNull::new((functions.graph_get_filter)(graph.as_ptr(), name.as_ptr()))
            };
            match (find(c"buffer@in"), find(c"buffersink@out")) {
                (Some(source), Some(sink)) if status >= 0 => Ok(Self {
                    functions,
                    graph,
                    source,
                    sink,
                }),
                _ => {
                    (functions.graph_free)(&mut graph.as_ptr());
                    Err(ff::Error::from(status.min(-1)).into())
                }
            }
        }
    }

    /// Passes a frame on to the filters, with the time `time`.
    pub(crate) fn push(&mut self, frame: &frame::Video, time: i64) -> Result<(), ff::Error> {
        let mut frame = reference(frame)?;
        frame.set_pts(Some(time));
        // SAFETY: source and frame are live; the filter makes its own reference to the pixels.
        let status = unsafe {
            (self.functions.add_frame)(self.source.as_ptr(), frame.as_mut_ptr(), KEEP_REF)
        };
        succeeded(status)
    }

    /// Takes the next finished frame; None if the filters need more input first.
    pub(crate) fn pull(&mut self) -> Result<Option<frame::Video>, ff::Error> {
        let mut frame = frame::Video::empty();
        // SAFETY: the sink is live, and the frame is empty.
        let status = unsafe { (self.functions.get_frame)(self.sink.as_ptr(), frame.as_mut_ptr()) };
        match succeeded(status) {
            Err(ff::Error::Other { errno }) if errno == ff::error::EAGAIN => Ok(None),
            other => other.map(|()| Some(frame)),
        }
    }
}

impl Drop for FilterChain {
    fn drop(&mut self) {
        // SAFETY: the graph is live, and nothing uses it or its filters afterwards.
        unsafe { (self.functions.graph_free)(&mut self.graph.as_ptr()) };
    }
}

/// Another frame with the same pixels, which are not copied.
fn reference(frame: &frame::Video) -> Result<frame::Video, ff::Error> {
    let mut other = frame::Video::empty();
    // SAFETY: both frames are live, and `other` is empty.
    succeeded(unsafe { ff::ffi::av_frame_ref(other.as_mut_ptr(), frame.as_ptr()) })?;
    Ok(other)
}

fn succeeded(status: c_int) -> Result<(), ff::Error> {
    if status < 0 {
        return Err(ff::Error::from(status));
    }
    Ok(())
}

fn out_of_memory() -> ff::Error {
    ff::Error::Other {
        errno: libc::ENOMEM,
    }
}

#[cfg(test)]
mod tests {
    use ff::format::Pixel;

    use super::*;

    fn grey(level: u8) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::GRAY8, 16, 8);
        frame.data_mut(0).fill(level);
        frame
    }

    #[test]
    fn frames_pass_through_a_chain() {
        super::super::init().unwrap();
        assert!(has_filters(&[c"negate", c"hflip"]));
        assert!(!has_filters(&[c"negate", c"no_such_filter"]));
        let mut chain = FilterChain::new("negate,hflip", &grey(0)).unwrap();
        assert!(chain.pull().unwrap().is_none());
        for level in [0, 100, 255] {
            chain.push(&grey(level), i64::from(level)).unwrap();
            let out = chain.pull().unwrap().unwrap();
            assert_eq!((out.data(0)[0], out.width()), (255 - level, 16));
        }
    }

    #[test]
    fn a_wrong_chain_is_an_error() {
        super::super::init().unwrap();
        assert!(FilterChain::new("no_such_filter", &grey(0)).is_err());
        assert!(FilterChain::new("negate,,", &grey(0)).is_err());
    }
}
