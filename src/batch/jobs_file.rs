//! Jobs files: YAML (a list of jobs, or `jobs:` with that list) or JSON lines (a job a line). docs/batch.md describes them.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::file::{ConfigFile, Located, text_of};
use crate::config::yaml::{Document, Place, Section};
use crate::error::{Fault, plain_io};
use crate::plan::{Origin, Request, Setting, request};

/// A million jobs have 200 MB.
const MOST_BYTES: u64 = 256 << 20;
const FILE: &str = "jobs file";
/// The name for the standard input.
const STDIN: &str = "-";

/// The keys of a job.
pub(super) const KEYS: [&str; 20] = [
    "audio",
    "output",
    "id",
    "frames",
    "contact_sheet",
    "model",
    "background",
    "crop_rects",
    "order",
    "start_frame",
    "fps",
    "paste",
    "silence",
    "limit",
    "precision",
    "codec",
    "crf",
    "preset",
    "audio_bitrate",
    "no_mark",
];

/// What a job of a file asks for.
pub(super) struct Listed {
    pub(super) request: Request,
    pub(super) id: Option<String>,
    /// Where it stands, from 1.
    pub(super) line: usize,
}

/// How a jobs file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    JsonLines,
}

impl Format {
    /// That of the file at `path`, by its ending; none if it is no jobs file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if path == Path::new(STDIN) {
            return Some(Self::JsonLines);
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Reads the file at `path`; relative paths in it start from its folder. Models of `config` go by their names.
pub(super) fn read(
    path: &Path,
    format: Format,
    config: Option<&ConfigFile>,
) -> Result<Vec<Listed>> {
    let text = if path == Path::new(STDIN) {
        let mut text = String::new();
        let read = std::io::stdin()
            .lock()
            .take(MOST_BYTES)
            .read_to_string(&mut text);
        read.map_err(|e| Fault::usage("cannot read jobs from stdin").because(plain_io(&e)))?;
        text
    } else {
        text_of(path, FILE, MOST_BYTES)?
    };
    parse(&text, path, format, config)
}

fn parse(
    text: &str,
    path: &Path,
    format: Format,
    config: Option<&ConfigFile>,
) -> Result<Vec<Listed>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let reader = Reader {
        path,
        folder: path.parent().unwrap_or(Path::new("")),
        config,
    };
    match format {
        Format::Yaml => reader.yaml(text),
        Format::JsonLines => reader.json_lines(text),
    }
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    config: Option<&'a ConfigFile>,
}

impl Reader<'_> {
    fn yaml(&self, text: &str) -> Result<Vec<Listed>> {
        let document = self.document("a jobs file that is no list", text, 0);
        let Some(tree) = document.tree()? else {
            return Ok(Vec::new());
        };
        let sections = match Section::listed(&document, &tree, "jobs", &KEYS)? {
            Some(sections) => sections,
            None => Section::new(&document, &tree, "", &["jobs"])?.sections("jobs", &KEYS)?,
        };
        sections.iter().map(|section| self.job(section)).collect()
    }

    fn json_lines(&self, text: &str) -> Result<Vec<Listed>> {
        let lines = text.lines().enumerate();
        let jobs = lines.filter(|(_, line)| !line.trim().is_empty());
        jobs.map(|(n, line)| {
            let fault = |e: &serde_json::Error| {
                let text = e.to_string();
                let problem = text.split(" at line").next().unwrap_or_default();
                let place = Place::new(1, e.column());
                let document = self.document("a job", line, n);
                document.fault(place, &format!("not JSON: {problem}"))
            };
            let line = as_yaml(line).map_err(|e| fault(&e))?;
            let document = self.document("a job", &line, n);
            // A line with a value in it has a tree, but for `null`.
            let tree = document.tree()?;
            let tree = tree.ok_or_else(|| document.fault(Place::new(1, 1), "this is no job"))?;
            self.job(&Section::new(&document, &tree, "", &KEYS)?)
        })
        .collect()
    }

    fn document<'d>(&'d self, whole: &'d str, text: &'d str, lines_before: usize) -> Document<'d> {
        Document {
            file: FILE,
            whole,
            path: self.path,
            text,
            lines_before,
        }
    }

    fn job(&self, section: &Section<'_>) -> Result<Listed> {
        let path = |key| -> Result<Option<Located<PathBuf>>> {
            let text = section.text(key)?;
            Ok(text.map(|text| Located {
                value: self.folder.join(text.value),
                line: text.line,
            }))
        };
        // Relative to the output folder.
        let output = |key| -> Result<Option<PathBuf>> {
            Ok(section.text(key)?.map(|text| text.value.into()))
        };
        // As `batch --dry-run` writes it, a number says how many frames the clip has.
        let frames = if section.is_number("frames") {
            section.number("frames", "a whole number", 0..=u64::MAX)?;
            None
        } else {
            output("frames")?
        };
        let audio = section.require("audio", path("audio")?)?.value;
        let clip = output("output")?;
        if let (Some(_), Some(_)) = (&frames, &clip) {
            let fault = section.fault("frames", "a job has either `output` or `frames`");
            return Err(fault.hint("make two jobs of it").into());
        }
        let compression = ["codec", "crf", "preset", "audio_bitrate"];
        if frames.is_some()
            && let Some(key) = compression.into_iter().find(|key| section.has(key))
        {
            let fault = section.fault(key, &format!("`{key}` has no meaning for pictures"));
            return Err(fault
                .hint("leave it out, or name a clip with `output`")
                .into());
        }
        let start_frame =
            section.number("start_frame", "a whole number, from 0", 0..=usize::MAX)?;
        let fps = "1 to 240 frames a second (25, 29.97 or 30000/1001)";
        let codec = "h264, h265, av1, prores4444 or an encoder's name";
        let above_0 = f64::MIN_POSITIVE..=f64::MAX;
        let limit = section.number("limit", "a number of seconds above 0", above_0)?;
        let kilobits = |text: &str| request::kilobits(text).ok();
        let request = Request {
            audio: Some(audio),
            output: clip,
            frames,
            contact_sheet: output("contact_sheet")?,
            model: self.setting(section.text("model")?.map(|name| self.model(&name))),
            background: self.setting(path("background")?),
            crop_rects: self.setting(path("crop_rects")?),
            order: self.setting(section.choice("order")?),
            start_frame: self.setting(start_frame),
            fps: self.setting(section.value("fps", fps, |text| text.parse().ok())?),
            paste: self.setting(section.choice("paste")?),
            silence: self.setting(section.choice("silence")?),
            limit: limit.map(|limit| limit.value),
            precision: self.setting(section.choice("precision")?),
            codec: self.setting(section.value("codec", codec, |text| text.parse().ok())?),
            crf: self.setting(section.number("crf", "a whole number, 0 to 63", 0..=63)?),
            preset: self.setting(section.text("preset")?),
            audio_kilobits: self.setting(section.value(
                "audio_bitrate",
                "8 to 1024 kbit/s (128 or 128k)",
                kilobits,
            )?),
            no_mark: self.setting(section.flag("no_mark")?),
            ..Request::default()
        };
        Ok(Listed {
            request,
            id: section.text("id")?.map(|id| id.value),
            line: section.line(),
        })
    }

    /// A name that the configuration has, or that no file has, is a model's name; all else is a path.
    fn model(&self, name: &Located<String>) -> Located<PathBuf> {
        let text = Path::new(&name.value);
        let known = self.config.is_some_and(|config| {
            let mut models = config.models.iter();
            models.any(|model| model.model_id.value == name.value)
        });
        let path = self.folder.join(text);
        let is_word = text.components().count() == 1 && text.extension().is_none();
        let is_name = known || is_word && !path.exists();
        Located {
            value: if is_name { text.to_owned() } else { path },
            line: name.line,
        }
    }

    fn setting<T>(&self, located: Option<Located<T>>) -> Option<Setting<T>> {
        located.map(|Located { value, line }| Setting {
            value,
            origin: Origin::File(self.path.to_owned(), line),
        })
    }
}

/// JSON as YAML: it is, but for characters beyond U+FFFF, which may be written as two escapes.
fn as_yaml(line: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_str(line)?;
    let may_have_pairs = line.contains("\\ud") || line.contains("\\uD");
    Ok(if may_have_pairs {
        Cow::Owned(value.to_string())
    } else {
        Cow::Borrowed(line)
    })
}
