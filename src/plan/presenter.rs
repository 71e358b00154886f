//! The presenter: the files of the model, and its background.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::model::{DEFAULT_MODEL, ModelFiles};
use super::request::Request;
use super::setting::{Decisions, Origin, Setting};
use crate::assets;
use crate::background::Backgrounds;
use crate::config::file::{ConfigFile, ConfiguredModel};
use crate::error::Fault;
use crate::timeline::BackgroundIndex;

/// A model, and the background that its mouth is pasted into.
pub(super) struct Presenter {
    pub(super) model: ModelFiles,
    /// Path of the background folder or video.
    pub(super) background: PathBuf,
    /// The file or folder of crop rectangles, if one was named.
    pub(super) crop_rects: Option<PathBuf>,
    pub(super) backgrounds: Arc<Backgrounds>,
    /// The first background.
    pub(super) start: BackgroundIndex,
}

impl Presenter {
    /// Finds the model, then its background, and checks both; `open` opens a background with its crop rectangles.
    pub(super) fn decide(
        request: &mut Request,
        config: Option<&ConfigFile>,
        open: impl FnOnce(&Path, Option<&Path>) -> Result<Arc<Backgrounds>>,
        decisions: &mut Decisions,
    ) -> Result<Self> {
        let name = request.model.take();
        let name = name.unwrap_or_else(|| Setting::default(DEFAULT_MODEL.into()));
        let configured = config.and_then(|config| configured_model(config, &name.value));
        let model = match configured {
            Some(model) => ModelFiles::configured(model)?,
            None => ModelFiles::find(&name.value, assets::home, || configured_names(config))?,
        };
        decisions.note("model", name, |_| model.id.clone());
        let background = background(request.background.take(), configured, config, &model)?;
        let background = decisions.note("background", background, |p| p.display().to_string());
        let crop_rects = request.crop_rects.take().or_else(|| {
            let (config, path) = config.zip(configured?.crop_rects.as_ref())?;
            Some(config.setting(path))
        });
        let crop_rects =
            crop_rects.map(|path| decisions.note("crop-rects", path, |p| p.display().to_string()));
        let backgrounds = open(&background, crop_rects.as_deref())?;
        let start = decisions.choose("start-frame", request.start_frame.take(), 0);
        if start >= backgrounds.count() {
            return Err(Fault::usage(format!(
                "--start-frame {start} is past the end: the backgrounds of `{}` are 0 to {}",
                background.display(),
                backgrounds.count() - 1
            ))
            .into());
        }
        Ok(Self {
            model,
            background,
            crop_rects,
            backgrounds,
            start: BackgroundIndex(start),
        })
    }
}

fn configured_model<'a>(config: &'a ConfigFile, name: &Path) -> Option<&'a ConfiguredModel> {
    let mut models = config.models.iter();
    models.find(|model| Path::new(&model.model_id.value) == name)
}

fn configured_names(config: Option<&ConfigFile>) -> Vec<String> {
    let models = config.map_or(&[][..], |config| &config.models);
    models.iter().map(|m| m.model_id.value.clone()).collect()
}

/// The background: asked for, configured with the model, or named by its description.
fn background(
    asked: Option<Setting<PathBuf>>,
    configured: Option<&ConfiguredModel>,
    config: Option<&ConfigFile>,
    model: &ModelFiles,
) -> Result<Setting<PathBuf>> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    if let Some((config, path)) = config.zip(configured.and_then(|m| m.background.as_ref())) {
        return Ok(config.setting(path));
    }
    match &model.background {
        Some(name) => Ok(Setting {
            value: assets::home()?.join("backgrounds").join(name),
            origin: Origin::Model(model.description()),
        }),
        None => Err(
            Fault::usage(format!("model `{}` has no background of its own", model.id))
                .hint("choose a folder of frames or a video with --background")
                .into(),
        ),
    }
}
