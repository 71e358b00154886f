//! A plan as the encoder and the caches need it: the clip's format, its settings by name, and the tag of a part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::Plan;
use super::setting::name_of;
use crate::encode::clip::{ClipFormat, ClipSpec};
use crate::encode::part_tag::{AudioTag, PartTag};
use crate::inference::external::files_of_network;
use crate::output::fingerprint::Fingerprint;
use crate::timeline::BackgroundIndex;

impl Plan {
    /// What the encoder needs to know to write a clip in `format`.
    pub fn clip_spec(&self, format: ClipFormat) -> Result<ClipSpec> {
        Ok(ClipSpec {
            size: self.backgrounds.size(),
            fps: self.fps,
            frames: self.range.count(),
            part: self.part_tag(&format)?,
            format,
            threads: self.hardware.threads,
            deterministic: self.hardware.deterministic,
            mark: self.mark.clone(),
            #[cfg(feature = "credentials")]
            signer: self.signer.clone(),
        })
    }

    /// The settings that change the clip, named like the flags, with underscores.
    pub fn clip_settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = vec![
            ("order", name_of(&self.order).into()),
            ("start_frame", self.start.0.into()),
            ("fps", self.fps.to_string().into()),
            ("paste", name_of(&self.paste).into()),
            ("silence", name_of(&self.silence).into()),
            ("precision", name_of(&self.precision).into()),
        ];
        if self.sound.tracks.len() > 1 {
            settings.push(("audio_track", self.sound.track.into()));
        }
        if self.sound.is_truncated() {
            settings.push(("allow_truncated", json!(true)));
        }
        if let Some(format) = &self.format {
            let video = &format.video;
            settings.push(("codec", video.encoder.name.into()));
            settings.extend(video.crf.map(|crf| ("crf", crf.into())));
            let preset = video.preset.as_deref();
            settings.extend(preset.map(|preset| ("preset", preset.into())));
            let kilobits = format.audio_bitrate.map(|bits| bits / 1000);
            settings.extend(kilobits.map(|kilobits| ("audio_bitrate", kilobits.into())));
        }
        if self.mark.is_none() {
            settings.push(("no_mark", json!(true)));
        }
        settings
    }

    /// The tag that a part carries, so that parts can be joined; none for a whole clip. Reads all files that go into the clip.
    fn part_tag(&self, format: &ClipFormat) -> Result<Option<PartTag>> {
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
                track: (sound.tracks.len() > 1).then_some(sound.track),
                bits: format.audio_bitrate,
            },
            mark: self.mark.as_ref().map(|mark| mark.model.clone()),
            deterministic: self.hardware.deterministic,
            made_of: self.made_of()?,
        }))
    }

    /// Everything that determines the pictures, by name: parts can be joined only if all of it is the same.
    fn made_of(&self) -> Result<BTreeMap<String, String>> {
        let model = &self.model;
        let rects: Vec<String> = (0..self.backgrounds.count())
            .map(|index| self.backgrounds.rect(BackgroundIndex(index)).to_string())
            .collect();
        let network =
            |path| Fingerprint::of_files(files_of_network(path)?.iter().map(PathBuf::as_path));
        let files = [
            ("generator", network(&model.generator)?),
            ("audio encoder", network(&model.audio_encoder)?),
            (
                "background",
                Fingerprint::of_files(self.backgrounds.files())?,
            ),
            ("crop rectangles", Fingerprint::of_text(&rects.join("\n"))),
        ];
        let files = files.map(|(name, digest)| (name.into(), digest.to_string()));
        let settings = self.clip_settings().into_iter();
        let settings = settings.map(|(name, value)| (name.replace('_', " "), value.to_string()));
        Ok(files.into_iter().chain(settings).collect())
    }
}
