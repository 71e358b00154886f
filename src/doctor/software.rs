//! FFmpeg and its encoders, ONNX Runtime, and the configuration.

use std::ffi::CStr;
use std::path::Path;

use anyhow::Result;
use ff::{codec, encoder, format};
use ffmpeg_next as ff;

use super::{Finding, State};
use crate::assets;
use crate::config::file::ConfigFile;
use crate::ffmpeg::filter::has_filters;
use crate::inference::onnx::Runtime;

/// FFmpeg's encoders: name, what they write, and how severe it is if one is missing.
const ENCODERS: [(&str, &str, State); 6] = [
    ("libx264", "H.264 video", State::Missing),
    ("libx265", "H.265 video", State::Warning),
    ("libsvtav1", "AV1 video", State::Warning),
    ("prores_ks", "ProRes video", State::Warning),
    ("aac", "AAC audio", State::Missing),
    ("libopus", "Opus audio", State::Warning),
];
/// Encoders on a GPU. They are listed, but not tried.
const HARDWARE_ENCODERS: [&str; 8] = [
    "h264_nvenc",
    "hevc_nvenc",
    "av1_nvenc",
    "h264_vaapi",
    "hevc_vaapi",
    "av1_vaapi",
    "h264_qsv",
    "hevc_qsv",
];
/// Installs all encoders.
const FULL_FFMPEG: &str = "apt-get install libavcodec-extra";

/// Filters that background videos may need.
const FILTERS: [&CStr; 4] = [c"bwdif", c"scale", c"zscale", c"tonemap"];
/// Installs the filters.
const FILTER_LIBRARY: &str = "apt-get install libavfilter8";

/// FFmpeg's version, and whether each encoder is there.
pub(super) fn ffmpeg() -> Vec<Finding> {
    let ffmpeg = match crate::ffmpeg::version() {
        Ok(ffmpeg) => ffmpeg,
        Err(error) => return vec![Finding::of(State::Missing, "FFmpeg", &error)],
    };
    let version = |number: u32| format!("{}.{}", number >> 16, number >> 8 & 0xff);
    let libraries = format!(
        "{ffmpeg} (libavcodec {}, libavformat {}, libavutil {})",
        version(codec::version()),
        version(format::version()),
        version(ff::util::version())
    );
    let mut findings = vec![Finding::ok("FFmpeg", libraries)];
    findings.extend(ENCODERS.map(|(name, writes, if_not)| {
        let title = format!("encoder {name}");
        if encoder::find_by_name(name).is_some() {
            return Finding::ok(title, writes);
        }
        let detail = format!("{writes} cannot be written");
        Finding::new(if_not, title, detail).remedy(FULL_FFMPEG)
    }));
    let hardware: Vec<&str> = HARDWARE_ENCODERS
        .into_iter()
        .filter(|name| encoder::find_by_name(name).is_some())
        .collect();
    let built_in = match &hardware[..] {
        [] => "none built in".into(),
        names => format!("built in: {}", names.join(", ")),
    };
    findings.push(Finding::ok("hardware encoders", built_in));
    findings.push(filters());
    findings
}

/// The filters for background videos that are interlaced, HDR, or have pixels that are not square.
fn filters() -> Finding {
    let name = "video filters";
    let missing: Vec<&str> = FILTERS
        .into_iter()
        .filter(|filter| !has_filters(&[*filter]))
        .filter_map(|filter| filter.to_str().ok())
        .collect();
    if missing.is_empty() {
        return Finding::ok(name, "interlaced and HDR videos can be converted");
    }
    let detail = format!(
        "interlaced or HDR videos cannot be converted: {} missing",
        missing.join(", ")
    );
    Finding::new(State::Warning, name, detail).remedy(FILTER_LIBRARY)
}

/// ONNX Runtime, loaded if it can be.
pub(super) fn runtime() -> (Option<Runtime>, Finding) {
    let name = "ONNX Runtime";
    let load = || -> Result<(Runtime, String)> {
        let path = assets::runtime_library()?;
        let runtime = Runtime::load(&path)?;
        let detail = format!(
            "{} with {}: `{}`",
            Runtime::version(&path),
            runtime.providers().join(", "),
            path.display()
        );
        Ok((runtime, detail))
    };
    match load() {
        Ok((runtime, detail)) => (Some(runtime), Finding::ok(name, detail)),
        Err(error) => (None, Finding::of(State::Missing, name, &error)),
    }
}

/// The configuration. An invalid one stops every render, so it is as severe as a missing library.
pub(super) fn config(explicit: Option<&Path>) -> (Option<ConfigFile>, Finding) {
    let name = "configuration";
    match ConfigFile::find(explicit) {
        Ok(None) => (None, Finding::ok(name, "none, using defaults")),
        Ok(Some(file)) => {
            let ids: Vec<&str> = file.models.iter().map(|m| &*m.model_id.value).collect();
            let ids = if ids.is_empty() {
                "none".into()
            } else {
                ids.join(", ")
            };
            let detail = format!("`{}`, models: {ids}", file.path.display());
            (Some(file), Finding::ok(name, detail))
        }
        Err(error) => (None, Finding::of(State::Missing, name, &error)),
    }
}
