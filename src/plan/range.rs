//! Which frames of the clip are rendered: all, or those of one part.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;

use super::Plan;
use crate::audio::AudioFile;
use crate::encode::clip::ClipFormat;
use crate::encode::part_tag::{AudioTag, PartTag};
use crate::encode::segment::Part;
use crate::error::Fault;
use crate::output::fingerprint::Fingerprint;
use crate::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// The frames to render, of a clip that may be longer.
#[derive(Debug, Clone)]
pub struct FrameRange {
    /// The part that they are; none if they are the whole clip.
    pub part: Option<Part>,
    /// The frames.
    pub frames: Range<u64>,
    /// The samples of each channel that are heard meanwhile: parts leave none out, and have none in common.
    pub samples: Range<u64>,
}

impl FrameRange {
    pub(super) fn of(part: Option<Part>, fps: FrameRate, sound: &AudioFile) -> Result<Self, Fault> {
        let clip_frames = fps.frames_covering(sound.frames, sound.rate);
        let frames = match part {
            Some(part) => part.frames(clip_frames)?,
            None => 0..clip_frames,
        };
        let before = |frame| fps.samples_before(FrameIndex(frame), sound.rate);
        let end = before(frames.end).min(sound.frames);
        let samples = before(frames.start)..end;
        Ok(Self {
            part,
            frames,
            samples,
        })
    }

    /// How many frames they are.
    pub fn count(&self) -> u64 {
        self.frames.end - self.frames.start
    }
}

impl Plan {
    /// Length of the sound that is rendered, in seconds.
    pub fn seconds(&self) -> f64 {
        let samples = self.range.samples.end - self.range.samples.start;
        samples as f64 / f64::from(self.sound.rate)
    }

    /// What a part says of itself; none for a whole clip. Reads all files that go into the clip.
    pub(super) fn part_tag(&self, format: &ClipFormat) -> Result<Option<PartTag>> {
        let Some(part) = self.range.part else {
            return Ok(None);
        };
        let sound = &self.sound;
        let path = std::path::absolute(sound.path()).unwrap_or_else(|_| sound.path().to_owned());
        Ok(Some(PartTag {
            version: env!("CARGO_PKG_VERSION").into(),
            part: part.index,
            of: part.of,
            first: self.range.frames.start,
            frames: self.range.count(),
            first_sample: self.range.samples.start,
            samples: self.range.samples.end - self.range.samples.start,
            clip_frames: self.frames,
            encoder: format.video.encoder.name.into(),
            fps: self.fps,
            sound: AudioTag {
                path: path.display().to_string(),
                content: Fingerprint::of_file(sound.path())?.to_string(),
                limit: self.limit,
                bits: format.sound_bits,
            },
            mark: self.mark.as_ref().map(|mark| mark.model.clone()),
            deterministic: self.hardware.deterministic,
            made_of: self.made_of()?,
        }))
    }

    /// All that makes the pictures what they are, by name.
    fn made_of(&self) -> Result<BTreeMap<String, String>> {
        let model = &self.model;
        let rects: Vec<String> = (0..self.backgrounds.count())
            .map(|index| self.backgrounds.rect(BackgroundIndex(index)).to_string())
            .collect();
        let files = [
            ("generator", Fingerprint::of_network(&model.generator)?),
            (
                "audio encoder",
                Fingerprint::of_network(&model.audio_encoder)?,
            ),
            (
                "background",
                Fingerprint::of_files(self.backgrounds.files())?,
            ),
            ("crop rectangles", Fingerprint::of_text(&rects.join("\n"))),
        ];
        let files = files.map(|(name, digest)| (name.into(), digest.to_string()));
        let shape = self.shape().into_iter();
        let shape = shape.map(|(name, value)| (name.replace('_', " "), value.to_string()));
        Ok(files.into_iter().chain(shape).collect())
    }
}
