//! The frames of an input, one after the other: started on the reading thread, finished on any other.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::background;
use crate::background::video::{PlanarPicture, VideoReader};
use crate::error::Fault;
use crate::image::pool::{Pool, Pooled};
use crate::image::{Picture, Size};
use crate::sync;

/// The planes in which frames are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComparedPlanes {
    /// The planes that both videos store.
    Stored,
    /// R G B, plus A if a picture is transparent.
    Rgb,
}

/// Reads the frames of an input in order.
pub(super) struct FrameReader<'a> {
    source: FrameSource<'a>,
}

enum FrameSource<'a> {
    Video {
        reader: Box<VideoReader>,
        planes: ComparedPlanes,
        planar_pool: Pool<PlanarPicture>,
        picture_pool: Pool<Picture>,
    },
    Pictures(std::slice::Iter<'a, PathBuf>, Size),
}

impl<'a> FrameReader<'a> {
    pub(super) fn of_video(reader: VideoReader, planes: ComparedPlanes) -> Self {
        Self {
            source: FrameSource::Video {
                reader: Box::new(reader),
                planes,
                planar_pool: Pool::default(),
                picture_pool: Pool::default(),
            },
        }
    }

    /// The pictures of a folder, which must all have this size.
    pub(super) fn of_pictures(paths: &'a [PathBuf], size: Size) -> Self {
        Self {
            source: FrameSource::Pictures(paths.iter(), size),
        }
    }

    /// The next frame and its timestamp in seconds, if it has one; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Option<f64>, PendingFrame<'a>)>> {
        match &mut self.source {
            FrameSource::Pictures(paths, size) => {
                let path = paths.next();
                Ok(path.map(|path| (None, PendingFrame::File(path, *size))))
            }
            FrameSource::Video {
                reader,
                planes,
                planar_pool,
                picture_pool,
            } => {
                let Some(seconds) = reader.skip()? else {
                    return Ok(None);
                };
                let frame = match planes {
                    ComparedPlanes::Stored => {
                        let mut planar = planar_pool.take();
                        reader.planes(&mut planar)?;
                        Frame::Planar(planar)
                    }
                    ComparedPlanes::Rgb => {
                        let mut picture = picture_pool.take();
                        reader.picture(&mut picture)?;
                        Frame::Pooled(picture)
                    }
                };
                Ok(Some((Some(seconds), PendingFrame::Decoded(frame))))
            }
        }
    }

    /// Skips a frame; false at the end.
    pub(super) fn skip(&mut self) -> Result<bool> {
        match &mut self.source {
            FrameSource::Pictures(paths, _) => Ok(paths.next().is_some()),
            FrameSource::Video { reader, .. } => Ok(reader.skip()?.is_some()),
        }
    }
}

/// A frame that may still have to be decoded, which any thread can do.
pub(super) enum PendingFrame<'a> {
    Decoded(Frame),
    /// A picture of a folder, and the size that it must have.
    File(&'a Path, Size),
}

impl PendingFrame<'_> {
    pub(super) fn decode(self) -> Result<Frame> {
        match self {
            Self::Decoded(frame) => Ok(frame),
            Self::File(path, size) => load_picture(path, size).map(Frame::Loaded),
        }
    }
}

/// A decoded frame.
pub(super) enum Frame {
    /// The planes that a video stores.
    Planar(Pooled<PlanarPicture>),
    /// A video's picture in R G B.
    Pooled(Pooled<Picture>),
    /// A picture of a folder.
    Loaded(Picture),
}

impl Frame {
    fn picture(&self) -> Option<&Picture> {
        match self {
            Self::Planar(_) => None,
            Self::Pooled(picture) => Some(picture),
            Self::Loaded(picture) => Some(picture),
        }
    }

    pub(super) fn is_transparent(&self) -> bool {
        self.picture()
            .is_some_and(|picture| picture.alpha.is_some())
    }

    /// Its planes: those that are stored, or R G B, plus A with `alpha`.
    pub(super) fn planes(&self, alpha: bool) -> Cow<'_, PlanarPicture> {
        match self {
            Self::Planar(planes) => Cow::Borrowed(planes),
            Self::Pooled(picture) => Cow::Owned(PlanarPicture::of_picture(picture, alpha)),
            Self::Loaded(picture) => Cow::Owned(PlanarPicture::of_picture(picture, alpha)),
        }
    }

    /// Brightness of each pixel, full range.
    pub(super) fn luma(&self) -> Vec<u8> {
        let mut luma = Vec::new();
        match self {
            Self::Planar(planes) => planes.luma(&mut luma),
            Self::Pooled(picture) => sync::luma(picture, &mut luma),
            Self::Loaded(picture) => sync::luma(picture, &mut luma),
        }
        luma
    }
}

/// Loads a picture of a folder, which must have this size.
pub(super) fn load_picture(path: &Path, size: Size) -> Result<Picture> {
    let picture = background::load_picture(path)?;
    if picture.size() != size {
        return Err(Fault::failed(format!(
            "frame `{}` is {}, but the first one is {size}",
            path.display(),
            picture.size()
        ))
        .hint("all frames in a folder must have the same size")
        .into());
    }
    Ok(picture)
}
