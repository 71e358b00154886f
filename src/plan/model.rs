//! The files of a model, found by name or path.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::assets;
use crate::config::file::ConfiguredModel;
use crate::config::model_yaml::ModelYaml;
use crate::config::yaml::Located;
use crate::error::Fault;

/// The family (contract of the networks) that this version renders.
const FAMILY: &str = "synctalk-328";
/// The bundled model, used if none is named.
pub(crate) const DEFAULT_MODEL: &str = "ada";

/// The files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// Its name in messages.
    pub id: String,
    /// The generator network.
    pub generator: PathBuf,
    /// The audio encoder network.
    pub audio_encoder: PathBuf,
    /// The name of its bundled background folder, if it has one.
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

    /// Finds a model by the path of its folder or of its generator, or by the name of a bundled model in `home`.
    /// `others` are further valid names, for the error message.
    pub fn find(
        name: &Path,
        home: impl FnOnce() -> Result<PathBuf>,
        others: impl FnOnce() -> Vec<String>,
    ) -> Result<Self> {
        let with_generator = |generator: PathBuf| {
            let audio_encoder = generator.with_file_name("audio_encoder.onnx");
            Self::from_files(generator, audio_encoder)
        };
        if name.is_file() {
            return with_generator(name.to_owned());
        }
        if name.is_dir() {
            return with_generator(name.join("generator.onnx"));
        }
        let is_id = name.components().count() == 1 && name.extension().is_none();
        if is_id {
            let models = home()?.join("models");
            let folder = models.join(name);
            if folder.is_dir() {
                return with_generator(folder.join("generator.onnx"));
            }
            let mut names = others();
            names.extend(bundled_names(&models));
            return Err(Fault::failed(format!("there is no model `{}`", name.display()))
                .because(format!("available models: {}", names.join(", ")))
                .hint("choose one of these, or give the path of a folder with generator.onnx and audio_encoder.onnx")
                .into());
        }
        Err(Fault::failed(format!("model `{}` does not exist", name.display()))
            .hint("give a folder with generator.onnx and audio_encoder.onnx, or the .onnx file of the generator")
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
                .hint("a model is a folder with generator.onnx and audio_encoder.onnx")
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

/// The name of the folder that contains `file`.
fn folder_name(file: &Path) -> String {
    let path = std::fs::canonicalize(file).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

/// The names of the bundled models.
fn bundled_names(models: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(models).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.path().is_dir() && e.file_name() != assets::FACE_NETWORKS);
    let mut names: Vec<String> = folders
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
