//! Which files make up a model.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use crate::config::file::ConfiguredModel;
use crate::error::{Fault, plain_io};

/// The family whose contract this renderer speaks.
const FAMILY: &str = "synctalk-328";
/// The bundled model that is used when none is named.
pub(crate) const DEFAULT_MODEL: &str = "ada";

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
    /// A model of the configuration file.
    pub fn configured(model: &ConfiguredModel) -> Result<Self> {
        let found = Self::from_files(
            model.generator.value.clone(),
            model.audio_encoder.value.clone(),
        )?;
        Ok(Self {
            id: model.model_id.value.clone(),
            ..found
        })
    }

    /// Finds a model by the path of its folder, by its generator's file, or by the name of a bundled one in `home`.
    /// `others` are names that would have been right, for the message.
    pub fn find(
        name: &Path,
        home: impl FnOnce() -> Result<PathBuf>,
        others: impl FnOnce() -> Vec<String>,
    ) -> Result<Self> {
        let beside = |generator: PathBuf| {
            let audio_encoder = generator.with_file_name("audio_encoder.onnx");
            Self::from_files(generator, audio_encoder)
        };
        if name.is_file() {
            return beside(name.to_owned());
        }
        if name.is_dir() {
            return beside(name.join("generator.onnx"));
        }
        let is_id = name.components().count() == 1 && name.extension().is_none();
        if is_id {
            let models = home()?.join("models");
            let folder = models.join(name);
            if folder.is_dir() {
                return beside(folder.join("generator.onnx"));
            }
            let mut known = others();
            known.extend(bundled(&models));
            return Err(Fault::failed(format!("there is no model `{}`", name.display()))
                .because(format!("there are: {}", known.join(", ")))
                .hint("name one of these, or the path of a folder with generator.onnx and audio_encoder.onnx")
                .into());
        }
        Err(Fault::failed(format!("model `{}` does not exist", name.display()))
            .hint("give a folder with generator.onnx and audio_encoder.onnx, or the generator's .onnx file")
            .into())
    }

    /// The `model.yaml` beside the generator, whether there is one or not.
    pub fn sidecar(&self) -> PathBuf {
        self.generator.with_file_name("model.yaml")
    }

    fn from_files(generator: PathBuf, audio_encoder: PathBuf) -> Result<Self> {
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
        let mut model = Self {
            id: folder_name(&generator),
            generator,
            audio_encoder,
            background: None,
        };
        let sidecar = read_sidecar(&model.sidecar())?;
        model.background = sidecar.background;
        if let Some(id) = sidecar.model_id {
            model.id = id;
        }
        Ok(model)
    }
}

/// The name of the folder that a file lies in.
fn folder_name(file: &Path) -> String {
    let path = std::fs::canonicalize(file).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
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

/// The names of the bundled models.
fn bundled(models: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(models).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
