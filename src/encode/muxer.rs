//! Packets -> the container: header, packets, trailer, mark and credentials, and a final check.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Error, Result};
use ff::format::context::Output;
use ff::{Dictionary, codec, format};
use ffmpeg_next as ff;

use super::container::Container;
#[cfg(feature = "credentials")]
use super::credentials::{Signer, Statement};
use super::mark::Mark;
#[cfg(feature = "credentials")]
use super::mark::SOURCE_TYPE;
use super::part_tag::PartTag;
use super::track::plain;
use super::verify::{Expected, verify};
use crate::error::Fault;
use crate::ffmpeg;
use crate::output::{OutputKind, StagedOutput, Target};
use crate::timeline::FrameRate;

/// What the file is to be, except for its streams.
pub(super) struct MuxerSpec {
    pub(super) container: Container,
    /// Frames per second, and how many frames are expected.
    pub(super) fps: FrameRate,
    pub(super) frames: u64,
    /// Length of the audio.
    pub(super) seconds: f64,
    /// Whether random numbers and FFmpeg's version must stay out.
    pub(super) deterministic: bool,
    pub(super) mark: Option<Mark>,
    /// Which part of a clip it is, if it is one.
    pub(super) part: Option<PartTag>,
    #[cfg(feature = "credentials")]
    pub(super) signer: Option<Signer>,
}

/// A file that is being written. Dropped before [`Muxer::complete`], it vanishes.
pub(super) struct Muxer {
    // Before `staged`, so that FFmpeg closes the file before it is removed.
    pub(super) output: Output,
    spec: MuxerSpec,
    target: Target,
    /// None if it goes to stdout.
    staged: Option<StagedOutput>,
}

impl Muxer {
    /// Starts a file at `target`, without any stream.
    pub(super) fn open(target: Target, spec: MuxerSpec) -> Result<Self> {
        ffmpeg::init()?;
        let staged = match target.kind {
            OutputKind::Stdout => None,
            _ => Some(target.clone().begin()?),
        };
        let format = spec.container.format_name();
        let output = match &staged {
            Some(staged) => ffmpeg::open::output(staged.path(), format),
            None => format::output_as("pipe:1", format),
        }
        .map_err(|e| target.cannot_write(&plain(e)))?;
        Ok(Self {
            output,
            spec,
            target,
            staged,
        })
    }

    /// Writes the header. FFmpeg then has chosen the time bases of the streams.
    pub(super) fn begin(&mut self) -> Result<()> {
        let options = self.spec.container.options(self.spec.part.is_some());
        let mut options: Dictionary = options.iter().copied().collect();
        if self.spec.deterministic {
            // Leaves out FFmpeg's version, and random numbers in Matroska.
            options.set("fflags", "+bitexact");
        }
        let mut tags = self.spec.mark.as_ref().map(Mark::tags).unwrap_or_default();
        if let Some(part) = &self.spec.part {
            part.write(&mut tags)?;
        }
        self.output.set_metadata(tags);
        // It returns the options that the muxer does not know.
        let written = self.output.write_header_with(options).map(drop);
        written.map_err(|e| self.explained(plain(e).into()))
    }

    /// Adds the target's name to a failed write; returns any other error unchanged.
    pub(super) fn explained(&self, error: Error) -> Error {
        explained(error, &self.target, self.staged.as_ref())
    }

    /// Writes the trailer, and checks that the file has streams of these codecs. The caller commits it; none if it went to
    /// stdout.
    pub(super) fn complete(
        mut self,
        video: codec::Id,
        audio: codec::Id,
    ) -> Result<Option<StagedOutput>> {
        let written = self.output.write_trailer();
        written.map_err(|e| self.explained(plain(e).into()))?;
        let Self {
            output,
            spec,
            target,
            staged,
        } = self;
        drop(output);
        append_mark(staged.as_ref().map(StagedOutput::path), &spec)
            .map_err(|e| explained(e.into(), &target, staged.as_ref()))?;
        let Some(staged) = staged else {
            return Ok(None);
        };
        #[cfg(feature = "credentials")]
        let staged = signed(staged, &spec, &target)?;
        let expected = Expected {
            video,
            audio,
            fps: spec.fps,
            frames: spec.frames,
            seconds: spec.seconds,
        };
        verify(staged.path(), &expected).map_err(|e| {
            let wrong = Fault::failed("the written clip failed its check and was removed");
            staged.removed().unwrap_or_else(|| wrong.because(e))
        })?;
        Ok(Some(staged))
    }
}

fn explained(error: Error, target: &Target, staged: Option<&StagedOutput>) -> Error {
    match error.downcast::<io::Error>() {
        Ok(io) => match staged.and_then(StagedOutput::removed) {
            Some(removed) => removed.into(),
            None => target.cannot_write(&io).into(),
        },
        Err(other) => other,
    }
}

/// Appends the mark's box to an MP4 or MOV (to stdout if there is no path): at the end, it does not shift the index's
/// offsets.
fn append_mark(path: Option<&Path>, spec: &MuxerSpec) -> io::Result<()> {
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

/// The output with Content Credentials, if the clip is to be signed.
#[cfg(feature = "credentials")]
fn signed(staged: StagedOutput, spec: &MuxerSpec, target: &Target) -> Result<StagedOutput> {
    let media_type = spec.container.signed_as();
    let (Some(signer), Some(mark), Some(media_type)) = (&spec.signer, &spec.mark, media_type)
    else {
        return Ok(staged);
    };
    let name = target.path.file_name().unwrap_or_default();
    let statement = Statement {
        title: &name.to_string_lossy(),
        model: &mark.model,
        source_type: SOURCE_TYPE,
    };
    let second = staged.second_copy()?;
    signer
        .sign(&statement, media_type, staged.path(), second.path())
        .map_err(|e| explained(e, target, Some(&staged)))?;
    Ok(second)
}
