//! Jobs files: YAML (a list of jobs, or `jobs:` with that list) or JSON lines (one job per line). docs/batch.md describes them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::file::ConfigFile;
use crate::config::yaml::{Document, FileKind, Located, Position, Section};
use crate::error::Fault;
use crate::files::{self, SizeLimit};
use crate::plan::{Origin, Request, Setting, request};

const JOBS_FILE: FileKind = FileKind {
    name: "jobs file",
    limit: SizeLimit {
        kind: "a jobs file",
        // A million jobs take 200 MB.
        bytes: 256 << 20,
    },
    fault: Fault::usage,
};
/// The path that stands for standard input.
const STDIN: &str = "-";

/// The keys of a job.
const KEYS: [&str; 22] = [
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
    "audio_track",
    "allow_truncated",
    "precision",
    "codec",
    "crf",
    "preset",
    "audio_bitrate",
    "no_mark",
];

/// A job of a jobs file.
pub(super) struct ListedJob {
    pub(super) request: Request,
    pub(super) id: Option<String>,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// How a jobs file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    JsonLines,
}

impl Format {
    /// The format of the file at `path`, by its extension; none if it is not a jobs file.
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

/// Reads the file at `path`; relative paths in it start from its folder. Jobs may name the models of `config`.
pub(super) fn read(
    path: &Path,
    format: Format,
    config: Option<&ConfigFile>,
) -> Result<Vec<ListedJob>> {
    let text = if path == Path::new(STDIN) {
        let fault = || Fault::usage("cannot read jobs from stdin");
        files::text_from(std::io::stdin().lock(), JOBS_FILE.limit, fault)?
    } else {
        JOBS_FILE.text_of(path)?
    };
    let reader = Reader {
        path,
        folder: path.parent().unwrap_or(Path::new("")),
        config,
    };
    match format {
        Format::Yaml => reader.yaml(&text),
        Format::JsonLines => reader.json_lines(&text),
    }
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    config: Option<&'a ConfigFile>,
}

impl Reader<'_> {
    fn yaml(&self, text: &str) -> Result<Vec<ListedJob>> {
        let document = self.document("a jobs file that is not a list", text, 0);
        let Some(tree) = document.tree()? else {
            return Ok(Vec::new());
        };
        let sections = match Section::list(&document, &tree, "jobs", &KEYS)? {
            Some(sections) => sections,
            None => Section::new(&document, &tree, "", &["jobs"])?.sections("jobs", &KEYS)?,
        };
        sections.iter().map(|section| self.job(section)).collect()
    }

    fn json_lines(&self, text: &str) -> Result<Vec<ListedJob>> {
        let lines = text.lines().enumerate();
        let jobs = lines.filter(|(_, line)| !line.trim().is_empty());
        jobs.map(|(n, line)| {
            let fault = |e: &serde_json::Error| {
                let text = e.to_string();
                let problem = text.split(" at line").next().unwrap_or_default();
                let position = Position::new(1, e.column());
                let document = self.document("a job", line, n);
                document.fault(position, &format!("invalid JSON: {problem}"))
            };
            let line = as_yaml(line).map_err(|e| fault(&e))?;
            let document = self.document("a job", &line, n);
            let tree = document.tree()?;
            let tree = tree.ok_or_else(|| {
                let start = Position::new(1, 1);
                document.fault(start, "a job must be a mapping, found no value")
            })?;
            self.job(&Section::new(&document, &tree, "", &KEYS)?)
        })
        .collect()
    }

    fn document<'d>(&'d self, root: &'d str, text: &'d str, lines_before: usize) -> Document<'d> {
        Document {
            kind: &JOBS_FILE,
            root,
            path: self.path,
            text,
            lines_before,
        }
    }

    fn job(&self, section: &Section<'_>) -> Result<ListedJob> {
        let audio = section.require("audio", self.path(section, "audio")?)?;
        Ok(ListedJob {
            request: Request {
                audio: Some(audio.value),
                ..self.settings(section, outputs(section)?)?
            },
            id: section.text("id")?.map(|id| id.value),
            line: section.line(),
        })
    }

    /// Adds the settings of a job to `outputs`.
    fn settings(&self, section: &Section<'_>, outputs: Request) -> Result<Request> {
        let whole = "a whole number, 0 or more";
        let codec = "h264, h265, av1, prores4444 or the name of an encoder";
        let track = "the number of an audio track, from 0, or a language";
        let bitrate = "8 to 1024 kbit/s (128 or 128k)";
        let limit = section.positive("limit", "a number of seconds above 0")?;
        let kilobits = |text: &str| request::kilobits(text).ok();
        let model = section.text("model")?.map(|name| self.model(&name));
        Ok(Request {
            model: self.setting(model),
            background: self.setting(self.path(section, "background")?),
            crop_rects: self.setting(self.path(section, "crop_rects")?),
            order: self.setting(section.choice("order")?),
            start_frame: self.setting(section.number("start_frame", whole, 0..=usize::MAX)?),
            fps: self.setting(section.frame_rate("fps")?),
            paste: self.setting(section.choice("paste")?),
            silence: self.setting(section.choice("silence")?),
            limit: limit.map(|limit| limit.value),
            audio_track: self
                .setting(section.value("audio_track", track, |text| text.parse().ok())?),
            allow_truncated: self.setting(section.flag("allow_truncated")?),
            precision: self.setting(section.choice("precision")?),
            codec: self.setting(section.value("codec", codec, |text| text.parse().ok())?),
            crf: self.setting(section.crf("crf")?),
            preset: self.setting(section.text("preset")?),
            audio_kilobits: self.setting(section.value("audio_bitrate", bitrate, kilobits)?),
            no_mark: self.setting(section.flag("no_mark")?),
            ..outputs
        })
    }

    /// A path that starts from the folder of the file.
    fn path(&self, section: &Section<'_>, key: &str) -> Result<Option<Located<PathBuf>>> {
        let text = section.text(key)?;
        Ok(text.map(|text| text.map(|text| self.folder.join(text))))
    }

    /// A name in the configuration, or a word that is not the name of a file, names a model; anything else is a path.
    fn model(&self, name: &Located<String>) -> Located<PathBuf> {
        let text = Path::new(&name.value);
        let is_configured = self.config.is_some_and(|config| {
            let mut models = config.models.iter();
            models.any(|model| model.model_id.value == name.value)
        });
        let path = self.folder.join(text);
        let is_word = text.components().count() == 1 && text.extension().is_none();
        let is_name = is_configured || is_word && !path.exists();
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

/// What a job writes, relative to the output folder.
fn outputs(section: &Section<'_>) -> Result<Request> {
    let output =
        |key| -> Result<Option<PathBuf>> { Ok(section.text(key)?.map(|text| text.value.into())) };
    // In the output of `batch --dry-run`, a number says how many frames the clip has.
    let frames = if section.is_number("frames") {
        section.number("frames", "a whole number", 0..=u64::MAX)?;
        None
    } else {
        output("frames")?
    };
    let clip = output("output")?;
    if let (Some(_), Some(_)) = (&frames, &clip) {
        let fault = section.fault("frames", "a job has either `output` or `frames`, not both");
        return Err(fault.hint("split it into two jobs").into());
    }
    let compression = ["codec", "crf", "preset", "audio_bitrate"];
    if frames.is_some()
        && let Some(key) = compression.into_iter().find(|key| section.has(key))
    {
        let problem = format!("`{key}` does not apply to `frames`");
        return Err(section
            .fault(key, &problem)
            .hint("leave it out, or write a clip with `output`")
            .into());
    }
    Ok(Request {
        output: clip,
        frames,
        contact_sheet: output("contact_sheet")?,
        ..Request::default()
    })
}

/// JSON as YAML. JSON is YAML, except that it may write a character beyond U+FFFF as two escapes.
fn as_yaml(line: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_str(line)?;
    let may_have_pairs = line.contains("\\ud") || line.contains("\\uD");
    Ok(if may_have_pairs {
        Cow::Owned(value.to_string())
    } else {
        Cow::Borrowed(line)
    })
}
