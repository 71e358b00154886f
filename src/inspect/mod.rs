//! What a model, a background folder, a sound or a video is, and what is wrong with it.
//!
//! A survey never stops at the first fault: it lists them all. It fails only where nothing can be read.

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

use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::sync::{Making, rounded};
use audio::AudioSurvey;
use background::BackgroundSurvey;
use media::Media;
use model::ModelSurvey;
use video::VideoSurvey;

/// Version of the JSON; keys are only ever added to it.
const SCHEMA_VERSION: u32 = 1;

/// Extensions of pictures, lower case.
const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];

/// A name and a value for people to read.
type Row = (&'static str, String);

/// All that was found at a path.
#[derive(Debug, Serialize)]
pub(crate) struct Inspection {
    schema_version: u32,
    /// The path as it was given.
    path: String,
    /// What it is.
    #[serde(flatten)]
    pub subject: Subject,
    /// What is wrong with it, one line each.
    pub warnings: Vec<String>,
}

/// What a path turned out to be.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Subject {
    /// One network, or a model's two.
    Model(ModelSurvey),
    /// Numbered pictures with rectangles.
    Background(Box<BackgroundSurvey>),
    /// An audio file; `sound` in JSON.
    #[serde(rename = "sound")]
    AudioFile(AudioSurvey),
    /// Moving pictures, perhaps with sound.
    Video(Box<VideoSurvey>),
}

impl Inspection {
    /// Finds out what `path` is and surveys it; `making` names the rectangles of a background folder or a video, and the
    /// backgrounds of a video.
    pub(crate) fn of(path: &Path, making: &Making, cancel: &Cancel) -> Result<Self> {
        let mut warnings = Vec::new();
        let found = &mut warnings;
        let kind = kind(path)?;
        if making.background.is_some() && !matches!(kind, Kind::Video(_)) {
            return Err(Fault::usage("--background is for videos")
                .because(format!("`{}` is none", path.display()))
                .into());
        }
        let crop_rects = making.crop_rects.as_deref();
        let subject = match kind {
            Kind::Model => Subject::Model(ModelSurvey::of(path, found)?),
            Kind::Background => Subject::Background(Box::new(BackgroundSurvey::of(
                path, crop_rects, found, cancel,
            )?)),
            Kind::AudioFile(media) => {
                Subject::AudioFile(AudioSurvey::of(path, media, found, cancel)?)
            }
            Kind::Video(media) => {
                let survey = VideoSurvey::of(path, media, making, found, cancel)?;
                Subject::Video(Box::new(survey))
            }
        };
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            path: path.display().to_string(),
            subject,
            warnings,
        })
    }

    /// Draws it, 1400 pixels wide.
    pub(crate) fn draw(&self, cancel: &Cancel) -> Result<RgbImage> {
        let (path, warnings) = (self.path.as_str(), self.warnings.as_slice());
        match &self.subject {
            Subject::Model(survey) => Ok(survey.draw(path, warnings)),
            Subject::Background(survey) => survey.draw(path, warnings, cancel),
            Subject::AudioFile(survey) => survey.draw(path, warnings, cancel),
            Subject::Video(survey) => survey.draw(path, warnings, cancel),
        }
    }
}

impl fmt::Display for Inspection {
    /// The path, a row for each fact, a line for each warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, rows) = match &self.subject {
            Subject::Model(survey) => ("model", survey.rows()),
            Subject::Background(survey) => ("background folder", survey.rows()),
            Subject::AudioFile(survey) => ("sound", survey.rows()),
            Subject::Video(survey) => ("video", survey.rows()),
        };
        writeln!(f, "{what} `{}`", self.path)?;
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows {
            writeln!(f, "  {name:widest$}  {value}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

enum Kind {
    Model,
    Background,
    AudioFile(Media),
    Video(Media),
}

fn kind(path: &Path) -> Result<Kind> {
    let fault = || Fault::failed(format!("cannot inspect `{}`", path.display()));
    let about = fs::metadata(path).map_err(|e| fault().because(plain_io(&e)))?;
    let extension = |path: &Path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        extension.to_ascii_lowercase()
    };
    if about.is_dir() {
        let entries = fs::read_dir(path).map_err(|e| fault().because(plain_io(&e)))?;
        let is_model = entries.flatten().any(|e| extension(&e.path()) == "onnx");
        return Ok(if is_model {
            Kind::Model
        } else {
            Kind::Background
        });
    }
    if extension(path) == "onnx" {
        return Ok(Kind::Model);
    }
    if PICTURES.contains(&extension(path).as_str()) {
        return Err(fault()
            .because("it is a single picture")
            .hint("name the folder that holds the frames")
            .into());
    }
    let media = Media::open(path)?;
    if media.video.is_some() {
        Ok(Kind::Video(media))
    } else if media.audio.is_some() {
        Ok(Kind::AudioFile(media))
    } else {
        Err(fault()
            .because("it holds neither sound nor moving pictures")
            .hint("give a model folder, an .onnx file, a background folder, a sound or a video")
            .into())
    }
}

/// A level in dBFS of an amplitude where full scale is 1; -120 at the least.
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

/// At most 20 of a list, and how many more there are.
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    const MOST: usize = 20;
    let more = items.len().saturating_sub(MOST);
    let text = items.take(MOST).collect::<Vec<_>>().join(", ");
    match more {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
