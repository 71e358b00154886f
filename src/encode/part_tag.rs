//! The tag in a part of a clip that says which part it is: `join` reads it.

use std::collections::BTreeMap;

use anyhow::Result;
use ff::{Dictionary, DictionaryRef};
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::encode::segment::Part;
use crate::timeline::FrameRate;

/// Name of the file's metadata tag that holds it as JSON.
const KEY: &str = "lipsync_part";

/// A part, and the clip that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartTag {
    /// The version of lipsync that rendered it.
    pub version: String,
    /// Which part, from 0.
    pub part: u64,
    /// How many parts the clip has.
    pub of: u64,
    /// Its first frame, counted in the clip from 0.
    pub first: u64,
    /// How many frames it has.
    pub frames: u64,
    /// Its first audio sample per channel, counted in the clip from 0.
    pub first_sample: u64,
    /// How many samples per channel it has.
    pub samples: u64,
    /// How many frames the whole clip has.
    pub clip_frames: u64,
    /// FFmpeg's name of the video encoder.
    pub encoder: String,
    /// Frames per second, exact.
    pub fps: FrameRate,
    /// The audio of the whole clip.
    pub sound: AudioTag,
    /// The model in the clip's mark; none if it has no mark.
    pub mark: Option<String>,
    /// Whether the bytes are the same on every run.
    pub deterministic: bool,
    /// Everything the frames depend on, by name: settings as text, files as fingerprints.
    pub made_of: BTreeMap<String, String>,
}

/// The audio of a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioTag {
    /// Path of the file when the part was rendered.
    pub path: String,
    /// Fingerprint of the file, see [`Fingerprint`](crate::output::fingerprint::Fingerprint).
    pub content: String,
    /// How many seconds of it are used, if not all.
    pub limit: Option<f64>,
    /// Which of its audio tracks, from 0, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<usize>,
    /// The bitrate that was asked for, in bit/s.
    pub bits: Option<usize>,
}

impl PartTag {
    /// Which part it is.
    pub fn place(&self) -> Part {
        Part {
            index: self.part,
            of: self.of,
        }
    }

    /// Adds it to the tags of a file.
    pub(super) fn write(&self, tags: &mut Dictionary<'_>) -> Result<()> {
        tags.set(KEY, &serde_json::to_string(self)?);
        Ok(())
    }

    /// Reads it from the tags of a file; none if it is missing or this version does not understand it.
    pub(super) fn read(tags: &DictionaryRef<'_>) -> Option<Self> {
        serde_json::from_str(tags.get(KEY)?).ok()
    }
}
