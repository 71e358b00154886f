//! Pictures without crop rectangles: a video, a picture, or a folder of frames, as it was filmed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::sampled_video::{SampledVideo, SampledVideoReader};
use super::{folder, still};
use crate::error::{Fault, plain_io};
use crate::image::Picture;
use crate::timeline::FrameRate;

/// A video sampled at a frame rate, or files.
#[derive(Debug)]
pub(crate) struct Footage {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Photo,
    Folder(Vec<PathBuf>),
    Video(Box<SampledVideo>),
}

impl Footage {
    /// Opens a video, a picture, or a folder of numbered pictures (or of `full_body_img/` in it). Frame k of a video is the
    /// one shown at k / `fps` seconds; pictures of a folder are one frame each.
    pub(crate) fn open(path: &Path, fps: FrameRate) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|e| {
            Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(&e))
        })?;
        let source = if metadata.is_dir() {
            let (_, numbered) = folder::list(path)?;
            Source::Folder(numbered.into_iter().map(|(_, path)| path).collect())
        } else if still::has_image_extension(path) {
            Source::Photo
        } else {
            Source::Video(Box::new(SampledVideo::open(path, fps)?))
        };
        Ok(Self {
            path: path.to_owned(),
            source,
        })
    }

    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a single picture.
    pub(crate) fn is_photo(&self) -> bool {
        matches!(self.source, Source::Photo)
    }

    /// Whether it is a video with an audio track.
    pub(crate) fn has_audio(&self) -> bool {
        matches!(&self.source, Source::Video(video) if video.file.has_audio)
    }

    /// Number of frames; at least 1.
    pub(crate) fn frame_count(&self) -> usize {
        match &self.source {
            Source::Photo => 1,
            Source::Folder(paths) => paths.len(),
            Source::Video(video) => video.sampling.sources.len(),
        }
    }

    /// Decodes frames, best in ascending order.
    pub(crate) fn reader(&self) -> Result<FootageReader<'_>> {
        Ok(FootageReader {
            footage: self,
            video: match &self.source {
                Source::Video(video) => Some((SampledVideoReader::new(video)?, None)),
                Source::Photo | Source::Folder(_) => None,
            },
        })
    }
}

/// Decodes the frames of a [`Footage`].
pub(crate) struct FootageReader<'a> {
    footage: &'a Footage,
    /// The video's reader, and which of its frames was read last: slow videos repeat frames.
    video: Option<(SampledVideoReader<'a>, Option<usize>)>,
}

impl FootageReader<'_> {
    /// Decodes frame `index`. Returns whether it differs from the one read before, which must still be in `into`.
    pub(crate) fn read(&mut self, index: usize, into: &mut Picture) -> Result<bool> {
        match (&self.footage.source, &mut self.video) {
            (Source::Video(video), Some((reader, latest))) => {
                let source = video.sampling.sources[index];
                let is_new = *latest != Some(source);
                if is_new {
                    reader.read(source, into)?;
                    *latest = Some(source);
                }
                return Ok(is_new);
            }
            (Source::Folder(paths), _) => *into = still::load(&paths[index], "frame")?,
            _ => *into = still::load(&self.footage.path, "picture")?,
        }
        Ok(true)
    }
}
