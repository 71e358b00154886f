//! FFmpeg, ONNX Runtime, the configuration, and what is bundled or configured.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;
use ff::{codec, encoder, format};
use ffmpeg_next as ff;

use super::{Finding, State};
use crate::assets;
use crate::audio::AudioFile;
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, WINDOW_LEN};
use crate::background::Backgrounds;
use crate::config::file::ConfigFile;
use crate::error::{Fault, plain_io};
use crate::face::{CROP, OUTPUT_LEN};
use crate::image::Picture;
use crate::inference::Face;
use crate::inference::onnx::{Device, Hardware, Networks, Placement, Runtime, TuneOptions};
use crate::inference::{AudioEncoder as _, Generator as _};
use crate::plan::model::ModelFiles;
use crate::timeline::FrameRate;

/// FFmpeg's encoders: name, what it writes, and how bad it is if it is not there.
const ENCODERS: [(&str, &str, State); 6] = [
    ("libx264", "H.264 video", State::Missing),
    ("libx265", "H.265 video", State::Warning),
    ("libsvtav1", "AV1 video", State::Warning),
    ("prores_ks", "ProRes video", State::Warning),
    ("aac", "AAC sound", State::Missing),
    ("libopus", "Opus sound", State::Warning),
];
/// Encoders on a GPU, which are only listed.
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
const FULL_FFMPEG: &str = "apt-get install libavcodec-extra";

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
    findings
}

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

/// A file that cannot be used stops every render, so it is as bad as a missing library.
pub(super) fn config(explicit: Option<&Path>) -> (Option<ConfigFile>, Finding) {
    let name = "configuration";
    match ConfigFile::find(explicit) {
        Ok(None) => (None, Finding::ok(name, "none, defaults are used")),
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

/// The bundled sample; without a home folder, that there is none.
pub(super) fn bundled() -> Vec<Finding> {
    let sample = match assets::home() {
        Ok(home) => home.join("samples/hello.wav"),
        Err(error) => return vec![Finding::of(State::Warning, "bundled files", &error)],
    };
    let name = "bundled sample";
    vec![match AudioFile::open(&sample, None) {
        Ok(sound) => {
            let detail = format!("`{}`: {:.2} s", sample.display(), sound.seconds());
            Finding::ok(name, detail)
        }
        Err(error) => Finding::of(State::Warning, name, &error),
    }]
}

/// Loads every model, runs it once on zeros, and tells where the first one ran. One that fails stops nothing as long as
/// another one works.
pub(super) fn models(
    runtime: Option<&Runtime>,
    config: Option<&ConfigFile>,
) -> (Vec<Finding>, Option<Placement>) {
    let Some(runtime) = runtime else {
        let untried = Finding::new(State::Missing, "models", "cannot run without ONNX Runtime");
        return (vec![untried], None);
    };
    let tried: Vec<(String, Result<Placement>)> = candidates(config)
        .into_iter()
        .map(|(name, files)| (name, files.and_then(|files| run_once(runtime, &files))))
        .collect();
    let failure = if tried.iter().any(|(_, result)| result.is_ok()) {
        State::Warning
    } else {
        State::Missing
    };
    let mut findings: Vec<Finding> = tried
        .iter()
        .map(|(name, result)| match result {
            Ok(placement) => Finding::ok(name, format!("runs on {}", placement.device())),
            Err(error) => Finding::of(failure, name, error),
        })
        .collect();
    if findings.is_empty() {
        let none = Finding::new(State::Missing, "models", "none is bundled or configured");
        findings.push(none.remedy("set LIPSYNC_HOME, or name models in lipsync.yaml"));
    }
    let placement = tried.into_iter().find_map(|(_, result)| result.ok());
    (findings, placement)
}

/// The configured models, then the bundled ones, each under the name of its finding.
fn candidates(config: Option<&ConfigFile>) -> Vec<(String, Result<ModelFiles>)> {
    let configured = config.into_iter().flat_map(|config| &config.models);
    let configured = configured.map(|model| {
        let files = ModelFiles::configured(model);
        (format!("configured model {}", model.model_id.value), files)
    });
    let bundled = bundled_folders("models").into_iter().map(|(name, folder)| {
        let files = ModelFiles::find(&folder, assets::home, Vec::new);
        (format!("bundled model {name}"), files)
    });
    configured.chain(bundled).collect()
}

fn run_once(runtime: &Runtime, files: &ModelFiles) -> Result<Placement> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut networks = Networks::load(
        runtime,
        &files.audio_encoder,
        &files.generator,
        Hardware {
            device: Device::Auto,
            ..Hardware::cpu(cores)
        },
        TuneOptions::EXACT,
    )?;
    let mut embedding = vec![0.0; EMBEDDING_LEN];
    networks
        .encoder
        .encode(1, &vec![0.0; BLOCK_LEN], &mut embedding)?;
    let mut face = vec![0.0; OUTPUT_LEN];
    let crop = Picture::new(CROP, CROP);
    let black = Face { crop: &crop };
    for generator in networks.generators.iter_mut().take(1) {
        generator.generate(&[black], &vec![0.0; WINDOW_LEN], &mut face)?;
    }
    for (file, values) in [(&files.audio_encoder, embedding), (&files.generator, face)] {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(
                Fault::failed(format!("network `{}` gives no numbers", file.display()))
                    .because("its output for zeros holds infinities or NaN")
                    .hint("the file is damaged or its training failed; export or copy it again")
                    .into(),
            );
        }
    }
    Ok(networks.placement)
}

/// Opens every bundled background folder and every configured background.
pub(super) fn backgrounds(config: Option<&ConfigFile>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = bundled_folders("backgrounds")
        .into_iter()
        .map(|(name, folder)| open_background(format!("bundled background {name}"), &folder, None))
        .collect();
    for model in config.into_iter().flat_map(|config| &config.models) {
        if let Some(background) = &model.background {
            let rects = model.crop_rects.as_ref().map(|rects| rects.value.as_path());
            let name = format!("background of {}", model.model_id.value);
            findings.push(open_background(name, &background.value, rects));
        }
    }
    findings
}

fn open_background(name: String, path: &Path, crop_rects: Option<&Path>) -> Finding {
    if let Err(e) = fs::metadata(path) {
        let detail = format!("`{}`: {}", path.display(), plain_io(&e));
        return Finding::new(State::Warning, name, detail)
            .remedy("correct the path in the configuration");
    }
    match Backgrounds::open(path, crop_rects, FrameRate::TRAINED, true) {
        Ok(found) => {
            let detail = format!("{} frames of {}", found.count(), found.size());
            Finding::ok(name, detail)
        }
        Err(error) => Finding::of(State::Warning, name, &error),
    }
}

/// Names and paths of the folders in a folder of the home folder, sorted.
fn bundled_folders(kind: &str) -> Vec<(String, PathBuf)> {
    let home = assets::home().ok();
    let entries = home.and_then(|home| fs::read_dir(home.join(kind)).ok());
    let mut folders: Vec<(String, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .filter(|(_, path)| path.is_dir())
        .collect();
    folders.sort();
    folders
}
