//! What a user asks for: on the command line, in the environment, in `lipsync.yaml`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;

use super::file::{ConfigFile, Located};
use super::setting::{Origin, Setting};
use super::{BatchSize, Silence};
#[cfg(feature = "credentials")]
use crate::credentials::SignerFiles;
use crate::encode::codec::Codec;
use crate::face::Paste;
use crate::frame::FrameRate;
use crate::infer::onnx::Device;
use crate::infer::precision::Precision;
use crate::order::Order;
use crate::part::Part;

/// What was asked for; what is None was left open.
#[derive(Debug, Default)]
pub struct Request {
    /// The sound; the bundled sample if none.
    pub audio: Option<PathBuf>,
    /// The clip to write.
    pub output: Option<PathBuf>,
    /// The folder of PNGs to write instead.
    pub frames: Option<PathBuf>,
    /// The picture of twelve moments to write, beside the clip or alone.
    pub contact_sheet: Option<PathBuf>,
    /// A model's name or path.
    pub model: Option<Setting<PathBuf>>,
    /// A background folder or video.
    pub background: Option<Setting<PathBuf>>,
    /// A file or folder of rectangles.
    pub crop_rects: Option<Setting<PathBuf>>,
    /// Order of the backgrounds.
    pub order: Option<Setting<Order>>,
    /// Number of the first background.
    pub start_frame: Option<Setting<usize>>,
    /// Frames a second.
    pub fps: Option<Setting<FrameRate>>,
    /// Way of pasting.
    pub paste: Option<Setting<Paste>>,
    /// What the mouth does in silence.
    pub silence: Option<Setting<Silence>>,
    /// Seconds to render.
    pub limit: Option<f64>,
    /// The part of the clip to render; all of it if none.
    pub part: Option<Part>,
    /// Where to run the networks.
    pub device: Option<Setting<Device>>,
    /// How exactly to compute.
    pub precision: Option<Setting<Precision>>,
    /// Frames at a time.
    pub batch: Option<Setting<BatchSize>>,
    /// CPU threads; all cores if none.
    pub threads: Option<Setting<NonZeroUsize>>,
    /// Number of the GPU where the device leaves it open.
    pub gpu: Option<Setting<i32>>,
    /// Memory for each network on a GPU, GB (10^9 bytes).
    pub gpu_gb: Option<Setting<f64>>,
    /// Memory to stay within, GB (10^9 bytes).
    pub memory_limit: Option<Setting<f64>>,
    /// Whether the bytes must be the same on every run.
    pub deterministic: Option<Setting<bool>>,
    /// The video codec; the container's usual one if none.
    pub codec: Option<Setting<Codec>>,
    /// Constant rate factor.
    pub crf: Option<Setting<u32>>,
    /// The encoder's preset.
    pub preset: Option<Setting<String>>,
    /// Kilobits a second for the sound.
    pub audio_kilobits: Option<Setting<u32>>,
    /// Whether to leave out the mark that the clip is AI-generated.
    pub no_mark: Option<Setting<bool>>,
    /// What to sign the clip with.
    #[cfg(feature = "credentials")]
    pub signer: Option<Setting<SignerFiles>>,
    /// Whether to replace what exists.
    pub force: bool,
}

impl Request {
    /// Takes from the configuration file what nobody else asked for.
    pub(super) fn filled_from(mut self, config: Option<&ConfigFile>) -> Self {
        let Some(config) = config else {
            return self;
        };
        let (gpu, output) = (&config.gpu, &config.output);
        let id = config.models.first().map(|model| &model.model_id);
        fill(&mut self.model, config.settings(id, |id| Some(id.into())));
        fill(
            &mut self.gpu,
            config.settings(gpu.device_id.as_ref(), |id| Some(id.into())),
        );
        fill(
            &mut self.gpu_gb,
            config.settings(gpu.memory_limit_gb.as_ref(), Some),
        );
        fill(&mut self.fps, config.settings(output.fps.as_ref(), Some));
        fill(
            &mut self.paste,
            config.settings(output.paste.as_ref(), named),
        );
        fill(
            &mut self.silence,
            config.settings(output.silence.as_ref(), named),
        );
        fill(
            &mut self.codec,
            config.settings(output.codec.as_ref(), |name| name.parse().ok()),
        );
        fill(
            &mut self.crf,
            config.settings(output.crf.as_ref(), |crf| Some(crf.into())),
        );
        fill(
            &mut self.preset,
            config.settings(output.preset.as_ref(), Some),
        );
        let kilobits = config.settings(output.audio_bitrate.as_ref(), Some);
        fill(&mut self.audio_kilobits, kilobits);
        let no_mark = config.settings(output.mark.as_ref(), |mark| Some(!mark));
        fill(&mut self.no_mark, no_mark);
        self
    }
}

fn fill<T>(asked: &mut Option<Setting<T>>, file: Option<Setting<T>>) {
    if asked.is_none() {
        *asked = file;
    }
}

/// The value that a word of the file names; the file's reader has checked it.
fn named<T: ValueEnum>(word: &str) -> Option<T> {
    T::from_str(word, false).ok()
}

impl ConfigFile {
    /// A value of this file as a decision.
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
