//! `lipsync.yaml`: where it is found, its keys, and the values with their lines.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

pub(crate) use super::yaml::Located;
use super::yaml::{Document, Section, shown};
use crate::error::{Fault, plain_io};
use crate::timeline::FrameRate;

/// The file's name where it is searched for.
pub(crate) const NAME: &str = "lipsync.yaml";
/// The environment variable that names the file.
pub(crate) const VARIABLE: &str = "LIPSYNC_CONFIG";
/// More is no configuration.
const MOST_BYTES: u64 = 1 << 20;

/// What `output.codec` may say.
pub(crate) const CODECS: [&str; 4] = ["h264", "h265", "av1", "prores4444"];
/// What `output.paste` may say.
pub(crate) const PASTES: [&str; 2] = ["seamless", "reference"];
/// What `output.silence` may say.
pub(crate) const SILENCES: [&str; 2] = ["model", "rest"];
/// What `log_level` may say.
pub(crate) const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

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

/// Looks an environment variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A `lipsync.yaml`, read and checked by itself; whether the files that it names exist is found out when they are used.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The models; the first one is the default. Each `model_id` is there once.
    pub models: Vec<ConfiguredModel>,
    /// `gpu`.
    pub gpu: GpuSection,
    /// `output`.
    pub output: OutputSection,
    /// One of [`LOG_LEVELS`].
    pub log_level: Option<Located<&'static str>>,
}

/// An entry of `models`. Paths are complete: roots, `~` and `${VAR}` are put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredModel {
    /// `model_id`: its name on the command line.
    pub model_id: Located<String>,
    /// `model_path`: the generator's file.
    pub generator: Located<PathBuf>,
    /// `audio_encoder_path`; if not given, `audio_encoder.onnx` beside the generator, with the generator's line.
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
    /// `codec`: one of [`CODECS`].
    pub codec: Option<Located<&'static str>>,
    /// `crf`: 0 to 63; what the codec takes of this is its own.
    pub crf: Option<Located<u8>>,
    /// `preset`: a word or a number of the encoder.
    pub preset: Option<Located<String>>,
    /// `audio_bitrate`: kbit/s, 8 to 1024.
    pub audio_bitrate: Option<Located<u32>>,
    /// `fps`: frames a second.
    pub fps: Option<Located<FrameRate>>,
    /// `paste`: one of [`PASTES`].
    pub paste: Option<Located<&'static str>>,
    /// `silence`: one of [`SILENCES`].
    pub silence: Option<Located<&'static str>>,
    /// `mark`: whether the clip is marked as AI-generated.
    pub mark: Option<Located<bool>>,
}

impl ConfigFile {
    /// Finds and reads the file: `explicit` (`--config`), else `LIPSYNC_CONFIG`, else `lipsync.yaml` in the current folder
    /// or the nearest one above it, else in the user's config folder. None where there is none of these.
    pub fn find(explicit: Option<&Path>) -> Result<Option<Self>> {
        let folder = env::current_dir().unwrap_or_default();
        locate(explicit, &folder, &environment)?
            .map(|path| Self::read(&path))
            .transpose()
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_of(path, "config", MOST_BYTES)?;
        Self::parse(&text, path, &environment)
    }

    /// Reads `text` as the content of the file at `path`, whose folder relative paths start from.
    pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = Document {
            file: "config",
            whole: "a config",
            path,
            text,
            lines_before: 0,
        };
        let mut config = Self {
            path: path.to_owned(),
            models: Vec::new(),
            gpu: GpuSection::default(),
            output: OutputSection::default(),
            log_level: None,
        };
        let Some(tree) = document.tree()? else {
            return Ok(config);
        };
        let top = Section::new(&document, &tree, "", &KEYS)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let root = |key: &str| -> Result<PathBuf> {
            let root = path_value(&top, key, folder, environment)?;
            Ok(root.map_or_else(|| folder.to_owned(), |root| root.value))
        };
        let roots = Roots {
            models: root("models_root")?,
            backgrounds: root("background_root")?,
            environment,
        };
        for section in top.sections("models", &MODEL_KEYS)? {
            let model = roots.model(&section)?;
            let id = &model.model_id.value;
            if let Some(same) = config.models.iter().find(|m| m.model_id.value == *id) {
                let problem = format!(
                    "model_id `{}` is taken by the model in line {}",
                    shown(id),
                    same.model_id.line
                );
                let fault = section.fault("model_id", &problem);
                return Err(fault.hint("give each model a name of its own").into());
            }
            config.models.push(model);
        }
        if let Some(gpu) = top.section("gpu", &GPU_KEYS)? {
            config.gpu = gpu_section(&gpu)?;
        }
        if let Some(output) = top.section("output", &OUTPUT_KEYS)? {
            config.output = output_section(&output)?;
        }
        config.log_level = top.word("log_level", &LOG_LEVELS)?;
        Ok(config)
    }
}

/// The text of the file at `path`, which messages call `what` and which may have `most` bytes.
pub(crate) fn text_of(path: &Path, what: &str, most: u64) -> Result<String> {
    let fault = || Fault::usage(format!("cannot read {what} `{}`", path.display()));
    let file = File::open(path).map_err(|e| fault().because(plain_io(&e)))?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| fault().because(plain_io(&e)))?;
    if bytes.len() as u64 > most {
        return Err(fault()
            .because(format!(
                "it is larger than {} MiB, which no {what} is",
                most >> 20
            ))
            .hint("is this the right file?")
            .into());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        fault()
            .because(format!("line {line} is not UTF-8 text"))
            .hint("save the file as UTF-8")
    })?;
    Ok(text)
}

fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// The file's path by the rules of [`ConfigFile::find`]; that of the current `folder` stays relative.
fn locate(
    explicit: Option<&Path>,
    folder: &Path,
    environment: Environment<'_>,
) -> Result<Option<PathBuf>> {
    if let Some(path) = explicit {
        return Ok(Some(path.to_owned()));
    }
    // An empty variable is as good as none, as everywhere in a shell.
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(path) = variable(VARIABLE).map(PathBuf::from) {
        if path.exists() {
            return Ok(Some(path));
        }
        return Err(Fault::usage(format!(
            "{VARIABLE} is `{}`, which does not exist",
            path.display()
        ))
        .hint("name a configuration file, or unset it")
        .into());
    }
    if folder.join(NAME).is_file() {
        return Ok(Some(NAME.into()));
    }
    let above = folder.ancestors().skip(1).map(|folder| folder.join(NAME));
    let configs = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        // A relative one has no meaning by its specification.
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
    let users = configs.map(|configs| configs.join("lipsync").join(NAME));
    Ok(above.chain(users).find(|path| path.is_file()))
}

/// Where relative paths of models start from.
struct Roots<'a> {
    models: PathBuf,
    backgrounds: PathBuf,
    environment: Environment<'a>,
}

impl Roots<'_> {
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
                "background_dir in line {} already says what to show",
                folder.line
            );
            let fault = section.fault("source_video", &problem);
            return Err(fault.hint("keep one of both").into());
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

fn gpu_section(section: &Section<'_>) -> Result<GpuSection> {
    let above_0 = f64::MIN_POSITIVE..=f64::MAX;
    Ok(GpuSection {
        device_id: section.number("device_id", "a whole number, from 0", 0..=u16::MAX)?,
        memory_limit_gb: section.number("memory_limit_gb", "a number above 0", above_0)?,
    })
}

fn output_section(section: &Section<'_>) -> Result<OutputSection> {
    let rate = |text: &str| text.parse().ok();
    Ok(OutputSection {
        codec: section.word("codec", &CODECS)?,
        crf: section.number("crf", "a whole number, 0 to 63", 0..=63)?,
        preset: section.text("preset")?,
        audio_bitrate: section.number("audio_bitrate", "8 to 1024 kbit/s", 8..=1024)?,
        fps: section.value(
            "fps",
            "1 to 240 frames a second (25, 29.97 or 30000/1001)",
            rate,
        )?,
        paste: section.word("paste", &PASTES)?,
        silence: section.word("silence", &SILENCES)?,
        mark: section.flag("mark")?,
    })
}

/// The path under `key`, with `~` and `${VAR}` put in; a relative one starts from `root`.
fn path_value(
    section: &Section<'_>,
    key: &str,
    root: &Path,
    environment: Environment<'_>,
) -> Result<Option<Located<PathBuf>>> {
    let Some(text) = section.text(key)? else {
        return Ok(None);
    };
    let path = expand(&text.value, environment).map_err(|(problem, hint)| {
        let fault = section.fault(key, &problem);
        fault.hint(hint)
    })?;
    Ok(Some(Located {
        value: root.join(path),
        line: text.line,
    }))
}

/// Puts `~` at the beginning and `${VAR}` anywhere in; `$${` writes `${`, any other `$` stays. The error is what is wrong and
/// the way out.
fn expand(text: &str, environment: Environment<'_>) -> Result<PathBuf, (String, String)> {
    let variable = |name: &str| {
        let value = environment(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            (
                format!("the environment variable {} is not set", shown(name)),
                format!("set {}, or write the path out", shown(name)),
            )
        })
    };
    let mut path = OsString::new();
    let mut rest = text;
    if rest == "~" || rest.starts_with("~/") {
        path.push(variable("HOME")?);
        rest = &rest[1..];
    }
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            path.push(before);
            path.push("${");
            rest = after;
            continue;
        }
        path.push(before);
        let name = after.split_once('}').filter(|(name, _)| is_variable(name));
        let Some((name, after)) = name else {
            return Err((
                "`${` is not followed by a variable's name and `}`".into(),
                "write ${NAME}; for the characters themselves write $${".into(),
            ));
        };
        path.push(variable(name)?);
        rest = after;
    }
    path.push(OsStr::new(rest));
    Ok(path.into())
}

fn is_variable(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::error::{Exit, Report};

    const WHOLE: &str = "\
models_root: models
background_root: ${FRAMES}/all
models:
  - model_id: ada
    model_path: ada/generator.onnx
    background_dir: ada
    crop_rects_path: ada/crop_rects.json
  - {model_id: anna, model_path: /m/anna.onnx, audio_encoder_path: ~/a.onnx, source_video: 'anna take.mp4'}
gpu: {device_id: 1, memory_limit_gb: 7.5}
output:
  codec: h265
  crf: 20
  preset: 8
  audio_bitrate: 192
  fps: 29.97
  paste: reference
  silence: rest
  mark: false
log_level: debug
";

    fn variables(name: &str) -> Option<OsString> {
        match name {
            "HOME" => Some("/home/eve".into()),
            "FRAMES" => Some("/mnt/frames".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<ConfigFile> {
        ConfigFile::parse(text, Path::new("conf/lipsync.yaml"), &variables)
    }

    fn at<T>(value: T, line: usize) -> Located<T> {
        Located { value, line }
    }

    fn told(text: &str) -> String {
        let report = Report::of(&parse(text).unwrap_err());
        assert_eq!(report.exit, Exit::Usage);
        let hint = report.hint.map(|hint| format!("\nhint: {hint}"));
        format!(
            "{}\n{}{}",
            report.message,
            report.causes.join("\n"),
            hint.unwrap_or_default()
        )
    }

    #[test]
    fn every_key_is_read_with_its_line() {
        let config = parse(WHOLE).unwrap();
        let ada = ConfiguredModel {
            model_id: at("ada".into(), 4),
            generator: at("conf/models/ada/generator.onnx".into(), 5),
            audio_encoder: at("conf/models/ada/audio_encoder.onnx".into(), 5),
            background: Some(at("/mnt/frames/all/ada".into(), 6)),
            crop_rects: Some(at("/mnt/frames/all/ada/crop_rects.json".into(), 7)),
        };
        let anna = ConfiguredModel {
            model_id: at("anna".into(), 8),
            generator: at("/m/anna.onnx".into(), 8),
            audio_encoder: at("/home/eve/a.onnx".into(), 8),
            background: Some(at("/mnt/frames/all/anna take.mp4".into(), 8)),
            crop_rects: None,
        };
        assert_eq!(config.models, [ada, anna]);
        assert_eq!(config.gpu.device_id, Some(at(1, 9)));
        assert_eq!(config.gpu.memory_limit_gb, Some(at(7.5, 9)));
        let output = OutputSection {
            codec: Some(at("h265", 11)),
            crf: Some(at(20, 12)),
            preset: Some(at("8".into(), 13)),
            audio_bitrate: Some(at(192, 14)),
            fps: FrameRate::new(30_000, 1001).map(|rate| at(rate, 15)),
            paste: Some(at("reference", 16)),
            silence: Some(at("rest", 17)),
            mark: Some(at(false, 18)),
        };
        assert_eq!(config.output, output);
        assert_eq!(config.log_level, Some(at("debug", 19)));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        for text in [
            "",
            "# nothing yet\n",
            "models:\ngpu:\noutput: ~\n",
            "{}",
            "---\n",
            "\u{feff}",
        ] {
            let config = parse(text).unwrap();
            assert_eq!(
                (config.models.len(), config.log_level),
                (0, None),
                "{text:?}"
            );
            assert_eq!(config.output, OutputSection::default(), "{text:?}");
        }
    }

    #[test]
    fn paths_without_roots_start_from_the_files_folder() {
        let text = "models: [{model_id: a, model_path: a.onnx, background_dir: ../frames}]";
        let model = &parse(text).unwrap().models[0];
        assert_eq!(model.generator.value, Path::new("conf/a.onnx"));
        assert_eq!(model.background, Some(at("conf/../frames".into(), 1)));
    }

    #[test]
    fn home_and_variables_are_put_into_paths() {
        let expanded = |text: &str| expand(text, &variables).unwrap();
        assert_eq!(expanded("~"), Path::new("/home/eve"));
        assert_eq!(expanded("~/a"), Path::new("/home/eve/a"));
        assert_eq!(expanded("~eve/a~"), Path::new("~eve/a~"));
        assert_eq!(
            expanded("${HOME}${FRAMES}/é"),
            Path::new("/home/eve/mnt/frames/é")
        );
        assert_eq!(expanded("$HOME/a$$b$"), Path::new("$HOME/a$$b$"));
        assert_eq!(expanded("a/$${HOME}"), Path::new("a/${HOME}"));
        for wrong in [
            "${",
            "${}",
            "${A B}",
            "${1}",
            "${HOME",
            "${NOT_SET}",
            "${EMPTY}",
        ] {
            assert!(expand(wrong, &variables).is_err(), "{wrong}");
        }
    }

    #[test]
    fn aliases_repeat_what_their_anchor_names() {
        let text = "\
models:
  - {model_id: a, model_path: &net a.onnx}
  - {model_id: b, model_path: *net}
";
        let models = parse(text).unwrap().models;
        assert_eq!(models[1].generator, at("conf/a.onnx".into(), 2));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let model = "models:\n  - model_id: ada\n    model_path: a.onnx\n";
        let cases = [
            (
                "unknown key",
                "models:\n  - model_id: ada\n    model_pth: a.onnx\n".to_owned(),
            ),
            (
                "unknown key, nothing near",
                "output: {codec: h264, colour: red}".into(),
            ),
            ("wrong type", "output:\n  crf: best\n".into()),
            ("a number in quotes", "gpu: {device_id: \"0\"}".into()),
            ("out of range", "gpu: {memory_limit_gb: 0}".into()),
            ("a list for a section", "gpu: [0]".into()),
            ("a word for the list", "models: ada".into()),
            ("a word for the file", "ada".into()),
            ("no value", "output:\n  crf:\n  codec: h264\n".into()),
            (
                "missing key",
                "models:\n  - model_id: ada\n  - model_id: b\n".into(),
            ),
            (
                "duplicate key",
                "log_level: info\ngpu:\nlog_level: warn\n".into(),
            ),
            ("duplicate model_id", format!("{model}{}", &model[8..])),
            (
                "both backgrounds",
                format!("{model}    background_dir: a\n    source_video: a.mp4\n"),
            ),
            ("bad word", "output: {codec: x264}".into()),
            ("bad rate", "output: {fps: 0}".into()),
            ("unset variable", "models_root: ${NOWHERE}/models".into()),
            ("unclosed variable", "models_root: ${NOWHERE/models".into()),
            ("tab", "gpu:\n\tdevice_id: 0\n".into()),
            ("unclosed quote", "models_root: \"models\n".into()),
            ("unclosed list", "models: [\n".into()),
            (
                "two documents",
                "log_level: info\n---\nlog_level: warn\n".into(),
            ),
            ("tag", "log_level: !level info\n".into()),
            ("list as key", "[a]: b\n".into()),
            ("unknown alias", "models_root: *nets\n".into()),
            (
                "long line",
                format!("# ok\n{{models_root: {}, gpus: 1}}", "é".repeat(400)),
            ),
        ];
        let told: Vec<String> = cases
            .iter()
            .map(|(name, text)| format!("# {name}\n{}\n", told(text)))
            .collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("config_mistakes", told.join("\n"));
        });
    }

    #[test]
    fn hostile_files_are_refused_in_bounded_memory() {
        let lines: Vec<String> = (1..60)
            .map(|i| format!("a{i}: &a{i} [{}]", format!("*a{},", i - 1).repeat(9)))
            .collect();
        let laughs = format!("a0: &a0 [ha]\n{}\n", lines.join("\n"));
        assert!(told(&laughs).contains("too deep"));
        assert!(told(&laughs[..laughs.find("a9:").unwrap()]).contains("unknown key `a0`"));
        let chain: Vec<String> = (1..40_000)
            .map(|i| format!("- &a{i} [*a{}]", i - 1))
            .collect();
        assert!(told(&format!("- &a0 []\n{}", chain.join("\n"))).contains("too deep"));
        assert!(told(&"[".repeat(33)).contains("too deep"));
        assert!(told(&"[".repeat(1 << 20)).len() < 1000);
        assert!(told(&"- ".repeat(1 << 19)).contains("too deep"));
        assert!(told("models: &a [*a]").contains("inside what it repeats"));
        let wide = format!("models: [{}]", "a, ".repeat(300_000));
        assert!(told(&wide).contains("`models[0]` must be keys with values"));
        let long = format!("? {}\n: 1\n", "k".repeat(1 << 20));
        assert!(told(&long).len() < 1000);
    }

    #[test]
    fn files_that_are_no_text_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lipsync.yaml");
        let cause = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Report::of(&ConfigFile::read(&path).unwrap_err())
                .causes
                .remove(0)
        };
        assert_eq!(cause(b"gpu:\n# caf\xe9\n"), "line 2 is not UTF-8 text");
        assert!(cause(&vec![b'#'; (1 << 20) + 1]).contains("1 MiB"));
        let report = Report::of(&ConfigFile::read(dir.path()).unwrap_err());
        assert_eq!(
            (report.exit, &*report.causes[0]),
            (Exit::Usage, "is a directory")
        );
    }

    #[test]
    fn the_nearest_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let file = |folder: &Path| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(NAME), "").unwrap();
            folder.join(NAME)
        };
        let find = |pairs: &[(&str, &Path)]| {
            let variables = |name: &str| {
                let pair = pairs.iter().find(|(known, _)| *known == name)?;
                Some(pair.1.as_os_str().to_owned())
            };
            locate(None, &deep, &variables).unwrap()
        };
        let home = root.join("home");
        assert_eq!(find(&[("HOME", &home)]), None);
        let users = file(&home.join(".config/lipsync"));
        assert_eq!(find(&[("HOME", &home)]), Some(users));
        let other = file(&root.join("xdg/lipsync"));
        let xdg = root.join("xdg");
        let both = [("HOME", home.as_path()), ("XDG_CONFIG_HOME", &xdg)];
        assert_eq!(find(&both), Some(other));
        let above = file(&root.join("a"));
        assert_eq!(find(&both), Some(above));
        file(&deep);
        assert_eq!(find(&both), Some(NAME.into()));
        let named = file(&root.join("named"));
        assert_eq!(find(&[(VARIABLE, &named)]), Some(named));
        assert_eq!(find(&[(VARIABLE, Path::new(""))]), Some(NAME.into()));
        let nowhere = |name: &str| (name == VARIABLE).then(|| "no/where".into());
        let error = locate(None, &deep, &nowhere).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LIPSYNC_CONFIG is `no/where`, which does not exist"
        );
        let explicit = locate(Some(Path::new("x")), &deep, &nowhere).unwrap();
        assert_eq!(explicit, Some("x".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*|[\\[\\]{}:,\\-?&*a!|>%@'\"~$ \\n\\t#]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_change_of_a_good_file_is_read_or_refused(
            at in 0..WHOLE.len(),
            removed in 0..20_usize,
            put_in in "[\\[\\]{}:,\\-?&*a!|>%'\"~$ \\n\\t#]{0,5}",
        ) {
            let end = (at + removed).min(WHOLE.len());
            let text = format!("{}{put_in}{}", &WHOLE[..at], &WHOLE[end..]);
            let _ = parse(&text);
        }
    }
}
