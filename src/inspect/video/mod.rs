//! A video: what its streams are, whether it says that it is synthetic, and whether mouth and sound agree.

mod picture;

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use serde::Serialize;

use super::audio::stream_words;
use super::media::{Media, VideoStream};
use super::{Row, counted, listed};
use crate::audio::AudioFile;
use crate::background::video::VideoFile;
use crate::cancel::Cancel;
use crate::image::{Picture, Rect};
use crate::sync::{self, Loudness, Making, Motion, Sync, View};

/// A picture that stands still for longer, in seconds, is a fault.
const FROZEN: f64 = 1.0;

/// What was found in a video.
#[derive(Debug, Serialize)]
pub(crate) struct VideoSurvey {
    /// The container and its streams.
    #[serde(flatten)]
    pub media: Media,
    /// Frames that were decoded.
    pub frames: usize,
    /// What says that the pictures are made by a machine; none where nothing does.
    pub mark: Option<String>,
    /// How far apart mouth and sound are; none without sound or without motion.
    pub sync: Option<Sync>,
    #[serde(skip)]
    file: VideoFile,
    #[serde(skip)]
    loudness: Option<Loudness>,
    /// When each frame is shown, in seconds from the start of the sound or of the pictures, whichever is first.
    #[serde(skip)]
    times: Vec<f64>,
    /// The rectangle of each frame; empty where none are known.
    #[serde(skip)]
    rects: Vec<Rect>,
}

impl VideoSurvey {
    pub(super) fn of(
        path: &Path,
        media: Media,
        making: &Making,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let file = VideoFile::open(path)?;
        let view = View::of(path, file.size, making, warnings, cancel)?;
        let sound = match &media.audio {
            Some(_) => open_sound(path, warnings),
            None => None,
        };
        let motion = watch(&file, media.picture_delay(), view, warnings, cancel)?;
        warnings.extend(motion.doubt());
        let loudness = sound
            .as_ref()
            .map(|sound| Loudness::of(sound, cancel))
            .transpose()?;
        let sync = loudness
            .as_ref()
            .and_then(|loudness| Sync::of(&motion, loudness));
        let survey = Self {
            frames: motion.times.len(),
            mark: media.mark().map(str::to_owned),
            sync,
            file,
            loudness,
            rects: motion.rects.clone(),
            times: motion.times.clone(),
            media,
        };
        survey.judge(&motion, warnings);
        Ok(survey)
    }

    fn judge(&self, motion: &Motion, warnings: &mut Vec<String>) {
        let Some(video) = &self.media.video else {
            return;
        };
        if let Some(stated) = video.stated_frames.filter(|n| *n != self.frames as u64) {
            warnings.push(format!(
                "the container states {stated} frames, {} can be decoded",
                self.frames
            ));
        }
        match &self.media.audio {
            None => warnings.push("there is no sound".into()),
            Some(audio) => {
                let lengths = audio.seconds.zip(video.seconds);
                let apart = lengths.map_or(0.0, |(sound, picture)| {
                    sound + audio.start - picture - video.start
                });
                if apart.abs() > 1.5 / video.fps.max(1.0) {
                    let longer = if apart > 0.0 { "sound" } else { "picture" };
                    warnings.push(format!(
                        "the {longer} ends {:.2} s after the rest",
                        apart.abs()
                    ));
                }
            }
        }
        if motion.has_uneven_steps() {
            warnings.push("the frames are not evenly spaced (variable frame rate)".into());
        }
        if video.matrix.is_none() || video.range.is_none() {
            warnings.push(
                "the colour matrix or range is not stated: players guess, and colours may shift"
                    .into(),
            );
        }
        if video.pix_fmt.contains("420") && (video.width % 2 == 1 || video.height % 2 == 1) {
            warnings.push(format!(
                "{}x{} is odd: many players cannot show it",
                video.width, video.height
            ));
        }
        let frozen = motion.frozen(FROZEN);
        if !frozen.is_empty() {
            let stretches = frozen
                .iter()
                .map(|r| format!("{:.2}-{:.2}", r.start, r.end));
            warnings.push(format!(
                "the picture stands still, in seconds: {}",
                listed(stretches)
            ));
        }
        if let Some(sync) = self.sync.as_ref().filter(|sync| sync.is_off()) {
            warnings.push(sync.verdict());
        }
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = vec![(
            "container",
            match self.media.seconds {
                Some(seconds) => format!("{}, {seconds:.3} s", self.media.container),
                None => self.media.container.clone(),
            },
        )];
        if let Some(video) = &self.media.video {
            rows.push((
                "picture",
                format!(
                    "{}, {}x{}, {} fps, {}, {}",
                    video.codec,
                    video.width,
                    video.height,
                    video.fps,
                    video.pix_fmt,
                    counted(self.frames, "frame")
                ),
            ));
            rows.push(("colour", colour_words(video)));
        }
        rows.push((
            "sound",
            self.media.audio.as_ref().map_or_else(
                || "none".into(),
                |audio| match audio.seconds {
                    Some(seconds) => format!("{}, {seconds:.3} s", stream_words(audio)),
                    None => stream_words(audio),
                },
            ),
        ));
        rows.push((
            "mark",
            match &self.mark {
                Some(_) => "says that it is AI-generated".into(),
                None => "none: nothing says that it is AI-generated".into(),
            },
        ));
        rows.push((
            "sync",
            match &self.sync {
                Some(sync) => format!("{} ({})", sync.verdict(), sync.numbers()),
                None => "not looked at: it needs sound and a second of moving pictures".into(),
            },
        ));
        rows
    }

    pub(super) fn draw(
        &self,
        path: &str,
        warnings: &[String],
        cancel: &Cancel,
    ) -> Result<RgbImage> {
        picture::draw(self, path, warnings, cancel)
    }

    /// What is worth enlarging in a frame: its rectangle, or the area that was found with as much again around it.
    fn rect(&self, frame: usize) -> Option<Rect> {
        let given = self.rects.get(frame);
        given.copied().or_else(|| {
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

/// The sound; that it cannot be read is a finding, not the end.
fn open_sound(path: &Path, warnings: &mut Vec<String>) -> Option<AudioFile> {
    match AudioFile::open(path, None) {
        Ok(sound) => Some(sound),
        Err(error) => {
            warnings.push(format!("the sound cannot be read: {error:#}"));
            None
        }
    }
}

/// Decodes all pictures; where that fails on the way, what came before is kept.
fn watch(
    file: &VideoFile,
    late: f64,
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
                motion.watch(seconds + late, &luma);
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

fn colour_words(video: &VideoStream) -> String {
    let or_not = |name: &Option<String>| name.clone().unwrap_or_else(|| "not stated".into());
    format!(
        "primaries {}, transfer {}, matrix {}, range {}",
        or_not(&video.primaries),
        or_not(&video.transfer),
        or_not(&video.matrix),
        or_not(&video.range)
    )
}
