//! Inspects a file or folder: says what it is and what is wrong with it.
//!
//! A path comes in. An [`Inspection`] goes out, which is printed as text or JSON, or drawn. It does not stop at the first
//! fault but lists all of them as warnings; it fails only if nothing can be read.
//!
//! - `media` reads what FFmpeg says about an audio or video file.
//! - `audio`, `background`, `model` and `video` each inspect one kind of path: `mod.rs` collects the facts, `text` puts
//!   them and the warnings into words, and `picture` draws them.

pub(crate) mod audio;
pub(crate) mod background;
pub(crate) mod media;
pub(crate) mod model;
pub(crate) mod video;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use crate::background::has_image_extension;
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::files;
use crate::sync::{RenderInputs, rounded};
use audio::AudioInfo;
use background::BackgroundInfo;
use media::MediaInfo;
use model::ModelInfo;
use video::VideoInfo;

/// Version of the JSON; keys are only ever added to it.
const SCHEMA_VERSION: u32 = 1;

/// The hint of errors about paths that are none of the kinds.
const KINDS_HINT: &str =
    "pass a model folder, an .onnx file, a background folder, an audio file or a video";

/// A label and a value, as people read them.
type Row = (&'static str, String);

/// What was found at a path.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    schema_version: u32,
    /// The path as given.
    path: String,
    /// What it is.
    #[serde(flatten)]
    pub contents: Contents,
    /// What is wrong with it, one line each.
    pub warnings: Vec<String>,
}

/// The facts about a path, by what it is.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Contents {
    /// A network, or a model folder with its networks.
    Model(ModelInfo),
    /// A folder of numbered pictures with crop rectangles.
    Background(Box<BackgroundInfo>),
    /// An audio file.
    #[serde(rename = "sound")]
    Audio(Box<AudioInfo>),
    /// A video, with or without audio.
    Video(Box<VideoInfo>),
}

impl Inspection {
    /// Finds out what `path` is and inspects it. `making` names the crop rectangles of a background folder or a video, and
    /// the backgrounds of a video.
    pub(crate) fn of(path: &Path, making: &RenderInputs, cancel: &Cancel) -> Result<Self> {
        let mut warnings = Vec::new();
        let found = &mut warnings;
        let kind = kind(path)?;
        if making.background.is_some() && !matches!(kind, Kind::Video(_)) {
            return Err(Fault::usage("--background is only for videos")
                .because(format!("`{}` is not a video", path.display()))
                .into());
        }
        let crop_rects = making.crop_rects.as_deref();
        let contents = match kind {
            Kind::Model => Contents::Model(ModelInfo::of(path, found)?),
            Kind::Background => {
                let info = BackgroundInfo::of(path, crop_rects, found, cancel)?;
                Contents::Background(Box::new(info))
            }
            Kind::Audio(media) => {
                Contents::Audio(Box::new(AudioInfo::of(path, media, found, cancel)?))
            }
            Kind::Video(media) => {
                let info = VideoInfo::of(path, media, making, found, cancel)?;
                Contents::Video(Box::new(info))
            }
        };
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            path: path.display().to_string(),
            contents,
            warnings,
        })
    }

    /// Draws it, 1400 pixels wide.
    pub(crate) fn draw(&self, cancel: &Cancel) -> Result<RgbImage> {
        let (path, warnings) = (self.path.as_str(), self.warnings.as_slice());
        match &self.contents {
            Contents::Model(info) => Ok(info.draw(path, warnings)),
            Contents::Background(info) => info.draw(path, warnings, cancel),
            Contents::Audio(info) => info.draw(path, warnings, cancel),
            Contents::Video(info) => info.draw(path, warnings, cancel),
        }
    }
}

impl fmt::Display for Inspection {
    /// The path, a row for each fact, a line for each warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, rows) = match &self.contents {
            Contents::Model(info) => ("model", info.rows()),
            Contents::Background(info) => ("background folder", info.rows()),
            Contents::Audio(info) => ("audio file", info.rows()),
            Contents::Video(info) => ("video", info.rows()),
        };
        writeln!(f, "{kind} `{}`", self.path)?;
        let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in rows {
            writeln!(f, "  {label:width$}  {value}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// What a path is, before it is inspected.
enum Kind {
    Model,
    Background,
    Audio(MediaInfo),
    Video(MediaInfo),
}

fn kind(path: &Path) -> Result<Kind> {
    let fault = || Fault::failed(format!("cannot inspect `{}`", path.display()));
    let metadata = fs::metadata(path).map_err(|e| fault().because(plain_io(&e)))?;
    let extension = |path: &Path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        extension.to_ascii_lowercase()
    };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).map_err(|e| fault().because(plain_io(&e)))?;
        let is_model = entries.flatten().any(|e| extension(&e.path()) == "onnx");
        return Ok(if is_model {
            Kind::Model
        } else {
            Kind::Background
        });
    }
    if !metadata.is_file() {
        return Err(fault()
            .because("it is a pipe or a device, and is read more than once")
            .hint("write it to a file first")
            .into());
    }
    if extension(path) == "onnx" {
        return Ok(Kind::Model);
    }
    if has_image_extension(path) {
        return Err(fault()
            .because("it is a single picture")
            .hint("pass the folder that contains the frames")
            .into());
    }
    files::check(path).map_err(|e| fault().because(plain_io(&e)))?;
    let media = MediaInfo::open(path)?;
    if media.video.is_some() {
        Ok(Kind::Video(media))
    } else if media.audio.is_some() {
        Ok(Kind::Audio(media))
    } else {
        Err(fault()
            .because("it has neither an audio nor a video stream")
            .hint(KINDS_HINT)
            .into())
    }
}

/// The level in dBFS of an amplitude with full scale 1; at least -120.
fn decibels(amplitude: f64) -> f64 {
    rounded(20.0 * amplitude.max(1e-6).log10())
}

/// `1 frame`, `2 frames`.
fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// The first 20 items of a list, and how many more there are.
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    const MAX_LISTED: usize = 20;
    let more = items.len().saturating_sub(MAX_LISTED);
    let text = items.take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    match more {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
