//! Which files make up a model.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use crate::error::{Fault, plain_io};

/// The family whose contract this renderer speaks.
const FAMILY: &str = "synctalk-328";
/// The bundled model that is used when none is named.
pub const DEFAULT_MODEL: &str = "ada";

/// A model's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// Its name in messages.
    pub id: String,
    /// The generator network.
    pub generator: PathBuf,
    /// The audio encoder network.
    pub audio_encoder: PathBuf,
    /// The bundled background folder that goes with it.
    pub background: Option<String>,
}

/// What is read of a `model.yaml`; the rest of it is for people.
#[derive(Debug, Default, Deserialize)]
struct Sidecar {
    model_id: Option<String>,
    family: Option<String>,
    background: Option<String>,
}

impl ModelFiles {
    /// Finds a model by the path of its folder, by its generator's file, or by the name of a bundled one in `home`.
    pub fn find(name: &Path, home: impl FnOnce() -> Result<PathBuf>) -> Result<Self> {
        if name.is_file() {
            let folder = name.parent().unwrap_or(Path::new(""));
            return Self::from_files(folder, name.to_owned());
        }
        if name.is_dir() {
            return Self::from_files(name, name.join("generator.onnx"));
        }
        let is_id = name.components().count() == 1 && name.extension().is_none();
        if is_id {
            let models = home()?.join("models");
            let folder = models.join(name);
            if folder.is_dir() {
                return Self::from_files(&folder, folder.join("generator.onnx"));
            }
            return Err(Fault::failed(format!("there is no model `{}`", name.display()))
                .because(format!("bundled are: {}", bundled(&models)))
                .hint("name one of these, or the path of a folder with generator.onnx and audio_encoder.onnx")
                .into());
        }
        Err(Fault::failed(format!("model `{}` does not exist", name.display()))
            .hint("give a folder with generator.onnx and audio_encoder.onnx, or the generator's .onnx file")
            .into())
    }

    fn from_files(folder: &Path, generator: PathBuf) -> Result<Self> {
        let audio_encoder = folder.join("audio_encoder.onnx");
        for file in [&generator, &audio_encoder] {
            if !file.is_file() {
                return Err(Fault::failed(format!(
                    "model file `{}` does not exist",
                    file.display()
                ))
                .hint("a model is generator.onnx and audio_encoder.onnx in one folder")
                .into());
            }
        }
        let sidecar = read_sidecar(&folder.join("model.yaml"))?;
        let name = || {
            let folder = std::fs::canonicalize(folder).unwrap_or_default();
            folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Ok(Self {
            id: sidecar.model_id.unwrap_or_else(name),
            generator,
            audio_encoder,
            background: sidecar.background,
        })
    }
}

fn read_sidecar(path: &Path) -> Result<Sidecar> {
    if !path.exists() {
        return Ok(Sidecar::default());
    }
    let fault = || Fault::failed(format!("cannot read `{}`", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| fault().because(plain_io(&e)))?;
    let sidecar: Sidecar = serde_yaml::from_str(&text).map_err(|e| fault().because(e))?;
    match &sidecar.family {
        Some(family) if family != FAMILY => Err(fault()
            .because(format!(
                "its family is `{family}`; this version renders `{FAMILY}`"
            ))
            .into()),
        _ => Ok(sidecar),
    }
}

fn bundled(models: &Path) -> String {
    let entries = std::fs::read_dir(models).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
