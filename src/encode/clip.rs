//! Frames and the input's own sound -> a clip file or a stream, through FFmpeg.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use ff::format::context::{Input, Output};
use ff::{Dictionary, codec, format};
use ffmpeg_next as ff;
use serde::Serialize;

use super::FrameSink;
use super::codec::VideoSettings;
use super::container::Container;
use super::mark::Mark;
#[cfg(feature = "credentials")]
use super::mark::SOURCE_TYPE;
use super::sound::AudioTrack;
use super::track::plain;
use super::video::VideoTrack;
use crate::audio::Sound;
use crate::background::Forms;
use crate::composed::Composed;
#[cfg(feature = "credentials")]
use crate::credentials::{Signer, Statement};
use crate::error::Fault;
use crate::frame::{FrameIndex, FrameRate, Size};
use crate::output::{Kind, Part, Target};

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
    /// Frames in the clip.
    pub frames: u64,
    /// Compression and container.
    pub format: ClipFormat,
    /// Threads of the video encoder.
    pub threads: usize,
    /// Whether the bytes must not depend on `threads`, nor on chance: the encoder then has its own number of threads.
    pub deterministic: bool,
    /// The mark to put in; none leaves it out.
    pub mark: Option<Mark>,
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
pub struct ClipSound {
    /// FFmpeg's name of the codec.
    pub codec: &'static str,
    /// Whether the input's own packets are taken.
    pub copied: bool,
}

/// A clip that is being written.
pub struct ClipFile {
    // Before `part`, so that FFmpeg closes the file before it is moved or removed.
    muxer: Output,
    video: VideoTrack,
    audio: AudioTrack,
    spec: ClipSpec,
    seconds: f64,
    target: Target,
    /// None if the clip goes to stdout.
    part: Option<Part>,
}

impl ClipFile {
    /// Starts a clip at `target` with the sound of `sound`.
    pub fn create(target: Target, spec: ClipSpec, sound: &Sound) -> Result<Self> {
        crate::ffmpeg::init()?;
        let part = match target.kind {
            Kind::Stdout => None,
            Kind::File | Kind::Frames | Kind::Pictures => Some(target.clone().begin()?),
        };
        let path = part.as_ref().map_or(Path::new("pipe:1"), Part::path);
        if path.to_str().is_none() {
            return Err(Fault::failed(format!(
                "cannot write {target}: FFmpeg takes only paths in UTF-8"
            ))
            .hint("rename the folder or the file, or choose another place with -o")
            .into());
        }
        let mut muxer = format::output_as(path, spec.format.container.muxer())
            .map_err(|e| target.cannot_write(&plain(e)))?;
        let video = VideoTrack::add(&mut muxer, &spec)?;
        let audio = AudioTrack::add(&mut muxer, sound, spec.format.sound_bits)?;
        let mut clip = Self {
            muxer,
            video,
            audio,
            spec,
            seconds: sound.seconds(),
            target,
            part,
        };
        clip.begin().map_err(|e| clip.explained(e))?;
        Ok(clip)
    }

    /// How the sound is written.
    pub fn sound(&self) -> ClipSound {
        ClipSound {
            codec: self.audio.codec_id().name(),
            copied: self.audio.is_copied(),
        }
    }

    /// Writes what stands before the packets.
    fn begin(&mut self) -> Result<()> {
        let options = self.spec.format.container.options();
        let mut options: Dictionary = options.iter().copied().collect();
        if self.spec.deterministic {
            // No version of FFmpeg, no random number in Matroska.
            options.set("fflags", "+bitexact");
        }
        if let Some(mark) = &self.spec.mark {
            self.muxer.set_metadata(mark.tags());
        }
        self.muxer.write_header_with(options).map_err(plain)?;
        // The muxer chooses its own time bases.
        if let Some(stream) = self.muxer.stream(self.video.track.stream) {
            self.video.track.muxer_base = stream.time_base();
        }
        self.audio.header_written(&self.muxer);
        Ok(())
    }

    /// Encodes the sound until `seconds`, so that the muxer never holds back pictures to interleave them, and a frame.
    fn encode(&mut self, frame: &Composed) -> Result<()> {
        let until = self.spec.fps.seconds(FrameIndex(self.video.next + 1));
        self.audio.write_until(&mut self.muxer, until)?;
        self.video.write(&mut self.muxer, frame)
    }

    /// Encodes what is left and writes what stands behind the packets.
    fn write_end(&mut self) -> Result<()> {
        self.audio.finish(&mut self.muxer)?;
        self.video.finish(&mut self.muxer)?;
        Ok(self.muxer.write_trailer().map_err(plain)?)
    }

    /// A failed write with the name of what could not be written; any other error as it is.
    fn explained(&self, error: Error) -> Error {
        explained(error, &self.target, self.part.as_ref())
    }
}

impl FrameSink for ClipFile {
    fn forms(&self) -> Forms {
        self.spec.format.video.encoder.forms()
    }

    fn write(&mut self, frame: &Composed) -> Result<()> {
        self.encode(frame).map_err(|e| self.explained(e))
    }

    fn complete(mut self: Box<Self>) -> Result<Option<Part>> {
        self.write_end().map_err(|e| self.explained(e))?;
        let Self {
            muxer,
            part,
            spec,
            seconds,
            target,
            audio,
            ..
        } = *self;
        drop(muxer);
        append_mark(part.as_ref().map(Part::path), &spec)
            .map_err(|e| explained(e.into(), &target, part.as_ref()))?;
        let Some(part) = part else {
            return Ok(None);
        };
        #[cfg(feature = "credentials")]
        let part = signed(part, &spec, &target)?;
        verify(part.path(), &spec, audio.codec_id(), seconds).map_err(|e| {
            let wrong =
                Fault::failed("the written clip is not what it should be, so it was not kept");
            part.removed().unwrap_or_else(|| wrong.because(e))
        })?;
        Ok(Some(part))
    }
}

fn explained(error: Error, target: &Target, part: Option<&Part>) -> Error {
    match error.downcast::<io::Error>() {
        Ok(io) => match part.and_then(Part::removed) {
            Some(removed) => removed.into(),
            None => target.cannot_write(&io).into(),
        },
        Err(other) => other,
    }
}

/// Puts the mark's box at the end of an MP4 or MOV (on stdout if there is no path), where no offset of the index
/// changes.
fn append_mark(path: Option<&Path>, spec: &ClipSpec) -> io::Result<()> {
    let Some(mark) = &spec.mark else {
        return Ok(());
    };
    if !spec.format.container.has_boxes() {
        return Ok(());
    }
    let bytes = mark.xmp_box();
    if let Some(path) = path {
        let mut file = OpenOptions::new().append(true).open(path)?;
        return file.write_all(&bytes);
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&bytes)?;
    stdout.flush()
}

/// The part with Content Credentials in it, if somebody signs the clip.
#[cfg(feature = "credentials")]
fn signed(part: Part, spec: &ClipSpec, target: &Target) -> Result<Part> {
    let media_type = spec.format.container.signed_as();
    let (Some(signer), Some(mark), Some(media_type)) = (&spec.signer, &spec.mark, media_type)
    else {
        return Ok(part);
    };
    let name = target.path.file_name().unwrap_or_default();
    let statement = Statement {
        title: &name.to_string_lossy(),
        model: &mark.model,
        source_type: SOURCE_TYPE,
    };
    let sealed = part.another()?;
    signer
        .sign(&statement, media_type, part.path(), sealed.path())
        .map_err(|e| explained(e, target, Some(&part)))?;
    Ok(sealed)
}

/// What a stream of the finished file holds.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    packets: u64,
    seconds: f64,
    /// How much longer than its content it may last, in seconds: Matroska ends with a whole block of sound.
    slack: f64,
}

/// Opens the finished file again and compares it with what was asked for.
fn verify(path: &Path, spec: &ClipSpec, sound: codec::Id, seconds: f64) -> Result<()> {
    let mut input = format::input(path).context("it cannot be opened again")?;
    let find = |medium, id: codec::Id| {
        let stream = input.streams().best(medium);
        let found = stream.filter(|s| s.parameters().id() == id);
        found
            .map(|s| s.index())
            .with_context(|| format!("it has no {} stream", id.name()))
    };
    let video = find(ff::media::Type::Video, spec.format.video.encoder.id)?;
    let audio = find(ff::media::Type::Audio, sound)?;
    let [video, audio] = extents(&mut input, [video, audio]);
    anyhow::ensure!(
        video.packets == spec.frames,
        "it has {} frames instead of {}",
        video.packets,
        spec.frames
    );
    let tolerance = 1.0 / spec.fps.as_f64() + 1e-3;
    for (stream, what) in [(video, "picture"), (audio, "sound")] {
        let over = stream.seconds - seconds;
        anyhow::ensure!(
            (-tolerance..=tolerance + stream.slack).contains(&over),
            "its {what} lasts {:.3} s instead of {seconds:.3} s",
            stream.seconds
        );
    }
    Ok(())
}

/// Packets and lengths of these streams: from the file's index, or, as Matroska has none, by reading it all.
fn extents(input: &mut Input, streams: [usize; 2]) -> [Extent; 2] {
    let indexed = streams.map(|index| {
        let stream = input.stream(index)?;
        let seconds = stream.duration() as f64 * f64::from(stream.time_base());
        (stream.frames() > 0).then(|| Extent {
            packets: stream.frames() as u64,
            seconds,
            slack: 0.0,
        })
    });
    if let [Some(first), Some(second)] = indexed {
        return [first, second];
    }
    let mut extents = streams.map(|_| Extent::default());
    for (stream, packet) in input.packets() {
        if let Some(of) = streams.iter().position(|&index| index == stream.index()) {
            let base = f64::from(stream.time_base());
            let lasts = packet.duration() as f64 * base;
            let starts = packet.pts().unwrap_or_default() as f64 * base;
            let extent = &mut extents[of];
            extent.packets += 1;
            extent.seconds = extent.seconds.max(starts + lasts);
            extent.slack = extent.slack.max(lasts);
        }
    }
    extents
}
