//! `lipsync.yaml`: its keys, and the values with their lines.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::discovery;
use super::expansion::{Environment, expand};
use super::yaml::{Document, FileKind, Located, Section, shortened};
use crate::error::Fault;
use crate::files::SizeLimit;
use crate::timeline::FrameRate;

const CONFIG: FileKind = FileKind {
    name: "config",
    limit: SizeLimit {
        kind: "a config",
        bytes: 1 << 20,
    },
    fault: Fault::usage,
};

/// Values of `output.codec`.
const CODECS: [&str; 4] = ["h264", "h265", "av1", "prores4444"];
/// Values of `output.paste`.
const PASTES: [&str; 2] = ["seamless", "reference"];
/// Values of `output.silence`.
const SILENCES: [&str; 2] = ["model", "rest"];
/// Values of `log_level`.
const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

const KEYS: [&str; 6] = [
    "models_root",
    "background_root",
    "models",
    "gpu",
    "output",
    "log_level",
];
const MODEL_KEYS: [&str; 6] = [
    "model_id",
    "model_path",
    "audio_encoder_path",
    "background_dir",
    "source_video",
    "crop_rects_path",
];
const GPU_KEYS: [&str; 2] = ["device_id", "memory_limit_gb"];
const OUTPUT_KEYS: [&str; 8] = [
    "codec",
    "crf",
    "preset",
    "audio_bitrate",
    "fps",
    "paste",
    "silence",
    "mark",
];

/// The content of a `lipsync.yaml`. Whether the files that it names exist is checked when they are used.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The models, each with its own `model_id`; the first one is the default.
    pub models: Vec<ConfiguredModel>,
    /// `gpu`.
    pub gpu: GpuSection,
    /// `output`.
    pub output: OutputSection,
    /// `log_level`: `error`, `warn`, `info` or `debug`.
    pub log_level: Option<Located<&'static str>>,
}

/// An entry of `models`. Its paths are complete: roots, `~` and `${VAR}` are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredModel {
    /// `model_id`: its name on the command line.
    pub model_id: Located<String>,
    /// `model_path`: the generator's file.
    pub generator: Located<PathBuf>,
    /// `audio_encoder_path`; by default `audio_encoder.onnx` next to the generator, with the generator's line.
    pub audio_encoder: Located<PathBuf>,
    /// `background_dir` or `source_video`: a folder of frames or a video.
    pub background: Option<Located<PathBuf>>,
    /// `crop_rects_path`.
    pub crop_rects: Option<Located<PathBuf>>,
}

/// The section `gpu`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GpuSection {
    /// `device_id`: number of the CUDA device, from 0.
    pub device_id: Option<Located<u16>>,
    /// `memory_limit_gb`: above 0.
    pub memory_limit_gb: Option<Located<f64>>,
}

/// The section `output`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputSection {
    /// `codec`: `h264`, `h265`, `av1` or `prores4444`.
    pub codec: Option<Located<&'static str>>,
    /// `crf`: 0 to 63; the codec may accept less.
    pub crf: Option<Located<u32>>,
    /// `preset`: a word or a number that the encoder knows.
    pub preset: Option<Located<String>>,
    /// `audio_bitrate`: kbit/s, 8 to 1024.
    pub audio_bitrate: Option<Located<u32>>,
    /// `fps`: frames per second.
    pub fps: Option<Located<FrameRate>>,
    /// `paste`: `seamless` or `reference`.
    pub paste: Option<Located<&'static str>>,
    /// `silence`: `model` or `rest`.
    pub silence: Option<Located<&'static str>>,
    /// `mark`: whether the clip is marked as AI-generated.
    pub mark: Option<Located<bool>>,
}

impl ConfigFile {
    /// Finds and reads the file: `explicit` (`--config`), else `LIPSYNC_CONFIG`, else `lipsync.yaml` in the current folder
    /// or the nearest one above it, else in the user's config folder. None if there is no such file.
    pub fn find(explicit: Option<&Path>) -> Result<Option<Self>> {
        let path = discovery::find(explicit)?;
        path.map(|path| Self::read(&path)).transpose()
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = CONFIG.text_of(path)?;
        Self::parse(&text, path, &|name| env::var_os(name))
    }

    /// Reads `text` as the content of the file at `path`; relative paths start from its folder.
    pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Self> {
        let mut config = Self {
            path: path.to_owned(),
            models: Vec::new(),
            gpu: GpuSection::default(),
            output: OutputSection::default(),
            log_level: None,
        };
        let document = Document {
            kind: &CONFIG,
            root: "a config",
            path,
            text,
            lines_before: 0,
        };
        let Some(tree) = document.tree()? else {
            return Ok(config);
        };
        let top = Section::new(&document, &tree, "", &KEYS)?;
        let roots = Roots::of(&top, path.parent().unwrap_or(Path::new("")), environment)?;
        config.models = roots.models(&top.sections("models", &MODEL_KEYS)?)?;
        if let Some(gpu) = top.section("gpu", &GPU_KEYS)? {
            config.gpu = GpuSection::of(&gpu)?;
        }
        if let Some(output) = top.section("output", &OUTPUT_KEYS)? {
            config.output = OutputSection::of(&output)?;
        }
        config.log_level = top.word("log_level", &LOG_LEVELS)?;
        Ok(config)
    }
}

/// Where relative paths of models start.
struct Roots<'a> {
    models: PathBuf,
    backgrounds: PathBuf,
    environment: Environment<'a>,
}

impl<'a> Roots<'a> {
    fn of(top: &Section<'_>, folder: &Path, environment: Environment<'a>) -> Result<Self> {
        let root = |key| -> Result<PathBuf> {
            let root = path_value(top, key, folder, environment)?;
            Ok(root.map_or_else(|| folder.to_owned(), |root| root.value))
        };
        Ok(Self {
            models: root("models_root")?,
            backgrounds: root("background_root")?,
            environment,
        })
    }

    fn models(&self, sections: &[Section<'_>]) -> Result<Vec<ConfiguredModel>> {
        let mut models: Vec<ConfiguredModel> = Vec::new();
        for section in sections {
            let model = self.model(section)?;
            let id = &model.model_id.value;
            if let Some(same) = models.iter().find(|other| other.model_id.value == *id) {
                let problem = format!(
                    "model_id `{}` is already used on line {}",
                    shortened(id),
                    same.model_id.line
                );
                let fault = section.fault("model_id", &problem);
                return Err(fault.hint("give each model a unique name").into());
            }
            models.push(model);
        }
        Ok(models)
    }

    fn model(&self, section: &Section<'_>) -> Result<ConfiguredModel> {
        let model = |key| path_value(section, key, &self.models, self.environment);
        let background = |key| path_value(section, key, &self.backgrounds, self.environment);
        let model_id = section.require("model_id", section.text("model_id")?)?;
        let generator = section.require("model_path", model("model_path")?)?;
        let audio_encoder = model("audio_encoder_path")?.unwrap_or_else(|| Located {
            value: generator.value.with_file_name("audio_encoder.onnx"),
            line: generator.line,
        });
        let folder = background("background_dir")?;
        let video = background("source_video")?;
        if let (Some(folder), Some(_)) = (&folder, &video) {
            let problem = format!(
                "`background_dir` on line {} already sets the background",
                folder.line
            );
            let fault = section.fault("source_video", &problem);
            return Err(fault.hint("keep one of the two").into());
        }
        Ok(ConfiguredModel {
            model_id,
            generator,
            audio_encoder,
            background: folder.or(video),
            crop_rects: background("crop_rects_path")?,
        })
    }
}

impl GpuSection {
    fn of(section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            device_id: section.number("device_id", "a whole number, 0 or more", 0..=u16::MAX)?,
            memory_limit_gb: section.positive("memory_limit_gb", "a number above 0")?,
        })
    }
}

impl OutputSection {
    fn of(section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            codec: section.word("codec", &CODECS)?,
            crf: section.crf("crf")?,
            preset: section.text("preset")?,
            audio_bitrate: section.number("audio_bitrate", "8 to 1024 kbit/s", 8..=1024)?,
            fps: section.frame_rate("fps")?,
            paste: section.word("paste", &PASTES)?,
            silence: section.word("silence", &SILENCES)?,
            mark: section.flag("mark")?,
        })
    }
}

/// The path under `key` with `~` and `${VAR}` replaced; a relative one starts from `root`.
fn path_value(
    section: &Section<'_>,
    key: &str,
    root: &Path,
    environment: Environment<'_>,
) -> Result<Option<Located<PathBuf>>> {
    let Some(text) = section.text(key)? else {
        return Ok(None);
    };
    if text.value.contains(char::is_control) {
        let fault = section.fault(key, &format!("`{key}` contains a tab or a line break"));
        return Err(fault
            .hint(r"in double quotes, \t and \n are escape sequences: write the path in single quotes, or with /")
            .into());
    }
    let path = expand(&text.value, environment).map_err(|(problem, hint)| {
        let fault = section.fault(key, &problem);
        fault.hint(hint)
    })?;
    Ok(Some(text.map(|_| root.join(path))))
}
