//! What a user asks for: on the command line, in the environment, in `lipsync.yaml`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;

use super::setting::{Origin, Setting};
use super::{BatchSize, Silence};
use crate::background::order::Order;
use crate::config::file::ConfigFile;
use crate::config::yaml::Located;
use crate::encode::codec::Codec;
#[cfg(feature = "credentials")]
use crate::encode::credentials::SignerFiles;
use crate::encode::segment::Part;
use crate::face::Paste;
use crate::inference::onnx::Device;
use crate::inference::precision::Precision;
use crate::timeline::FrameRate;

/// What was asked for; what is None was left open.
#[derive(Debug, Clone, Default)]
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
    /// Whether the folders of outputs are made before work starts, so that they need not exist yet.
    pub makes_folders: bool,
}

impl Request {
    /// Takes from the configuration file what nobody else asked for.
    pub(crate) fn filled_from(self, config: Option<&ConfigFile>) -> Self {
        match config {
            Some(config) => self.or(&config.request()),
            None => self,
        }
    }

    /// Takes from `others` the settings that were left open. Rectangles belong to their background: they are not taken
    /// for another one.
    pub(crate) fn or(mut self, others: &Self) -> Self {
        if self.background.is_none() {
            fill(&mut self.crop_rects, others.crop_rects.as_ref());
        }
        fill(&mut self.model, others.model.as_ref());
        fill(&mut self.background, others.background.as_ref());
        fill(&mut self.order, others.order.as_ref());
        fill(&mut self.start_frame, others.start_frame.as_ref());
        fill(&mut self.fps, others.fps.as_ref());
        fill(&mut self.paste, others.paste.as_ref());
        fill(&mut self.silence, others.silence.as_ref());
        fill(&mut self.limit, others.limit.as_ref());
        fill(&mut self.device, others.device.as_ref());
        fill(&mut self.precision, others.precision.as_ref());
        fill(&mut self.batch, others.batch.as_ref());
        fill(&mut self.threads, others.threads.as_ref());
        fill(&mut self.gpu, others.gpu.as_ref());
        fill(&mut self.gpu_gb, others.gpu_gb.as_ref());
        fill(&mut self.memory_limit, others.memory_limit.as_ref());
        fill(&mut self.deterministic, others.deterministic.as_ref());
        // What is asked for of clips in general does not speak of pictures.
        if self.frames.is_none() {
            fill(&mut self.codec, others.codec.as_ref());
            fill(&mut self.crf, others.crf.as_ref());
            fill(&mut self.preset, others.preset.as_ref());
            fill(&mut self.audio_kilobits, others.audio_kilobits.as_ref());
        }
        fill(&mut self.no_mark, others.no_mark.as_ref());
        #[cfg(feature = "credentials")]
        fill(&mut self.signer, others.signer.as_ref());
        self
    }
}

fn fill<T: Clone>(asked: &mut Option<T>, other: Option<&T>) {
    if asked.is_none() {
        *asked = other.cloned();
    }
}

/// The value that a word of the file names; the file's reader has checked it.
fn named<T: ValueEnum>(word: &str) -> Option<T> {
    T::from_str(word, false).ok()
}

impl ConfigFile {
    /// What it asks for.
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
            crf: self.settings(output.crf.as_ref(), |crf| Some(crf.into())),
            preset: self.settings(output.preset.as_ref(), Some),
            audio_kilobits: self.settings(output.audio_bitrate.as_ref(), Some),
            no_mark: self.settings(output.mark.as_ref(), |mark| Some(!mark)),
            ..Request::default()
        }
    }

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

/// A length: a number of seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    above_zero(text).ok_or_else(|| "expected a number of seconds above 0".into())
}

/// A bit rate of sound, in kbit/s.
pub(crate) fn kilobits(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix(['k', 'K']).unwrap_or(text).parse().ok();
    number
        .filter(|n| (8..=1024).contains(n))
        .ok_or_else(|| "expected 8 to 1024 kbit/s, such as 128 or 128k".into())
}

/// An amount of memory: a number of GB (10^9 bytes) above 0.
pub(crate) fn gigabytes(text: &str) -> Result<f64, String> {
    above_zero(text).ok_or_else(|| "expected a number of GB above 0".into())
}

fn above_zero(text: &str) -> Option<f64> {
    let number = text.parse().ok();
    number.filter(|n: &f64| n.is_finite() && *n > 0.0)
}
