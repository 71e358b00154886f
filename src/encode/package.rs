//! The file that streams are packed into: it is begun, completed with its mark, checked, and put in its place.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use ff::format::context::{Input, Output};
use ff::{Dictionary, codec, format};
use ffmpeg_next as ff;

use super::container::Container;
use super::mark::Mark;
#[cfg(feature = "credentials")]
use super::mark::SOURCE_TYPE;
use super::part_tag::PartTag;
use super::track::plain;
#[cfg(feature = "credentials")]
use crate::encode::credentials::{Signer, Statement};
use crate::error::Fault;
use crate::output::{OutputKind, StagedOutput, Target};
use crate::timeline::FrameRate;

/// What the file is to be, apart from its streams.
pub(super) struct PackageSpec {
    pub(super) container: Container,
    /// Frames a second of the pictures, and how many there are to be.
    pub(super) fps: FrameRate,
    pub(super) frames: u64,
    /// Length of the sound.
    pub(super) seconds: f64,
    /// Whether nothing of chance and of FFmpeg's version may be in it.
    pub(super) deterministic: bool,
    pub(super) mark: Option<Mark>,
    /// Of which clip it is a part.
    pub(super) part: Option<PartTag>,
    #[cfg(feature = "credentials")]
    pub(super) signer: Option<Signer>,
}

/// A file that is being written. Dropped before [`Package::complete`], it vanishes.
pub(super) struct Package {
    // Before `part`, so that FFmpeg closes the file before it is moved or removed.
    pub(super) muxer: Output,
    spec: PackageSpec,
    target: Target,
    /// None if it goes to stdout.
    part: Option<StagedOutput>,
}

impl Package {
    /// Starts a file at `target`, without any stream.
    pub(super) fn open(target: Target, spec: PackageSpec) -> Result<Self> {
        crate::ffmpeg::init()?;
        let part = match target.kind {
            OutputKind::Stdout => None,
            OutputKind::File | OutputKind::Frames | OutputKind::Pictures => {
                Some(target.clone().begin()?)
            }
        };
        let path = part
            .as_ref()
            .map_or(Path::new("pipe:1"), StagedOutput::path);
        if path.to_str().is_none() {
            return Err(Fault::failed(format!(
                "cannot write {target}: FFmpeg takes only paths in UTF-8"
            ))
            .hint("rename the folder or the file, or choose another place with -o")
            .into());
        }
        let muxer = format::output_as(path, spec.container.muxer())
            .map_err(|e| target.cannot_write(&plain(e)))?;
        Ok(Self {
            muxer,
            spec,
            target,
            part,
        })
    }

    /// Writes what stands before the packets; the muxer then has chosen the time bases of its streams.
    pub(super) fn begin(&mut self) -> Result<()> {
        let options = self.spec.container.options(self.spec.part.is_some());
        let mut options: Dictionary = options.iter().copied().collect();
        if self.spec.deterministic {
            // No version of FFmpeg, no random number in Matroska.
            options.set("fflags", "+bitexact");
        }
        let mut tags = self.spec.mark.as_ref().map(Mark::tags).unwrap_or_default();
        if let Some(part) = &self.spec.part {
            part.write(&mut tags)?;
        }
        self.muxer.set_metadata(tags);
        // What is left are options that the muxer does not know.
        let written = self.muxer.write_header_with(options).map(drop);
        written.map_err(|e| self.explained(plain(e).into()))
    }

    /// A failed write with the name of what could not be written; any other error as it is.
    pub(super) fn explained(&self, error: Error) -> Error {
        explained(error, &self.target, self.part.as_ref())
    }

    /// Writes what stands behind the packets, and checks that the file holds streams of these codecs. It is then to be put
    /// in its place; none if it went to stdout.
    pub(super) fn complete(
        mut self,
        video: codec::Id,
        sound: codec::Id,
    ) -> Result<Option<StagedOutput>> {
        let written = self.muxer.write_trailer();
        written.map_err(|e| self.explained(plain(e).into()))?;
        let Self {
            muxer,
            spec,
            target,
            part,
        } = self;
        drop(muxer);
        append_mark(part.as_ref().map(StagedOutput::path), &spec)
            .map_err(|e| explained(e.into(), &target, part.as_ref()))?;
        let Some(part) = part else {
            return Ok(None);
        };
        #[cfg(feature = "credentials")]
        let part = signed(part, &spec, &target)?;
        verify(part.path(), &spec, video, sound).map_err(|e| {
            let wrong =
                Fault::failed("the written clip is not what it should be, so it was not kept");
            part.removed().unwrap_or_else(|| wrong.because(e))
        })?;
        Ok(Some(part))
    }
}

fn explained(error: Error, target: &Target, part: Option<&StagedOutput>) -> Error {
    match error.downcast::<io::Error>() {
        Ok(io) => match part.and_then(StagedOutput::removed) {
            Some(removed) => removed.into(),
            None => target.cannot_write(&io).into(),
        },
        Err(other) => other,
    }
}

/// Puts the mark's box at the end of an MP4 or MOV (on stdout if there is no path), where no offset of the index
/// changes.
fn append_mark(path: Option<&Path>, spec: &PackageSpec) -> io::Result<()> {
    let Some(mark) = &spec.mark else {
        return Ok(());
    };
    if !spec.container.has_boxes() {
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
fn signed(part: StagedOutput, spec: &PackageSpec, target: &Target) -> Result<StagedOutput> {
    let media_type = spec.container.signed_as();
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
    let sealed = part.second_copy()?;
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
fn verify(path: &Path, spec: &PackageSpec, video: codec::Id, sound: codec::Id) -> Result<()> {
    let seconds = spec.seconds;
    let mut input = format::input(path).context("it cannot be opened again")?;
    let find = |medium, id: codec::Id| {
        let stream = input.streams().best(medium);
        let found = stream.filter(|s| s.parameters().id() == id);
        found
            .map(|s| s.index())
            .with_context(|| format!("it has no {} stream", id.name()))
    };
    let video = find(ff::media::Type::Video, video)?;
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
