//! A video: its streams, its AI mark, and whether mouth and audio agree.
//!
//! Facts are collected here; `text` words them and the warnings, `picture` draws them.

mod picture;
mod text;

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::media::MediaInfo;
use crate::audio::selection::open_speech;
use crate::audio::{AudioFile, AudioSource, ReadOptions, Truncated};
use crate::background::video::VideoFile;
use crate::cancel::Cancel;
use crate::image::{Picture, Rect};
use crate::sync::{self, Loudness, Motion, RenderInputs, Sync, View, rounded};

/// The facts about a video.
#[derive(Debug, Serialize)]
pub(crate) struct VideoInfo {
    /// The container and its streams.
    #[serde(flatten)]
    pub media: MediaInfo,
    /// Number of decoded frames.
    pub frames: usize,
    /// Whether frames are interlaced.
    pub interlaced: bool,
    /// Width of a stored pixel divided by its height: 1 for square pixels.
    pub pixel_aspect: f64,
    /// The tag that says that it is AI-generated; none if there is none.
    pub mark: Option<String>,
    /// Lag between mouth and audio; none without audio or without motion.
    pub sync: Option<Sync>,
    #[serde(skip)]
    file: VideoFile,
    #[serde(skip)]
    loudness: Option<Loudness>,
    /// Timestamp of each frame, in seconds from the start of the audio or the video, whichever comes first.
    #[serde(skip)]
    times: Vec<f64>,
    /// The crop rectangle of each frame; empty if none are known.
    #[serde(skip)]
    rects: Vec<Rect>,
}

impl VideoInfo {
    pub(super) fn of(
        path: &Path,
        media: MediaInfo,
        making: &RenderInputs,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let file = VideoFile::open(path)?;
        let interlaced = file.starts_interlaced()?;
        let view = View::of(path, file.size, making, warnings, cancel)?;
        let audio = match &media.audio {
            Some(_) => open_audio(path, warnings),
            None => None,
        };
        let motion = measure_motion(&file, media.video_delay(), view, warnings, cancel)?;
        warnings.extend(motion.doubt());
        let loudness = audio
            .as_ref()
            .map(|audio| Loudness::of(audio, cancel))
            .transpose()?;
        let sync = loudness
            .as_ref()
            .and_then(|loudness| Sync::of(&motion, loudness));
        let info = Self {
            frames: motion.times.len(),
            interlaced,
            pixel_aspect: rounded(file.pixel_aspect),
            mark: media.ai_mark().map(str::to_owned),
            sync,
            file,
            loudness,
            rects: motion.rects.clone(),
            times: motion.times.clone(),
            media,
        };
        info.add_warnings(&motion, warnings);
        warnings.extend(info.file.clone().prepare(interlaced));
        warnings.extend(info.file.other_streams());
        Ok(info)
    }

    pub(super) fn draw(
        &self,
        path: &str,
        warnings: &[String],
        cancel: &Cancel,
    ) -> Result<RgbImage> {
        picture::draw(self, path, warnings, cancel)
    }

    /// What to enlarge in a frame: its crop rectangle, or the area where the mouth was found, twice as wide and high.
    fn rect(&self, frame: usize) -> Option<Rect> {
        let known = self.rects.get(frame);
        known.copied().or_else(|| {
            let found = self.sync.as_ref()?.region()?;
            let (x, y) = (found.width() as u32 / 2, found.height() as u32 / 2);
            Some(Rect {
                x0: found.x0.saturating_sub(x),
                y0: found.y0.saturating_sub(y),
                x1: (found.x1 + x).min(self.file.size.width),
                y1: (found.y1 + y).min(self.file.size.height),
            })
        })
    }
}

/// Opens the audio track; a failure becomes a warning.
fn open_audio(path: &Path, warnings: &mut Vec<String>) -> Option<AudioFile> {
    let options = ReadOptions {
        cut_off: Truncated::Allowed,
        ..ReadOptions::default()
    };
    match open_speech(&AudioSource::file(path), None, options) {
        Ok(audio) => {
            warnings.extend(audio.warnings.iter().cloned());
            Some(audio)
        }
        Err(error) => {
            warnings.push(format!("the audio track cannot be read: {error:#}"));
            None
        }
    }
}

/// Decodes all frames; if that fails after the first one, the frames before the failure are kept.
fn measure_motion(
    file: &VideoFile,
    delay: f64,
    view: View,
    warnings: &mut Vec<String>,
    cancel: &Cancel,
) -> Result<Motion> {
    let mut reader = file.frames()?;
    let mut motion = Motion::new(file.size, view);
    let (mut frame, mut luma) = (Picture::default(), Vec::new());
    loop {
        cancel.check()?;
        match reader.next(&mut frame) {
            Ok(Some(seconds)) => {
                sync::luma(&frame, &mut luma);
                motion.watch(seconds + delay, &luma);
            }
            Ok(None) => return Ok(motion),
            Err(error) if motion.times.is_empty() => return Err(error),
            Err(error) => {
                warnings.push(format!("{error:#}"));
                return Ok(motion);
            }
        }
    }
}
