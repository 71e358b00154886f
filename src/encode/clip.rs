//! Frames and the input's audio -> a clip, as a file or a stream.

use anyhow::Result;

use super::audio::AudioTrack;
use super::composed::ComposedFrame;
use super::muxer::{Muxer, MuxerSpec};
use super::sink::FrameSink;
pub(crate) use super::spec::{ClipAudio, ClipFormat, ClipSpec};
use super::video::VideoTrack;
use crate::audio::AudioFile;
use crate::background::FrameFormats;
use crate::output::{StagedOutput, Target};
use crate::timeline::FrameIndex;

/// A clip that is being written.
pub struct ClipFile {
    muxer: Muxer,
    video: VideoTrack,
    audio: AudioTrack,
    spec: ClipSpec,
}

impl ClipFile {
    /// Starts a clip at `target` with the audio of `audio`.
    pub fn create(target: Target, spec: ClipSpec, audio: &AudioFile) -> Result<Self> {
        let part = spec.part.as_ref();
        let samples = part.map_or(audio.frames, |part| part.samples);
        let mut muxer = Muxer::open(
            target,
            MuxerSpec {
                container: spec.format.container,
                fps: spec.fps,
                frames: spec.frames,
                seconds: samples as f64 / f64::from(audio.rate),
                deterministic: spec.deterministic,
                mark: spec.mark.clone(),
                part: spec.part.clone(),
                #[cfg(feature = "credentials")]
                signer: spec.signer.clone(),
            },
        )?;
        let container = spec.format.container;
        let output = &mut muxer.output;
        let mut video = VideoTrack::add(output, &spec)?;
        let mut audio = match part {
            None => AudioTrack::add(output, container, audio, spec.format.audio_bitrate)?,
            Some(part) => {
                let end = part.first_sample + part.samples;
                AudioTrack::add_slice(output, container, audio, part.first_sample..end)?
            }
        };
        muxer.begin()?;
        video.track.header_written(&muxer.output);
        audio.header_written(&muxer.output);
        Ok(Self {
            muxer,
            video,
            audio,
            spec,
        })
    }

    /// How the audio is written.
    pub fn sound(&self) -> ClipAudio {
        self.audio.description()
    }

    /// Encodes a frame, and before it the audio up to its end: the muxer then never holds back frames to interleave them.
    fn encode(&mut self, frame: &ComposedFrame) -> Result<()> {
        let until = self.spec.fps.seconds(FrameIndex(self.video.next + 1));
        self.audio.write_until(&mut self.muxer.output, until)?;
        self.video.write(&mut self.muxer.output, frame)
    }

    /// Encodes the rest.
    fn encode_rest(&mut self) -> Result<()> {
        self.audio.finish(&mut self.muxer.output)?;
        self.video.finish(&mut self.muxer.output)
    }
}

impl FrameSink for ClipFile {
    fn forms(&self) -> FrameFormats {
        self.spec.format.video.encoder.forms()
    }

    fn write(&mut self, frame: &ComposedFrame) -> Result<()> {
        self.encode(frame).map_err(|e| self.muxer.explained(e))
    }

    fn complete(mut self: Box<Self>) -> Result<Option<StagedOutput>> {
        self.encode_rest().map_err(|e| self.muxer.explained(e))?;
        let (video, audio) = (self.spec.format.video.encoder.id, self.audio.codec_id());
        let Self { muxer, .. } = *self;
        muxer.complete(video, audio)
    }
}
