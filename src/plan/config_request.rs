//! `lipsync.yaml` as a request.

use clap::ValueEnum;

use super::request::Request;
use super::setting::{Origin, Setting};
use crate::config::file::ConfigFile;
use crate::config::yaml::Located;

impl Request {
    /// Fills open settings from the configuration file.
    pub(crate) fn filled_from(self, config: Option<&ConfigFile>) -> Self {
        match config {
            Some(config) => self.or(&config.request()),
            None => self,
        }
    }
}

/// The choice that a word of the file names; the reader of the file has checked it.
fn named<T: ValueEnum>(word: &str) -> Option<T> {
    T::from_str(word, false).ok()
}

impl ConfigFile {
    /// What the file asks for.
    fn request(&self) -> Request {
        let (gpu, output) = (&self.gpu, &self.output);
        let id = self.models.first().map(|model| &model.model_id);
        Request {
            model: self.settings(id, |id| Some(id.into())),
            gpu: self.settings(gpu.device_id.as_ref(), |id| Some(id.into())),
            gpu_gb: self.settings(gpu.memory_limit_gb.as_ref(), Some),
            fps: self.settings(output.fps.as_ref(), Some),
            paste: self.settings(output.paste.as_ref(), named),
            silence: self.settings(output.silence.as_ref(), named),
            codec: self.settings(output.codec.as_ref(), |name| name.parse().ok()),
            crf: self.settings(output.crf.as_ref(), Some),
            preset: self.settings(output.preset.as_ref(), Some),
            audio_kilobits: self.settings(output.audio_bitrate.as_ref(), Some),
            no_mark: self.settings(output.mark.as_ref(), |mark| Some(!mark)),
            ..Request::default()
        }
    }

    /// A value of this file as a setting.
    pub(super) fn setting<T: Clone>(&self, located: &Located<T>) -> Setting<T> {
        Setting {
            value: located.value.clone(),
            origin: Origin::File(self.path.clone(), located.line),
        }
    }

    fn settings<T: Clone, U>(
        &self,
        located: Option<&Located<T>>,
        to: impl FnOnce(T) -> Option<U>,
    ) -> Option<Setting<U>> {
        let Setting { value, origin } = self.setting(located?);
        let value = to(value)?;
        Some(Setting { value, origin })
    }
}
