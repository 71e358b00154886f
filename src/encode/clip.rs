//! Frames and the input's own sound -> a clip file or a stream, through FFmpeg.

use anyhow::Result;
use serde::Serialize;

use super::FrameSink;
use super::audio::AudioTrack;
use super::codec::VideoSettings;
use super::container::Container;
use super::mark::Mark;
use super::package::{Package, PackageSpec};
use super::part_tag::PartTag;
use super::video::VideoTrack;
use crate::audio::AudioFile;
use crate::background::FrameFormats;
use crate::encode::composed::ComposedFrame;
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
use crate::image::Size;
use crate::output::{StagedOutput, Target};
use crate::timeline::{FrameIndex, FrameRate};

/// Threads of the video encoder where the bytes may not depend on the machine's cores.
const FIXED_THREADS: usize = 4;

/// How a clip is compressed and packed.
#[derive(Debug, Clone)]
pub struct ClipFormat {
    /// The kind of file.
    pub container: Container,
    /// The video encoder and its settings.
    pub video: VideoSettings,
    /// Bits a second for the sound; the usual number if none.
    pub sound_bits: Option<usize>,
}

/// What the clip is to be.
#[derive(Debug, Clone)]
pub struct ClipSpec {
    /// Size of the frames. Where the encoder takes only even sizes, an odd one gets its last row or column twice.
    pub size: Size,
    /// Frames a second.
    pub fps: FrameRate,
    /// Frames in the clip, or in the part of it.
    pub frames: u64,
    /// Compression and container.
    pub format: ClipFormat,
    /// Threads of the video encoder.
    pub threads: usize,
    /// Whether the bytes must not depend on `threads`, nor on chance: the encoder then has its own number of threads.
    pub deterministic: bool,
    /// The mark to put in; none leaves it out.
    pub mark: Option<Mark>,
    /// Of which clip it is a part, if it is one: it then has its slice of the sound, with nothing lost. Only an MP4 or MOV
    /// file can be a part.
    pub part: Option<PartTag>,
    /// Who signs the finished clip. Only an MP4 or MOV file with a mark can be signed.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
}

impl ClipSpec {
    /// Threads that the video encoder gets.
    pub(super) fn encoder_threads(&self) -> usize {
        if self.deterministic {
            FIXED_THREADS
        } else {
            self.threads
        }
    }
}

/// How a clip's sound is written.
#[derive(Debug, Clone, Serialize)]
pub struct ClipAudio {
    /// FFmpeg's name of the codec.
    pub codec: &'static str,
    /// Whether the input's own packets are taken.
    pub copied: bool,
}

/// A clip that is being written.
pub struct ClipFile {
    package: Package,
    video: VideoTrack,
    audio: AudioTrack,
    spec: ClipSpec,
}

impl ClipFile {
    /// Starts a clip at `target` with the sound of `sound`.
    pub fn create(target: Target, spec: ClipSpec, sound: &AudioFile) -> Result<Self> {
        let part = spec.part.as_ref();
        let samples = part.map_or(sound.frames, |part| part.samples);
        let mut package = Package::open(
            target,
            PackageSpec {
                container: spec.format.container,
                fps: spec.fps,
                frames: spec.frames,
                seconds: samples as f64 / f64::from(sound.rate),
                deterministic: spec.deterministic,
                mark: spec.mark.clone(),
                part: spec.part.clone(),
                #[cfg(feature = "credentials")]
                signer: spec.signer.clone(),
            },
        )?;
        let muxer = &mut package.muxer;
        let mut video = VideoTrack::add(muxer, &spec)?;
        let mut audio = match part {
            None => AudioTrack::add(muxer, sound, spec.format.sound_bits)?,
            Some(part) => {
                let end = part.first_sample + part.samples;
                AudioTrack::add_slice(muxer, sound, part.first_sample..end)?
            }
        };
        package.begin()?;
        video.track.header_written(&package.muxer);
        audio.header_written(&package.muxer);
        Ok(Self {
            package,
            video,
            audio,
            spec,
        })
    }

    /// How the sound is written.
    pub fn sound(&self) -> ClipAudio {
        self.audio.told()
    }

    /// Encodes the sound until `seconds`, so that the muxer never holds back pictures to interleave them, and a frame.
    fn encode(&mut self, frame: &ComposedFrame) -> Result<()> {
        let until = self.spec.fps.seconds(FrameIndex(self.video.next + 1));
        self.audio.write_until(&mut self.package.muxer, until)?;
        self.video.write(&mut self.package.muxer, frame)
    }

    /// Encodes what is left.
    fn encode_rest(&mut self) -> Result<()> {
        self.audio.finish(&mut self.package.muxer)?;
        self.video.finish(&mut self.package.muxer)
    }
}

impl FrameSink for ClipFile {
    fn forms(&self) -> FrameFormats {
        self.spec.format.video.encoder.forms()
    }

    fn write(&mut self, frame: &ComposedFrame) -> Result<()> {
        self.encode(frame).map_err(|e| self.package.explained(e))
    }

    fn complete(mut self: Box<Self>) -> Result<Option<StagedOutput>> {
        self.encode_rest().map_err(|e| self.package.explained(e))?;
        let (video, sound) = (self.spec.format.video.encoder.id, self.audio.codec_id());
        let Self { package, .. } = *self;
        package.complete(video, sound)
    }
}
