//! Flags, environment, `lipsync.yaml` and defaults -> a plan in which everything is decided.

pub mod file;
mod setting;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use anyhow::Result;
use clap::ValueEnum;

use crate::assets;
use crate::audio::Sound;
use crate::background::{BackgroundFolder, DEFAULT_KEEP_BYTES};
use crate::encode::clip::ClipFormat;
use crate::encode::codec::{Codec, VideoEncoder};
use crate::encode::container::Container;
use crate::encode::mark::Mark;
use crate::error::Fault;
use crate::face::Paste;
use crate::frame::{BackgroundIndex, FrameRate};
use crate::infer::onnx::{Device, Hardware, Placement};
use crate::model::{DEFAULT_MODEL, ModelFiles};
use crate::order::Order;
use crate::output::{Kind, Target};
use file::{ConfigFile, ConfiguredModel, Located};
pub use setting::{Origin, Setting};

/// What a render of the bundled presenter holds beside decoded backgrounds: networks, frames in flight, encoder.
const WORKING_BYTES: usize = 350_000_000;

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
            Self::Auto if placement.device == "CPU" => 2,
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

/// What was asked for on the command line or in the environment; what is None was left open.
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
    /// Where to run the networks.
    pub device: Option<Setting<Device>>,
    /// Frames at a time.
    pub batch: Option<Setting<BatchSize>>,
    /// CPU threads; all cores if none.
    pub threads: Option<Setting<NonZeroUsize>>,
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
    /// Whether to replace what exists.
    pub force: bool,
}

/// A render in which everything is decided and checked, except what the machine can do.
#[derive(Debug)]
pub struct Plan {
    /// The speech, checked.
    pub sound: Sound,
    /// The networks' files.
    pub model: ModelFiles,
    /// Path of the background folder or video.
    pub background: PathBuf,
    /// The background, checked.
    pub backgrounds: BackgroundFolder,
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
    /// Where the contact sheet goes.
    pub contact_sheet: Option<Target>,
    /// Frames a second of the clip.
    pub fps: FrameRate,
    /// Frames of the clip.
    pub frames: u64,
    /// Where to run the networks.
    pub hardware: Hardware,
    /// Frames at a time.
    pub batch: BatchSize,
    /// Memory for decoded backgrounds, bytes.
    pub keep_bytes: usize,
    /// The settings as text, and who decided each.
    pub settings: Vec<(&'static str, Setting<String>)>,
}

/// The choice for each setting, written down as it is made.
#[derive(Default)]
struct Decisions(Vec<(&'static str, Setting<String>)>);

impl Decisions {
    /// The request wins over the file, the file over the default.
    fn choose<T>(
        &mut self,
        name: &'static str,
        asked: Option<Setting<T>>,
        file: Option<Setting<T>>,
        default: T,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let chosen = asked.or(file).unwrap_or_else(|| Setting::default(default));
        self.note(name, chosen, show)
    }

    fn note<T>(
        &mut self,
        name: &'static str,
        chosen: Setting<T>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let text = show(&chosen.value);
        let Setting { value, origin } = chosen;
        self.0.push((
            name,
            Setting {
                value: text,
                origin,
            },
        ));
        value
    }
}

impl Plan {
    /// What is written: the clip, else the frames, else the contact sheet.
    pub fn output(&self) -> Option<&Target> {
        self.target.as_ref().or(self.contact_sheet.as_ref())
    }

    /// The path of what is written, as JSON carries it: what is not UTF-8 is replaced.
    pub fn output_path(&self) -> Option<String> {
        self.output()
            .map(|target| target.path.display().to_string())
    }

    /// Decides and checks all that `request` and the configuration leave open. Nothing is written.
    pub fn new(request: Request, config: Option<&ConfigFile>) -> Result<Self> {
        let audio = match request.audio {
            Some(path) => path,
            None => assets::home()?.join("samples/hello.wav"),
        };
        let of_file = FileSettings::of(config);
        let mut decisions = Decisions::default();
        let fps = decisions.choose("fps", request.fps, of_file.fps, FrameRate::TRAINED, |f| {
            f.to_string()
        });
        let compression = Compression {
            codec: request.codec.or(of_file.codec),
            crf: request.crf.or(of_file.crf),
            preset: request.preset.or(of_file.preset),
            audio_kilobits: request.audio_kilobits.or(of_file.audio_kilobits),
        };
        let contact_sheet = request.contact_sheet.map(|path| Target {
            path,
            kind: Kind::File,
            force: request.force,
        });
        let clip = match (request.output, request.frames) {
            (None, Some(path)) => {
                compression.must_be_left_open()?;
                let (kind, force) = (Kind::Frames, request.force);
                Some((Target { path, kind, force }, None))
            }
            (None, None) if contact_sheet.is_some() => {
                compression.must_be_left_open()?;
                None
            }
            (output, _) => {
                let codec = compression.codec.as_ref().map(|codec| &codec.value);
                let (target, container) = clip_target(&audio, output, codec, request.force)?;
                Some((target, Some(container)))
            }
        };
        let (target, container) = clip.unzip();
        let sound = Sound::open(&audio, request.limit)?;
        let format = container
            .flatten()
            .map(|container| compression.decide(&mut decisions, container, &sound))
            .transpose()?;
        for target in target.iter().chain(&contact_sheet) {
            target.check()?;
            if same_file(&target.path, &audio) {
                return Err(Fault::usage(format!(
                    "the output would overwrite the sound `{}`",
                    audio.display()
                ))
                .hint("choose another name with -o")
                .into());
            }
        }
        let name = request.model.or_else(|| of_file.model.clone());
        let name = name.unwrap_or_else(|| Setting::default(DEFAULT_MODEL.into()));
        let configured = config.and_then(|config| configured_model(config, &name.value));
        let model = match configured {
            Some(model) => ModelFiles::configured(model)?,
            None => ModelFiles::find(&name.value, assets::home, || known_models(config))?,
        };
        decisions.note("model", name, |_| model.id.clone());
        let background = background(request.background, configured, config, &model)?;
        let background = decisions.note("background", background, |p| p.display().to_string());
        let crop_rects = request.crop_rects.or_else(|| {
            let (config, path) = config.zip(configured?.crop_rects.as_ref())?;
            Some(config.setting(path))
        });
        let crop_rects =
            crop_rects.map(|s| decisions.note("crop-rects", s, |p| p.display().to_string()));
        let backgrounds = BackgroundFolder::open(&background, crop_rects.as_deref())?;
        let start = decisions.choose("start-frame", request.start_frame, None, 0, |n| {
            n.to_string()
        });
        if start >= backgrounds.count() {
            return Err(Fault::usage(format!(
                "--start-frame {start} is past the last background: `{}` has 0 to {}",
                background.display(),
                backgrounds.count() - 1
            ))
            .into());
        }
        let no_mark = decisions.choose(
            "no-mark",
            request.no_mark,
            of_file.no_mark,
            false,
            ToString::to_string,
        );
        let mark = (!no_mark).then(|| Mark {
            model: model.id.clone(),
        });
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let hardware = Hardware {
            device: decisions.choose(
                "device",
                request.device,
                None,
                Device::Auto,
                ToString::to_string,
            ),
            gpu: decisions.choose("gpu", None, of_file.gpu, 0, ToString::to_string),
            gpu_bytes: of_file.gpu_gb.map(|gb| {
                let gb = decisions.note("gpu memory", gb, |gb| format!("{gb} GB"));
                (gb * 1e9) as usize
            }),
            threads: decisions
                .choose("threads", request.threads, None, cores, ToString::to_string)
                .get(),
            deterministic: decisions.choose(
                "deterministic",
                request.deterministic,
                None,
                false,
                ToString::to_string,
            ),
        };
        let keep_bytes = request.memory_limit.map_or(DEFAULT_KEEP_BYTES, |limit| {
            let limit = decisions.note("memory-limit", limit, |gb| format!("{gb} GB"));
            ((limit * 1e9) as usize).saturating_sub(WORKING_BYTES)
        });
        Ok(Self {
            order: decisions.choose("order", request.order, None, Order::PingPong, value_name),
            paste: decisions.choose(
                "paste",
                request.paste,
                of_file.paste,
                Paste::Seamless,
                value_name,
            ),
            silence: decisions.choose(
                "silence",
                request.silence,
                of_file.silence,
                Silence::Model,
                value_name,
            ),
            batch: decisions.choose(
                "batch",
                request.batch,
                None,
                BatchSize::Auto,
                ToString::to_string,
            ),
            frames: fps.frames_covering(sound.frames, sound.rate),
            fps,
            sound,
            model,
            background,
            backgrounds,
            start: BackgroundIndex(start),
            target,
            format,
            mark,
            contact_sheet,
            hardware,
            keep_bytes,
            settings: decisions.0,
        })
    }
}

impl ConfigFile {
    /// A value of this file as a decision.
    fn setting<T: Clone>(&self, located: &Located<T>) -> Setting<T> {
        Setting {
            value: located.value.clone(),
            origin: Origin::File(self.path.clone(), located.line),
        }
    }
}

/// What a configuration file says of settings that the command line has as well.
#[derive(Default)]
struct FileSettings {
    model: Option<Setting<PathBuf>>,
    gpu: Option<Setting<i32>>,
    gpu_gb: Option<Setting<f64>>,
    fps: Option<Setting<FrameRate>>,
    paste: Option<Setting<Paste>>,
    silence: Option<Setting<Silence>>,
    codec: Option<Setting<Codec>>,
    crf: Option<Setting<u32>>,
    preset: Option<Setting<String>>,
    audio_kilobits: Option<Setting<u32>>,
    no_mark: Option<Setting<bool>>,
}

impl FileSettings {
    fn of(config: Option<&ConfigFile>) -> Self {
        let Some(config) = config else {
            return Self::default();
        };
        let (gpu, output) = (&config.gpu, &config.output);
        Self {
            model: config
                .models
                .first()
                .map(|model| config.setting(&model.model_id).map(PathBuf::from)),
            gpu: gpu
                .device_id
                .as_ref()
                .map(|id| config.setting(id).map(i32::from)),
            gpu_gb: gpu.memory_limit_gb.as_ref().map(|gb| config.setting(gb)),
            fps: output.fps.as_ref().map(|fps| config.setting(fps)),
            paste: named(config, output.paste.as_ref()),
            silence: named(config, output.silence.as_ref()),
            codec: output.codec.as_ref().and_then(|codec| {
                let Setting { value, origin } = config.setting(codec);
                let value = value.parse().ok()?;
                Some(Setting { value, origin })
            }),
            crf: output
                .crf
                .as_ref()
                .map(|crf| config.setting(crf).map(u32::from)),
            preset: output.preset.as_ref().map(|preset| config.setting(preset)),
            audio_kilobits: output
                .audio_bitrate
                .as_ref()
                .map(|kilobits| config.setting(kilobits)),
            no_mark: output
                .mark
                .as_ref()
                .map(|mark| config.setting(mark).map(|mark| !mark)),
        }
    }
}

/// A word of the file as the value that it names; the file's reader has checked it.
fn named<T: ValueEnum>(
    config: &ConfigFile,
    word: Option<&Located<&'static str>>,
) -> Option<Setting<T>> {
    let Setting { value, origin } = config.setting(word?);
    let value = T::from_str(value, false).ok()?;
    Some(Setting { value, origin })
}

fn value_name<T: ValueEnum>(value: &T) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn configured_model<'a>(config: &'a ConfigFile, name: &Path) -> Option<&'a ConfiguredModel> {
    let mut models = config.models.iter();
    models.find(|model| Path::new(&model.model_id.value) == name)
}

fn known_models(config: Option<&ConfigFile>) -> Vec<String> {
    let models = config.map_or(&[][..], |config| &config.models);
    models.iter().map(|m| m.model_id.value.clone()).collect()
}

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
            origin: Origin::Model(model.sidecar()),
        }),
        None => Err(
            Fault::usage(format!("model `{}` names no background", model.id))
                .hint("name a folder of frames with --background")
                .into(),
        ),
    }
}

/// How a clip is to be compressed, as far as somebody said.
struct Compression {
    codec: Option<Setting<Codec>>,
    crf: Option<Setting<u32>>,
    preset: Option<Setting<String>>,
    audio_kilobits: Option<Setting<u32>>,
}

impl Compression {
    /// Fails if a flag asks for compression where no clip is written. The environment and the configuration speak of
    /// clips in general.
    fn must_be_left_open(&self) -> Result<()> {
        let is_flag = |origin: Option<&Origin>| origin == Some(&Origin::Flag);
        let flags = [
            ("--codec", self.codec.as_ref().map(|s| &s.origin)),
            ("--crf", self.crf.as_ref().map(|s| &s.origin)),
            ("--preset", self.preset.as_ref().map(|s| &s.origin)),
            (
                "--audio-bitrate",
                self.audio_kilobits.as_ref().map(|s| &s.origin),
            ),
        ];
        match flags.into_iter().find(|(_, origin)| is_flag(*origin)) {
            None => Ok(()),
            Some((flag, _)) => Err(Fault::usage(format!("{flag} has no meaning for pictures"))
                .hint(format!("leave {flag} out, or name a clip with -o"))
                .into()),
        }
    }

    /// The encoder that is present on this machine, and checked settings for it.
    fn decide(
        self,
        decisions: &mut Decisions,
        container: Container,
        sound: &Sound,
    ) -> Result<ClipFormat> {
        let codec = self
            .codec
            .unwrap_or_else(|| Setting::default(container.default_codec()));
        let encoder = VideoEncoder::find(&codec.value)?;
        container.check(encoder)?;
        let [crf, preset] = [
            origin_of(self.crf.as_ref()),
            origin_of(self.preset.as_ref()),
        ];
        let video = encoder.settings(
            self.crf.map(|crf| crf.value),
            self.preset.map(|preset| preset.value),
        )?;
        decisions.note("codec", codec, |codec| {
            format!("{codec} ({})", encoder.name)
        });
        if let Some(value) = video.crf {
            decisions.note("crf", Setting { value, origin: crf }, ToString::to_string);
        }
        if let Some(value) = video.preset.clone() {
            decisions.note(
                "preset",
                Setting {
                    value,
                    origin: preset,
                },
                Clone::clone,
            );
        }
        let sound_bits = self.audio_kilobits.map(|kilobits| {
            1000 * decisions.note("audio-bitrate", kilobits, |n| format!("{n} kbit/s")) as usize
        });
        if let Some(bits) = sound_bits {
            let codec = container.sound_codec();
            codec.check_bits(bits, sound.channels, sound.rate)?;
        }
        Ok(ClipFormat {
            container,
            video,
            sound_bits,
        })
    }
}

fn origin_of<T>(setting: Option<&Setting<T>>) -> Origin {
    setting.map_or(Origin::Default, |setting| setting.origin.clone())
}

/// Where the clip goes, and the kind of file it is.
fn clip_target(
    audio: &Path,
    output: Option<PathBuf>,
    codec: Option<&Codec>,
    force: bool,
) -> Result<(Target, Container)> {
    let path = output.unwrap_or_else(|| {
        let mut name = audio.file_stem().unwrap_or_default().to_owned();
        name.push(".");
        name.push(Container::preferred(codec).extension());
        name.into()
    });
    let container = match Container::of(&path) {
        Some(container) => container,
        // The target's own check says what is wrong with it.
        None if path.is_dir() => Container::Mp4,
        None => {
            return Err(Fault::usage(format!(
                "output `{}` does not end in .mp4, .mov, .mkv or .webm",
                path.display()
            ))
            .hint("the name's end says what kind of clip is written; for PNGs use --frames DIR")
            .into());
        }
    };
    let kind = match container {
        Container::Fragments => Kind::Stdout,
        _ => Kind::File,
    };
    Ok((Target { path, kind, force }, container))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_named_after_the_sound() {
        let named = |audio: &str, codec| clip_target(Path::new(audio), None, codec, false);
        let name = |audio: &str| named(audio, None).unwrap().0.path;
        assert_eq!(name("talks/day one.wav"), Path::new("day one.mp4"));
        assert_eq!(name("v1.2.wav"), Path::new("v1.2.mp4"));
        let (edited, container) = named("talk.wav", Some(&Codec::ProRes4444)).unwrap();
        assert_eq!(edited.path, Path::new("talk.mov"));
        assert_eq!(container, Container::Mov);
    }

    #[test]
    fn batch_sizes_are_checked() {
        assert_eq!("auto".parse(), Ok(BatchSize::Auto));
        assert!("0".parse::<BatchSize>().is_err());
        assert!("257".parse::<BatchSize>().is_err());
    }
}
