//! Which files make up a model.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::file::ConfiguredModel;
use crate::config::model_yaml::ModelYaml;
use crate::config::yaml::Located;
use crate::error::Fault;

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

    /// The path of the `model.yaml` next to the generator; it need not exist.
    pub fn description(&self) -> PathBuf {
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
        let path = model.description();
        let described = ModelYaml::read(&path)?;
        if let Some(Located { value, line }) = described.family
            && value != FAMILY
        {
            return Err(Fault::failed(format!(
                "cannot use model description `{}`, line {line}",
                path.display()
            ))
            .because(format!(
                "its family is `{value}`; this version renders `{FAMILY}`"
            ))
            .into());
        }
        model.background = described.background;
        if let Some(id) = described.model_id {
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
