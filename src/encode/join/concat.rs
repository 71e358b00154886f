//! Writes the clip that parts belong to.

use anyhow::Result;
use ff::codec::Parameters;
use ff::format::context::Output;
use ff::{Packet, Rational, Rescale, codec, encoder};
use ffmpeg_next as ff;

use super::part_file::PartFile;
use super::parts::Parts;
use crate::audio::AudioFile;
use crate::cancel::Cancel;
use crate::encode::audio::AudioTrack;
use crate::encode::container::Container;
#[cfg(feature = "credentials")]
use crate::encode::credentials::Signer;
use crate::encode::mark::Mark;
use crate::encode::muxer::{Muxer, MuxerSpec};
use crate::encode::spec::ClipAudio;
use crate::encode::track::{plain, set_codec_tag};
use crate::output::Target;
use crate::timeline::{FrameIndex, FrameRate};

/// Where a joined clip goes, and what it holds besides the parts' video.
pub(crate) struct JoinSpec<'a> {
    /// Where to write it.
    pub target: Target,
    /// Its container.
    pub container: Container,
    /// The audio of the whole clip.
    pub sound: &'a AudioFile,
    /// Signs it, if given.
    #[cfg(feature = "credentials")]
    pub signer: Option<Signer>,
}

/// Writes the clip, and returns how its audio is written. `progress` gets the number of frames written so far.
pub(crate) fn join(
    parts: Parts,
    spec: JoinSpec<'_>,
    cancel: &Cancel,
    mut progress: impl FnMut(u64),
) -> Result<ClipAudio> {
    let tag = parts.tag().clone();
    let base = Rational(tag.fps.den as i32, tag.fps.num as i32);
    let parameters = parts.0[0].parameters()?;
    let codec_id = parameters.id();
    let mut muxer = Muxer::open(
        spec.target,
        MuxerSpec {
            container: spec.container,
            fps: tag.fps,
            frames: tag.clip_frames,
            seconds: spec.sound.seconds(),
            deterministic: tag.deterministic,
            mark: tag.mark.clone().map(|model| Mark { model }),
            part: None,
            #[cfg(feature = "credentials")]
            signer: spec.signer,
        },
    )?;
    let video = add_video(&mut muxer.output, parameters, base, spec.container)?;
    let mut audio = AudioTrack::add(
        &mut muxer.output,
        spec.container,
        spec.sound,
        tag.sound.bits,
    )?;
    muxer.begin()?;
    audio.header_written(&muxer.output);
    let mut clip = JoinedClip {
        fps: tag.fps,
        base,
        muxer_base: muxer.output.stream(video).map_or(base, |s| s.time_base()),
        muxer,
        video,
        audio,
        frames: 0,
    };
    for part in parts.0 {
        clip.append(part, cancel, &mut progress)?;
    }
    clip.complete(codec_id)
}

/// The clip while it is written.
struct JoinedClip {
    muxer: Muxer,
    /// Index of the video stream.
    video: usize,
    audio: AudioTrack,
    fps: FrameRate,
    /// Time base of the frames.
    base: Rational,
    /// Time base of the video packets in the file.
    muxer_base: Rational,
    /// Frames written so far.
    frames: u64,
}

impl JoinedClip {
    /// Copies the video packets of a part, and writes the audio up to their end.
    fn append(
        &mut self,
        mut part: PartFile,
        cancel: &Cancel,
        progress: &mut impl FnMut(u64),
    ) -> Result<()> {
        let (base, muxer_base) = (self.base, self.muxer_base);
        let (part_base, first) = (part.base, part.tag.first as i64);
        let in_clip = |time: i64| (time.rescale(part_base, base) + first).rescale(base, muxer_base);
        let mut packet = Packet::empty();
        while part.next(&mut packet)? {
            cancel.check()?;
            self.frames += 1;
            let end = self.fps.seconds(FrameIndex(self.frames));
            self.audio
                .write_until(&mut self.muxer.output, end)
                .map_err(|e| self.muxer.explained(e))?;
            packet.set_stream(self.video);
            packet.set_pts(packet.pts().map(in_clip));
            packet.set_dts(packet.dts().map(in_clip));
            packet.set_duration(1.rescale(base, muxer_base));
            packet.set_position(-1);
            packet
                .write_interleaved(&mut self.muxer.output)
                .map_err(|e| self.muxer.explained(plain(e).into()))?;
            progress(self.frames);
        }
        let end = part.tag.first + part.tag.frames;
        if self.frames != end {
            let frames = part.tag.frames + self.frames - end;
            let why = format!("it has {frames} frames instead of {}", part.tag.frames);
            return Err(part.damaged(&why).into());
        }
        Ok(())
    }

    fn complete(mut self, video: codec::Id) -> Result<ClipAudio> {
        self.audio
            .finish(&mut self.muxer.output)
            .map_err(|e| self.muxer.explained(e))?;
        let description = self.audio.description();
        if let Some(staged) = self.muxer.complete(video, self.audio.codec_id())? {
            staged.commit()?;
        }
        Ok(description)
    }
}

/// Gives the clip its video stream, with the decoder's parameters of the parts.
#[expect(unsafe_code, reason = "the crate has no setters for these parameters")]
fn add_video(
    output: &mut Output,
    mut parameters: Parameters,
    base: Rational,
    container: Container,
) -> Result<usize> {
    let id = parameters.id();
    // SAFETY: the parameters are owned and not null, and these fields are plain numbers.
    unsafe {
        let parameters = &mut *parameters.as_mut_ptr();
        // Containers name codecs differently; only for ProRes the tag says more than the codec does.
        if id != codec::Id::PRORES {
            parameters.codec_tag = 0;
        }
        // FFmpeg has found these in the first part; a whole render does not set them.
        parameters.bit_rate = 0;
        parameters.field_order = ff::ffi::AVFieldOrder::AV_FIELD_UNKNOWN;
        parameters.chroma_location = ff::ffi::AVChromaLocation::AVCHROMA_LOC_UNSPECIFIED;
    }
    let mut stream = output.add_stream(encoder::find(codec::Id::None))?;
    stream.set_parameters(parameters);
    stream.set_time_base(base);
    stream.set_avg_frame_rate(base.invert());
    set_codec_tag(&stream, id, container);
    Ok(stream.index())
}
