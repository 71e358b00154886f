//! Models, backgrounds and the sample: what is bundled, and what the configuration names.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Result;

use super::{Finding, State};
use crate::assets;
use crate::audio::AudioFile;
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, WINDOW_LEN};
use crate::background::Backgrounds;
use crate::config::file::ConfigFile;
use crate::error::{Fault, plain_io};
use crate::face::{CROP, OUTPUT_LEN};
use crate::image::Picture;
use crate::inference::onnx::{Device, Hardware, Networks, Placement, Runtime, TuneOptions};
use crate::inference::{AudioEncoder as _, Generator as _};
use crate::inference::{Face, OnnxFaceNetworks};
use crate::plan::model::ModelFiles;
use crate::timeline::FrameRate;

/// The bundled sample, or a warning that there are no bundled files.
pub(super) fn sample() -> Vec<Finding> {
    let sample = match assets::home() {
        Ok(home) => home.join("samples/hello.wav"),
        Err(error) => return vec![Finding::of(State::Warning, "bundled files", &error)],
    };
    let name = "bundled sample";
    vec![match AudioFile::open(&sample, None) {
        Ok(audio) => {
            let detail = format!("`{}`: {:.2} s", sample.display(), audio.seconds());
            Finding::ok(name, detail)
        }
        Err(error) => Finding::of(State::Warning, name, &error),
    }]
}

/// Loads every model and runs it once on zeros; also returns where the first one ran. A model that fails is a warning as long
/// as another one works.
pub(super) fn models(
    runtime: Option<&Runtime>,
    config: Option<&ConfigFile>,
) -> (Vec<Finding>, Option<Placement>) {
    let Some(runtime) = runtime else {
        let not_tried = Finding::new(
            State::Missing,
            "models",
            "not tried: they need ONNX Runtime",
        );
        return (vec![not_tried], None);
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
        let none = Finding::new(
            State::Missing,
            "models",
            "no model is bundled or configured",
        );
        findings.push(none.remedy("set LIPSYNC_HOME, or name models in lipsync.yaml"));
    }
    let placement = tried.into_iter().find_map(|(_, result)| result.ok());
    (findings, placement)
}

/// Loads the networks with which `prepare` finds faces.
pub(super) fn face_networks(runtime: Option<&Runtime>) -> Vec<Finding> {
    let (Some(runtime), Ok(home)) = (runtime, assets::home()) else {
        // Reported already.
        return Vec::new();
    };
    let name = "face networks";
    let folder = home.join("models").join(assets::FACE_NETWORKS);
    vec![match OnnxFaceNetworks::load(runtime, &folder) {
        Ok(_) => Finding::ok(name, "run on CPU"),
        Err(error) => Finding::of(State::Warning, name, &error),
    }]
}

/// The configured models, then the bundled ones, with the names of their findings.
fn candidates(config: Option<&ConfigFile>) -> Vec<(String, Result<ModelFiles>)> {
    let configured = config.into_iter().flat_map(|config| &config.models);
    let configured = configured.map(|model| {
        let files = ModelFiles::configured(model);
        (format!("configured model {}", model.model_id.value), files)
    });
    let models = bundled_folders("models").into_iter();
    let models = models.filter(|(name, _)| name != assets::FACE_NETWORKS);
    let bundled = models.map(|(name, folder)| {
        let files = ModelFiles::find(&folder, assets::home, Vec::new);
        (format!("bundled model {name}"), files)
    });
    configured.chain(bundled).collect()
}

/// Runs both networks once, and checks that they return finite numbers.
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
            return Err(Fault::failed(format!(
                "network `{}` returns invalid numbers",
                file.display()
            ))
            .because("its output for an all-zero input contains infinities or NaN")
            .hint("the file is damaged or its training failed; export or copy it again")
            .into());
        }
    }
    Ok(networks.placement)
}

/// Opens every bundled and every configured background.
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
        Ok(frames) => {
            let detail = format!("{} frames of {}", frames.count(), frames.size());
            Finding::ok(name, detail)
        }
        Err(error) => Finding::of(State::Warning, name, &error),
    }
}

/// Names and paths of the folders in `kind` of the home folder, sorted.
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
