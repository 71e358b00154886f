//! What a part of a clip says of itself, for those who join it to the others.

use std::collections::BTreeMap;

use anyhow::Result;
use ff::{Dictionary, DictionaryRef};
use ffmpeg_next as ff;
use serde::{Deserialize, Serialize};

use crate::encode::segment::Part;
use crate::timeline::FrameRate;

/// The file's tag that holds it, as JSON.
const KEY: &str = "lipsync_part";

/// A part, and the clip that it is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartTag {
    /// The version of lipsync that rendered it.
    pub version: String,
    /// Which part, from 0 ..
    pub part: u64,
    /// .. of how many.
    pub of: u64,
    /// The clip's frame that is its first.
    pub first: u64,
    /// Its frames.
    pub frames: u64,
    /// The sound's sample (of each channel) that is its first.
    pub first_sample: u64,
    /// Its samples of each channel.
    pub samples: u64,
    /// Frames of the whole clip.
    pub clip_frames: u64,
    /// FFmpeg's name of the video encoder.
    pub encoder: String,
    /// Frames a second, exactly.
    pub fps: FrameRate,
    /// The whole clip's sound.
    pub sound: AudioTag,
    /// The model in the clip's mark; none if it has no mark.
    pub mark: Option<String>,
    /// Whether the bytes are the same on every run.
    pub deterministic: bool,
    /// All that makes the pictures what they are, by name: settings as they are written, files by what they hold.
    pub made_of: BTreeMap<String, String>,
}

/// The sound that a clip has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioTag {
    /// Its file when the part was rendered.
    pub path: String,
    /// What the file holds, see [`Fingerprint`](crate::output::fingerprint::Fingerprint).
    pub content: String,
    /// Seconds of it that are taken, if not all.
    pub limit: Option<f64>,
    /// Bits a second that it is to be encoded at, if that was asked for.
    pub bits: Option<usize>,
}

impl PartTag {
    /// Its place among the parts.
    pub fn place(&self) -> Part {
        Part {
            index: self.part,
            of: self.of,
        }
    }

    /// Puts it among the tags of a file.
    pub(super) fn write(&self, tags: &mut Dictionary<'_>) -> Result<()> {
        tags.set(KEY, &serde_json::to_string(self)?);
        Ok(())
    }

    /// Finds it among the tags of a file; none if there is none that this version understands.
    pub(super) fn read(tags: &DictionaryRef<'_>) -> Option<Self> {
        serde_json::from_str(tags.get(KEY)?).ok()
    }
}
