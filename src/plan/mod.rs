//! Flags, environment, `lipsync.yaml` and defaults -> a plan in which everything is decided and nothing is loaded.
//!
//! A [`Request`] comes in (flags and environment, already parsed) with the [`ConfigFile`]; a [`Plan`] goes out: input files are
//! opened and checked, outputs are checked, encoders are chosen. No network is loaded, and nothing is written.
//!
//! | file | what it does |
//! | --- | --- |
//! | `setting` | a value with its origin: flag, environment, line of a file, default |
//! | `blame` | errors name the flag, variable or line that a setting comes from |
//! | `options` | batch size, behaviour in silence |
//! | `request` | everything a user can ask for; what is not set is open |
//! | `config_request` | `lipsync.yaml` as a request |
//! | `model` | the files of a model, found by name or path |
//! | `open_backgrounds` | backgrounds, opened once for all clips that show them |
//! | `presenter` | model and background |
//! | `outputs` | clip, frames and contact sheet; codec and container; who signs |
//! | `machine` | device, threads, memory |
//! | `files` | what a plan reads and writes |
//! | `range` | the frames to render: the whole clip or a part |
//! | `clip` | what the encoder and the caches need to know of a plan |

mod blame;
mod clip;
mod config_request;
mod files;
mod machine;
pub(crate) mod model;
mod open_backgrounds;
mod options;
mod outputs;
mod presenter;
mod range;
pub(crate) mod request;
mod setting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::assets;
use crate::audio::selection::open_speech;
use crate::audio::{AudioFile, AudioSource, ReadOptions, Truncated};
use crate::background::Backgrounds;
use crate::background::order::Order;
use crate::config::file::ConfigFile;
use crate::encode::clip::ClipFormat;
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
use crate::encode::mark::Mark;
use crate::face::Paste;
use crate::inference::onnx::Hardware;
use crate::inference::precision::Precision;
use crate::output::Target;
use crate::timeline::{BackgroundIndex, FrameRate};
use blame::Blame;
use model::ModelFiles;
pub(crate) use open_backgrounds::OpenBackgrounds;
pub(crate) use options::{BatchSize, Silence};
use outputs::Outputs;
use presenter::Presenter;
pub(crate) use range::FrameRange;
pub(crate) use request::Request;
use setting::Decisions;
pub(crate) use setting::{Origin, Setting};

/// A render in which everything is decided and checked, except what depends on the device.
#[derive(Debug)]
pub struct Plan {
    /// The speech.
    pub sound: AudioFile,
    /// The files of the networks.
    pub model: ModelFiles,
    /// Path of the background folder or video.
    pub background: PathBuf,
    /// The file or folder of crop rectangles, if one was named.
    pub crop_rects: Option<PathBuf>,
    /// The background, opened.
    pub backgrounds: Arc<Backgrounds>,
    /// Order of the backgrounds.
    pub order: Order,
    /// The first background.
    pub start: BackgroundIndex,
    /// How the mouth is pasted.
    pub paste: Paste,
    /// What the mouth does in silence.
    pub silence: Silence,
    /// Where the clip or the frames go; none if only a contact sheet is written.
    pub target: Option<Target>,
    /// Codec and container; none if no clip is written.
    pub format: Option<ClipFormat>,
    /// The mark that the clip is AI-generated, unless it is switched off.
    pub mark: Option<Mark>,
    /// Who signs the clip.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
    /// Where the contact sheet goes.
    pub contact_sheet: Option<Target>,
    /// Frames per second of the clip.
    pub fps: FrameRate,
    /// Frames of the whole clip.
    pub frames: u64,
    /// The frames that are rendered.
    pub range: FrameRange,
    /// Seconds that the audio is limited to.
    pub limit: Option<f64>,
    /// Where the networks run.
    pub hardware: Hardware,
    /// How exactly the networks are computed.
    pub precision: Precision,
    /// Frames per run of the generator.
    pub batch: BatchSize,
    /// The memory limit in bytes.
    pub memory_limit: Option<usize>,
    /// Other files that it was made with, and what they are.
    pub other_inputs: Vec<(&'static str, PathBuf)>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Each setting as text, with its origin.
    pub settings: Vec<(&'static str, Setting<String>)>,
}

impl Plan {
    /// Decides and checks everything that `request` and the configuration leave open. Nothing is written.
    pub fn new(request: Request, config: Option<&ConfigFile>) -> Result<Self> {
        Self::with_backgrounds(request, config, &OpenBackgrounds::default())
    }

    /// The same for one clip of many, which share the backgrounds that are already open.
    pub fn with_backgrounds(
        request: Request,
        config: Option<&ConfigFile>,
        opened: &OpenBackgrounds,
    ) -> Result<Self> {
        let request = request.filled_from(config);
        let blame = Blame::of(&request);
        Self::decide(request, config, opened).map_err(|error| blame.name(error))
    }

    fn decide(
        mut request: Request,
        config: Option<&ConfigFile>,
        opened: &OpenBackgrounds,
    ) -> Result<Self> {
        let mut decisions = Decisions::default();
        let other_inputs = files::other_inputs(&request, config);
        let audio = match request.audio.take() {
            Some(path) => path,
            None => assets::home()?.join("samples/hello.wav"),
        };
        let fps = decisions.choose("fps", request.fps.take(), FrameRate::TRAINED);
        let outputs = Outputs::decide(&mut request, &audio)?;
        let sound = sound(&mut request, &audio, &mut decisions)?;
        let format = outputs.format(&mut request, &sound, &mut decisions)?;
        outputs.check(request.makes_folders)?;
        // PNGs can be transparent.
        let keep_alpha = format
            .as_ref()
            .is_none_or(|format| format.video.encoder.keeps_alpha());
        let open = |background: &Path, crop_rects: Option<&Path>| {
            opened.open(background, crop_rects, fps, keep_alpha)
        };
        let presenter = Presenter::decide(&mut request, config, open, &mut decisions)?;
        let mark = mark(&mut request, &presenter.model, &mut decisions);
        let hardware = machine::hardware(&mut request, &mut decisions);
        let memory_limit = machine::memory_limit(&mut request, &mut decisions);
        #[cfg(feature = "credentials")]
        let signer = outputs::signer(
            &mut request,
            format.as_ref(),
            mark.as_ref(),
            hardware.deterministic,
            &mut decisions,
        )?;
        let plan = Self {
            order: decisions.choose_name("order", request.order, Order::PingPong),
            paste: decisions.choose_name("paste", request.paste, Paste::Seamless),
            silence: decisions.choose_name("silence", request.silence, Silence::Model),
            precision: decisions.choose_name("precision", request.precision, Precision::Exact),
            batch: decisions.choose("batch", request.batch, BatchSize::Auto),
            frames: fps.frames_covering(sound.frames, sound.rate),
            range: FrameRange::new(request.part, fps, &sound)?,
            limit: request.limit,
            fps,
            warnings: [&sound.warnings[..], &presenter.backgrounds.warnings].concat(),
            sound,
            model: presenter.model,
            background: presenter.background,
            crop_rects: presenter.crop_rects,
            backgrounds: presenter.backgrounds,
            start: presenter.start,
            target: outputs.clip.map(|(target, _)| target),
            contact_sheet: outputs.contact_sheet,
            format,
            mark,
            #[cfg(feature = "credentials")]
            signer,
            hardware,
            memory_limit,
            other_inputs,
            settings: decisions.into_settings(),
        };
        plan.files().check()?;
        Ok(plan)
    }

    /// Length of the audio that is rendered, in seconds.
    pub fn seconds(&self) -> f64 {
        let samples = self.range.samples.end - self.range.samples.start;
        samples as f64 / f64::from(self.sound.rate)
    }

    /// Everything that is written.
    pub fn outputs(&self) -> impl Iterator<Item = &Target> {
        self.target.iter().chain(&self.contact_sheet)
    }

    /// The same, mutable.
    pub fn outputs_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.target.iter_mut().chain(&mut self.contact_sheet)
    }

    /// The main output: the clip or the frames, else the contact sheet.
    pub fn output(&self) -> Option<&Target> {
        self.target.as_ref().or(self.contact_sheet.as_ref())
    }

    /// The path of the main output for JSON, in which invalid UTF-8 is replaced.
    pub fn output_path(&self) -> Option<String> {
        self.output()
            .map(|target| target.path.display().to_string())
    }
}

/// The speech.
fn sound(request: &mut Request, path: &Path, decisions: &mut Decisions) -> Result<AudioFile> {
    let stream = request.audio_stream.take();
    let source = stream.unwrap_or_else(|| AudioSource::file(path));
    let track = request.audio_track.take();
    let track = track.map(|track| decisions.note("audio-track", track, ToString::to_string));
    let allow = decisions.choose("allow-truncated", request.allow_truncated.take(), false);
    let options = ReadOptions {
        limit: request.limit,
        cut_off: if allow {
            Truncated::Allowed
        } else {
            Truncated::Refused
        },
        ..ReadOptions::default()
    };
    open_speech(&source, track.as_ref(), options)
}

/// The mark that the clip is AI-generated.
fn mark(request: &mut Request, model: &ModelFiles, decisions: &mut Decisions) -> Option<Mark> {
    let no_mark = decisions.choose("no-mark", request.no_mark.take(), false);
    (!no_mark).then(|| Mark {
        model: model.id.clone(),
    })
}
