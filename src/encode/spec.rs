//! What a clip is to be, as [`ClipFile`](super::ClipFile) takes it, and how its audio came out.

use anyhow::Result;
use serde::Serialize;

use super::codec::VideoSettings;
use super::container::Container;
#[cfg(feature = "credentials")]
use super::credentials::Signer;
use super::mark::Mark;
use super::part_tag::PartTag;
use crate::audio::AudioFile;
use crate::image::Size;
use crate::timeline::FrameRate;

/// Threads of the video encoder for output that must not depend on the machine's cores.
const FIXED_THREADS: usize = 4;

/// How a clip is compressed, and its container.
#[derive(Debug, Clone)]
pub struct ClipFormat {
    /// The kind of file.
    pub container: Container,
    /// The video encoder and its settings.
    pub video: VideoSettings,
    /// Bits per second for the audio; none for the default.
    pub audio_bitrate: Option<usize>,
}

impl ClipFormat {
    /// How a clip or a part of one has the audio of `audio`.
    pub(crate) fn sound(&self, audio: &AudioFile, is_part: bool) -> Result<ClipAudio> {
        let codec = if is_part {
            self.container.lossless_audio_codec()
        } else {
            self.container.audio_codec()
        };
        let copied = if is_part || self.audio_bitrate.is_some() {
            None
        } else {
            self.container.copyable(audio)?
        };
        Ok(ClipAudio {
            codec: copied.as_ref().map_or(codec.id(), |(id, _)| *id).name(),
            copied: copied.is_some(),
        })
    }
}

/// Everything that describes a clip, except its frames and audio.
#[derive(Debug, Clone)]
pub struct ClipSpec {
    /// Size of the frames. If the encoder requires even sizes, the last row or column of an odd size is repeated.
    pub size: Size,
    /// Frames per second.
    pub fps: FrameRate,
    /// Frames in the clip, or in this part of it.
    pub frames: u64,
    /// Compression and container.
    pub format: ClipFormat,
    /// Threads of the video encoder.
    pub threads: usize,
    /// Whether the bytes must be the same on every run and for any `threads`: the encoder then gets a fixed number of threads.
    pub deterministic: bool,
    /// The mark to write, if any.
    pub mark: Option<Mark>,
    /// If this is a part of a clip, which one: its slice of the audio is then stored lossless. Only MP4 and MOV files can be
    /// parts.
    pub part: Option<PartTag>,
    /// Signs the finished clip, if given. Only MP4 and MOV files with a mark can be signed.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
}

impl ClipSpec {
    /// Threads of the video encoder.
    pub(super) fn encoder_threads(&self) -> usize {
        if self.deterministic {
            FIXED_THREADS
        } else {
            self.threads
        }
    }
}

/// How a clip's audio is written.
#[derive(Debug, Clone, Serialize)]
pub struct ClipAudio {
    /// FFmpeg's name of the codec.
    pub codec: &'static str,
    /// Whether the input's packets are copied.
    pub copied: bool,
}
