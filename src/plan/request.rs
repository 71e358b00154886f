//! Everything a user can ask for, on the command line, in the environment, in `lipsync.yaml` or in a jobs file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::options::{BatchSize, Silence};
use super::setting::Setting;
use crate::audio::AudioSource;
use crate::audio::track::TrackName;
use crate::background::order::Order;
use crate::encode::codec::Codec;
#[cfg(feature = "credentials")]
use crate::encode::credentials::SignerFiles;
use crate::encode::segment::Part;
use crate::face::Paste;
use crate::inference::onnx::Device;
use crate::inference::precision::Precision;
use crate::timeline::FrameRate;

/// What a user asks for. None leaves the decision to `lipsync.yaml`, the model or the defaults.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The audio file; the bundled sample if none.
    pub audio: Option<PathBuf>,
    /// Its bytes, if it is a stream.
    pub audio_stream: Option<AudioSource>,
    /// Which of several audio tracks.
    pub audio_track: Option<Setting<TrackName>>,
    /// Whether to render what is there of audio that ends before its header says.
    pub allow_truncated: Option<Setting<bool>>,
    /// The clip to write.
    pub output: Option<PathBuf>,
    /// The folder of PNGs to write instead of a clip.
    pub frames: Option<PathBuf>,
    /// The contact sheet (a picture of twelve frames) to write, with the clip or alone.
    pub contact_sheet: Option<PathBuf>,
    /// Name or path of the model.
    pub model: Option<Setting<PathBuf>>,
    /// A background folder or video.
    pub background: Option<Setting<PathBuf>>,
    /// A file or folder of crop rectangles.
    pub crop_rects: Option<Setting<PathBuf>>,
    /// Order of the backgrounds.
    pub order: Option<Setting<Order>>,
    /// Number of the first background.
    pub start_frame: Option<Setting<usize>>,
    /// Frames per second.
    pub fps: Option<Setting<FrameRate>>,
    /// How the mouth is pasted.
    pub paste: Option<Setting<Paste>>,
    /// What the mouth does in silence.
    pub silence: Option<Setting<Silence>>,
    /// Seconds of audio to render.
    pub limit: Option<f64>,
    /// The part of the clip to render; all of it if none.
    pub part: Option<Part>,
    /// Where the networks run.
    pub device: Option<Setting<Device>>,
    /// How exactly the networks are computed.
    pub precision: Option<Setting<Precision>>,
    /// Frames per run of the generator.
    pub batch: Option<Setting<BatchSize>>,
    /// CPU threads; all cores if none.
    pub threads: Option<Setting<NonZeroUsize>>,
    /// Number of the GPU, unless the device names it.
    pub gpu: Option<Setting<i32>>,
    /// Memory limit of each network on a GPU, in GB (10^9 bytes).
    pub gpu_gb: Option<Setting<f64>>,
    /// Memory limit, in GB (10^9 bytes).
    pub memory_limit: Option<Setting<f64>>,
    /// Whether every run must write the same bytes.
    pub deterministic: Option<Setting<bool>>,
    /// The video codec; the container's default if none.
    pub codec: Option<Setting<Codec>>,
    /// Constant rate factor.
    pub crf: Option<Setting<u32>>,
    /// The encoder's preset.
    pub preset: Option<Setting<String>>,
    /// Bitrate of the audio track, in kbit/s.
    pub audio_kilobits: Option<Setting<u32>>,
    /// Whether to leave out the mark that the clip is AI-generated.
    pub no_mark: Option<Setting<bool>>,
    /// Certificates and key that sign the clip.
    #[cfg(feature = "credentials")]
    pub signer: Option<Setting<SignerFiles>>,
    /// Whether to overwrite existing outputs.
    pub force: bool,
    /// Whether missing folders of outputs are created before work starts.
    pub makes_folders: bool,
}

impl Request {
    /// Fills open settings from `others`. Crop rectangles belong to their background: they are not taken over for another
    /// one.
    pub(crate) fn or(mut self, others: &Self) -> Self {
        if self.background.is_none() {
            fill(&mut self.crop_rects, others.crop_rects.as_ref());
        }
        fill(&mut self.audio_track, others.audio_track.as_ref());
        fill(&mut self.allow_truncated, others.allow_truncated.as_ref());
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
        // Settings for clips in general do not apply to pictures.
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

/// A length: a number of seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    above_zero(text).ok_or_else(|| "expected a number of seconds above 0".into())
}

/// An audio bitrate, in kbit/s.
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
