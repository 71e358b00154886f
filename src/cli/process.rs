//! What is set up once for the whole process: signals, threads, log levels, and the environment of libraries.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use super::ui::{Level, Ui};
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::error::{Exit, Fault, no_thread};
use crate::ffmpeg;
use crate::plan::Request;

/// Sets what libraries read from the environment only. SVT-AV1 prints a banner to stderr unless its log level is "errors";
/// ONNX Runtime collects usage data for its maker, at first in files in the user's cache.
#[expect(unsafe_code, reason = "the libraries have no other switch for it")]
pub(super) fn silence_libraries() {
    // SAFETY: this runs first in `main`: no other thread exists that could read the environment at the same time.
    unsafe {
        std::env::set_var("SVT_LOG", "1");
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}

/// The first signal asks all stages to stop; the second ends the process at once, in the signal handler: other threads may be
/// anywhere, so nothing is cleaned up. A signal that the parent has set to be ignored, as `nohup` does, stays ignored.
pub(super) fn cancel_on_signals(cancel: &Cancel) -> std::io::Result<()> {
    // A file that exceeds the user's size limit then fails the write instead of killing the process.
    flag::register(SIGXFSZ, Arc::default())?;
    let was_asked = Arc::default();
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored & (1 << (signal - 1)) == 0 {
            // In this order: the first signal finds the flag unset.
            let exit = Exit::Interrupted as i32;
            flag::register_conditional_shutdown(signal, exit, Arc::clone(&was_asked))?;
            flag::register(signal, Arc::clone(&was_asked))?;
            flag::register(signal, cancel.flag())?;
        }
    }
    Ok(())
}

/// The signals that this process was started to ignore: bit 0 for signal 1. None if the system does not tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Finds the configuration, and applies the log level and the number of threads that it and `request` ask for.
pub(super) fn configure(
    config: Option<&Path>,
    request: &Request,
    ui: &Ui,
) -> Result<Option<ConfigFile>> {
    let config = ConfigFile::find(config)?;
    if let Some(level) = config.as_ref().and_then(|config| config.log_level.as_ref()) {
        ui.suggest_level(Level::named(level.value));
    }
    if ui.shows(Level::Trace) {
        ffmpeg::log_warnings()?;
    }
    limit_threads(request.threads.as_ref().map(|threads| threads.value))?;
    Ok(config)
}

/// Limits all work on pictures to this many threads; without a limit, it uses all cores. Call it before backgrounds are
/// checked, which is such work.
pub(super) fn limit_threads(threads: Option<NonZeroUsize>) -> Result<(), Fault> {
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.map_or(0, NonZeroUsize::get))
        .build_global();
    let reason = built.as_ref().err().and_then(std::error::Error::source);
    match reason.and_then(|reason| reason.downcast_ref()) {
        Some(io) => Err(no_thread(io)),
        // A pool that exists already does the work.
        None => Ok(()),
    }
}
