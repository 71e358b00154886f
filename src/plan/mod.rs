//! Flags, environment, `lipsync.yaml` and defaults -> a plan in which everything is decided.

pub(crate) mod model;
mod open_backgrounds;
mod outputs;
mod presenter;
mod range;
pub(crate) mod request;
mod setting;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::assets;
use crate::audio::AudioFile;
use crate::background::Backgrounds;
use crate::background::order::Order;
use crate::config::file::ConfigFile;
use crate::encode::clip::{ClipFormat, ClipSpec};
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
use crate::encode::mark::Mark;
use crate::face::Paste;
use crate::inference::onnx::{Device, Hardware, Placement};
use crate::inference::precision::Precision;
use crate::output::Target;
use crate::timeline::{BackgroundIndex, FrameRate};
use model::ModelFiles;
pub(crate) use open_backgrounds::OpenBackgrounds;
use outputs::Outputs;
use presenter::Presenter;
pub(crate) use range::FrameRange;
pub(crate) use request::Request;
use setting::Decisions;
pub(crate) use setting::{Origin, Setting};

/// Frames that go through the generator at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// What suits the device.
    Auto,
    /// So many.
    Fixed(NonZeroUsize),
}

impl BatchSize {
    /// The number for networks that run at `placement`.
    pub fn on(self, placement: &Placement) -> usize {
        match self {
            Self::Fixed(n) => n.get(),
            // A CPU is no faster with more, and each frame takes memory; a GPU needs them to be busy.
            Self::Auto if placement.on_cpu() => 1,
            Self::Auto => 16,
        }
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= 256);
        number
            .map(Self::Fixed)
            .ok_or_else(|| "expected auto or 1 to 256".into())
    }
}

/// What the mouth does in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Silence {
    /// what the networks make of it
    Model,
    /// in pauses of 0.3 s and more it comes to rest: the background's own mouth
    Rest,
}

/// A render in which everything is decided and checked, except what the machine can do.
#[derive(Debug)]
pub struct Plan {
    /// The speech, checked.
    pub sound: AudioFile,
    /// The networks' files.
    pub model: ModelFiles,
    /// Path of the background folder or video.
    pub background: PathBuf,
    /// The file or folder of rectangles that was named.
    pub crop_rects: Option<PathBuf>,
    /// The background, checked.
    pub backgrounds: Arc<Backgrounds>,
    /// Order of the backgrounds.
    pub order: Order,
    /// The first background.
    pub start: BackgroundIndex,
    /// Way of pasting.
    pub paste: Paste,
    /// What the mouth does in silence.
    pub silence: Silence,
    /// Where the clip goes; nowhere if only a contact sheet was asked for.
    pub target: Option<Target>,
    /// How the clip is compressed and packed; none where no clip is written.
    pub format: Option<ClipFormat>,
    /// What the output says of how it was made.
    pub mark: Option<Mark>,
    /// Who signs the clip.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
    /// Where the contact sheet goes.
    pub contact_sheet: Option<Target>,
    /// Frames a second of the clip.
    pub fps: FrameRate,
    /// Frames of the whole clip.
    pub frames: u64,
    /// Those that are rendered.
    pub range: FrameRange,
    /// Seconds that the sound was shortened to, if it was asked for.
    pub limit: Option<f64>,
    /// Where to run the networks.
    pub hardware: Hardware,
    /// How exactly the networks are computed.
    pub precision: Precision,
    /// Frames at a time.
    pub batch: BatchSize,
    /// Memory to stay within, bytes, if it was said.
    pub memory_limit: Option<usize>,
    /// What the user should know although it stops nothing.
    pub warnings: Vec<String>,
    /// The settings as text, and who decided each.
    pub settings: Vec<(&'static str, Setting<String>)>,
}

impl Plan {
    /// Decides and checks all that `request` and the configuration leave open. Nothing is written.
    pub fn new(request: Request, config: Option<&ConfigFile>) -> Result<Self> {
        Self::among(request, config, &OpenBackgrounds::default())
    }

    /// The same for one clip of many: backgrounds are opened once for all of them.
    pub fn among(
        request: Request,
        config: Option<&ConfigFile>,
        backdrops: &OpenBackgrounds,
    ) -> Result<Self> {
        let mut request = request.filled_from(config);
        let mut decisions = Decisions::default();
        let audio = match request.audio.take() {
            Some(path) => path,
            None => assets::home()?.join("samples/hello.wav"),
        };
        let fps = decisions.choose("fps", request.fps.take(), FrameRate::TRAINED, text);
        let outputs = Outputs::decide(&mut request, &audio)?;
        let sound = AudioFile::open(&audio, request.limit)?;
        let format = outputs.format(&mut request, &sound, &mut decisions)?;
        outputs.check(&audio, request.makes_folders)?;
        // PNGs can be transparent.
        let keep_alpha = format
            .as_ref()
            .is_none_or(|format| format.video.encoder.keeps_alpha());
        let open = |background: &Path, crop_rects: Option<&Path>| {
            backdrops.open(background, crop_rects, fps, keep_alpha)
        };
        let presenter = Presenter::decide(&mut request, config, open, &mut decisions)?;
        let no_mark = decisions.choose("no-mark", request.no_mark.take(), false, text);
        let mark = (!no_mark).then(|| Mark {
            model: presenter.model.id.clone(),
        });
        let hardware = hardware(&mut request, &mut decisions);
        let warnings = presenter.backgrounds.warnings.clone();
        let memory_limit = memory_limit(&mut request, &mut decisions);
        #[cfg(feature = "credentials")]
        let signer = request
            .signer
            .take()
            .map(|files| {
                let files = decisions.note("credentials", files, |f| {
                    f.certificates.display().to_string()
                });
                let deterministic = hardware.deterministic;
                output::signer(&files, format.as_ref(), mark.as_ref(), deterministic)
            })
            .transpose()?;
        Ok(Self {
            order: decisions.choose("order", request.order, Order::PingPong, value_name),
            paste: decisions.choose("paste", request.paste, Paste::Seamless, value_name),
            silence: decisions.choose("silence", request.silence, Silence::Model, value_name),
            precision: decisions.choose(
                "precision",
                request.precision,
                Precision::Exact,
                value_name,
            ),
            batch: decisions.choose("batch", request.batch, BatchSize::Auto, text),
            frames: fps.frames_covering(sound.frames, sound.rate),
            range: FrameRange::of(request.part, fps, &sound)?,
            limit: request.limit,
            fps,
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
            warnings,
            settings: decisions.0,
        })
    }

    /// The clip file, compressed in this way.
    pub fn clip_spec(&self, format: ClipFormat) -> Result<ClipSpec> {
        Ok(ClipSpec {
            size: self.backgrounds.size(),
            fps: self.fps,
            frames: self.range.count(),
            part: self.part_tag(&format)?,
            format,
            threads: self.hardware.threads,
            deterministic: self.hardware.deterministic,
            mark: self.mark.clone(),
            #[cfg(feature = "credentials")]
            signer: self.signer.clone(),
        })
    }

    /// What shapes the clip beside its files, by the names of the flags with underscores.
    pub fn shape(&self) -> Vec<(&'static str, Value)> {
        let mut shape = vec![
            ("order", value_name(&self.order).into()),
            ("start_frame", self.start.0.into()),
            ("fps", self.fps.to_string().into()),
            ("paste", value_name(&self.paste).into()),
            ("silence", value_name(&self.silence).into()),
            ("precision", value_name(&self.precision).into()),
        ];
        if let Some(format) = &self.format {
            let video = &format.video;
            shape.push(("codec", video.encoder.name.into()));
            shape.extend(video.crf.map(|crf| ("crf", crf.into())));
            let preset = video.preset.as_deref();
            shape.extend(preset.map(|preset| ("preset", preset.into())));
            let kilobits = format.sound_bits.map(|bits| bits / 1000);
            shape.extend(kilobits.map(|kilobits| ("audio_bitrate", kilobits.into())));
        }
        if self.mark.is_none() {
            shape.push(("no_mark", json!(true)));
        }
        shape
    }

    /// All that is written.
    pub fn outputs(&self) -> impl Iterator<Item = &Target> {
        self.target.iter().chain(&self.contact_sheet)
    }

    /// The same, to be changed.
    pub fn outputs_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.target.iter_mut().chain(&mut self.contact_sheet)
    }

    /// What is written: the clip, else the frames, else the contact sheet.
    pub fn output(&self) -> Option<&Target> {
        self.target.as_ref().or(self.contact_sheet.as_ref())
    }

    /// The path of what is written, as JSON carries it: what is not UTF-8 is replaced.
    pub fn output_path(&self) -> Option<String> {
        self.output()
            .map(|target| target.path.display().to_string())
    }
}

/// What the networks may use of the machine.
fn hardware(request: &mut Request, decisions: &mut Decisions) -> Hardware {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Hardware {
        device: decisions.choose("device", request.device.take(), Device::Auto, text),
        gpu: decisions.choose("gpu", request.gpu.take(), 0, text),
        gpu_bytes: request.gpu_gb.take().map(|gb| {
            let gb = decisions.note("gpu memory", gb, |gb| format!("{gb} GB"));
            (gb * 1e9) as usize
        }),
        threads: decisions
            .choose("threads", request.threads.take(), cores, text)
            .get(),
        deterministic: decisions.choose("deterministic", request.deterministic.take(), false, text),
    }
}

/// Memory to stay within, bytes.
fn memory_limit(request: &mut Request, decisions: &mut Decisions) -> Option<usize> {
    let limit = request.memory_limit.take()?;
    let limit = decisions.note("memory-limit", limit, |gb| format!("{gb} GB"));
    Some((limit * 1e9) as usize)
}

/// A setting's value as it is written.
fn text<T: ToString>(value: &T) -> String {
    value.to_string()
}

fn value_name<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_are_checked() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert!("0".parse::<BatchSize>().is_err());
        assert!("257".parse::<BatchSize>().is_err());
    }
}
