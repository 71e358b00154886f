//! Frames and the input's own sound -> H.264 + AAC in MP4, through FFmpeg.

use std::path::Path;

use anyhow::{Context as _, Result};
use ff::format::context::Output;
use ff::{Dictionary, codec, format};
use ffmpeg_next as ff;

use super::FrameSink;
use super::sound::AudioTrack;
use super::video::VideoTrack;
use crate::audio::Sound;
use crate::error::Fault;
use crate::frame::{FrameIndex, FrameRate, Picture, Size};
use crate::output::{Part, Target};

/// What the clip is to be.
#[derive(Debug, Clone, Copy)]
pub struct Mp4Spec {
    /// Size of the frames; odd sizes are padded by one replicated row or column.
    pub size: Size,
    /// Frames a second.
    pub fps: FrameRate,
    /// Frames in the clip.
    pub frames: u64,
    /// Threads of the video encoder.
    pub threads: usize,
}

/// An MP4 that is being written.
pub struct Mp4 {
    // Before `part`, so that FFmpeg closes the file before it is moved or removed.
    muxer: Output,
    video: VideoTrack,
    audio: AudioTrack,
    spec: Mp4Spec,
    seconds: f64,
    part: Part,
}

impl Mp4 {
    /// Starts a clip at `target` with the sound of `sound`.
    pub fn create(target: Target, spec: Mp4Spec, sound: &Sound) -> Result<Self> {
        crate::ffmpeg::init()?;
        let shown = target.path.display().to_string();
        let part = target.begin()?;
        if part.path().to_str().is_none() {
            return Err(Fault::failed(format!(
                "cannot write `{shown}`: FFmpeg takes only paths in UTF-8"
            ))
            .hint("rename the folder or the file, or choose another place with -o")
            .into());
        }
        let mut muxer = format::output_as(part.path(), "mp4")
            .with_context(|| format!("cannot write `{shown}`"))?;
        let mut video = VideoTrack::add(&mut muxer, spec)?;
        let mut audio = AudioTrack::add(&mut muxer, sound, None)?;
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        muxer.write_header_with(options)?;
        // The muxer chooses its own time bases.
        if let Some(stream) = muxer.stream(video.track.stream) {
            video.track.muxer_base = stream.time_base();
        }
        audio.header_written(&muxer);
        Ok(Self {
            muxer,
            video,
            audio,
            spec,
            seconds: sound.seconds(),
            part,
        })
    }
}

impl FrameSink for Mp4 {
    fn write(&mut self, frame: &Picture) -> Result<()> {
        // Sound first, so that the muxer never holds back pictures to interleave them.
        let until = self.spec.fps.seconds(FrameIndex(self.video.next + 1));
        self.audio.write_until(&mut self.muxer, until)?;
        self.video.write(&mut self.muxer, frame)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.audio.finish(&mut self.muxer)?;
        self.video.track.finish(&mut self.muxer)?;
        self.muxer
            .write_trailer()
            .context("cannot finish the clip")?;
        let Self {
            muxer,
            part,
            spec,
            seconds,
            audio,
            ..
        } = *self;
        drop(muxer);
        verify(part.path(), spec, seconds, audio.codec_id()).map_err(|e| {
            Fault::failed("the written clip is not what it should be, so it was not kept")
                .because(e)
        })?;
        part.commit()
    }
}

/// Opens the finished file again and compares it with what was asked for.
fn verify(path: &Path, spec: Mp4Spec, seconds: f64, sound: codec::Id) -> Result<()> {
    let input = format::input(path).context("it cannot be opened again")?;
    let find = |medium, id: codec::Id| {
        let stream = input.streams().best(medium);
        stream
            .filter(|s| s.parameters().id() == id)
            .with_context(|| format!("it has no {} stream", id.name()))
    };
    let video = find(ff::media::Type::Video, codec::Id::H264)?;
    let audio = find(ff::media::Type::Audio, sound)?;
    anyhow::ensure!(
        video.frames() == spec.frames as i64,
        "it has {} frames instead of {}",
        video.frames(),
        spec.frames
    );
    for (stream, what) in [(video, "picture"), (audio, "sound")] {
        let lasts = stream.duration() as f64 * f64::from(stream.time_base());
        anyhow::ensure!(
            (lasts - seconds).abs() <= 1.0 / spec.fps.as_f64() + 1e-3,
            "its {what} lasts {lasts:.3} s instead of {seconds:.3} s"
        );
    }
    Ok(())
}
