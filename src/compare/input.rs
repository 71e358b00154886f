//! One side of a comparison: a video, or a folder of pictures.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::audio::AudioFile;
use crate::background::video::{PlanarPicture, VideoFile, VideoReader};
use crate::background::{self, folder};
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::image::pool::{Pool, Pooled};
use crate::image::{Picture, Size};
use crate::inspect::media::Media;
use crate::sync;

/// A video or a folder of pictures, opened.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) path: PathBuf,
    pub(super) source: Source,
    pub(super) size: Size,
}

#[derive(Debug)]
pub(super) enum Source {
    Video(Box<Film>),
    Folder(Vec<PathBuf>),
}

#[derive(Debug)]
pub(super) struct Film {
    pub(super) file: VideoFile,
    pub(super) media: Media,
    pub(super) sound: Option<AudioFile>,
}

/// What is said of a side.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    /// As it was given.
    pub path: String,
    /// `video` or `pictures`.
    pub kind: &'static str,
    /// Frames that were read.
    pub frames: usize,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second as an exact fraction; none of a folder.
    pub rate: Option<String>,
    /// FFmpeg's name of the codec; none of a folder.
    pub codec: Option<String>,
    /// FFmpeg's name of the pixel format; none of a folder.
    pub pix_fmt: Option<String>,
    /// Matrix and range as they are tagged: `bt709 tv`; none of a folder.
    pub colours: Option<String>,
    /// FFmpeg's name of the sound's codec; none without sound.
    pub sound: Option<String>,
    /// Length of the sound in seconds.
    pub sound_s: Option<f64>,
}

impl Side {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot compare `{}`", path.display()));
        let about = fs::metadata(path).map_err(|e| fault().because(plain_io(&e)))?;
        if about.is_dir() {
            let pictures = folder::list_pictures(path)?;
            let Some(first) = pictures.first() else {
                return Err(fault()
                    .because("the folder holds no pictures")
                    .hint("name a video, or a folder of PNG or JPEG frames")
                    .into());
            };
            let size = background::load_picture(first)?.size();
            return Ok(Self {
                path: path.to_owned(),
                source: Source::Folder(pictures),
                size,
            });
        }
        let file = VideoFile::open(path)?;
        let media = Media::open(path)?;
        let sound = media.audio.as_ref().map(|_| AudioFile::open(path, None));
        Ok(Self {
            path: path.to_owned(),
            size: file.size,
            source: Source::Video(Box::new(Film {
                file,
                media,
                sound: sound.transpose()?,
            })),
        })
    }

    pub(super) fn film(&self) -> Option<&Film> {
        match &self.source {
            Source::Video(film) => Some(film),
            Source::Folder(_) => None,
        }
    }

    pub(super) fn sound(&self) -> Option<&AudioFile> {
        self.film()?.sound.as_ref()
    }

    /// Frames a second; none of a folder.
    pub(super) fn fps(&self) -> Option<f64> {
        self.film()?.file.frame_rate
    }

    /// Frames, as far as they are known before they are read.
    pub(super) fn frames(&self) -> Option<u64> {
        match &self.source {
            Source::Video(film) => film.file.frames,
            Source::Folder(pictures) => Some(pictures.len() as u64),
        }
    }

    pub(super) fn facts(&self, frames: usize) -> Facts {
        let film = self.film();
        let video = film.and_then(|film| film.media.video.as_ref());
        let or_untagged = |tag: &Option<String>| tag.clone().unwrap_or("untagged".into());
        let sound = self.sound();
        Facts {
            path: self.path.display().to_string(),
            kind: if film.is_some() { "video" } else { "pictures" },
            frames,
            width: self.size.width,
            height: self.size.height,
            rate: video.map(|v| v.rate.clone()),
            codec: video.map(|v| v.codec.clone()),
            pix_fmt: video.map(|v| v.pix_fmt.clone()),
            colours: video.map(|v| format!("{} {}", or_untagged(&v.matrix), or_untagged(&v.range))),
            sound: film
                .and_then(|f| f.media.audio.as_ref())
                .map(|audio| audio.codec.clone()),
            sound_s: sound.map(|sound| sync::rounded(sound.seconds())),
        }
    }

    /// Calls `show` with the pictures of the frames in `wanted`, in rising order.
    pub(super) fn pictures(
        &self,
        wanted: &BTreeSet<usize>,
        cancel: &Cancel,
        mut show: impl FnMut(usize, &Picture),
    ) -> Result<()> {
        match &self.source {
            Source::Folder(paths) => {
                for frame in wanted {
                    cancel.check()?;
                    if let Some(path) = paths.get(*frame) {
                        show(*frame, &load(path, self.size)?);
                    }
                }
            }
            Source::Video(film) => {
                let mut reader = film.file.frames()?;
                let mut picture = Picture::default();
                for frame in 0..=wanted.last().copied().unwrap_or(0) {
                    cancel.check()?;
                    if reader.skip()?.is_none() {
                        break;
                    }
                    if wanted.contains(&frame) {
                        reader.picture(&mut picture)?;
                        show(frame, &picture);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn frames_in(&self, colours: Colours) -> Result<Frames<'_>> {
        Ok(Frames {
            source: match &self.source {
                Source::Video(film) => FrameSource::Video(Box::new(film.file.frames()?)),
                Source::Folder(pictures) => FrameSource::Files(pictures.iter()),
            },
            size: self.size,
            colours,
            planes: Pool::default(),
            pictures: Pool::default(),
        })
    }
}

/// In what pictures are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// The planes that both videos store.
    Stored,
    /// R G B, and A where a picture is transparent.
    Rgb,
}

/// The frames of a side, one after the other.
pub(super) struct Frames<'a> {
    source: FrameSource<'a>,
    size: Size,
    colours: Colours,
    planes: Pool<PlanarPicture>,
    pictures: Pool<Picture>,
}

enum FrameSource<'a> {
    Video(Box<VideoReader>),
    Files(std::slice::Iter<'a, PathBuf>),
}

/// A frame on its way to be measured, decoded as far as only one thread can do it.
pub(super) enum Shot<'a> {
    PlanarPicture(Pooled<PlanarPicture>),
    Picture(Pooled<Picture>),
    File(&'a Path, Size),
}

impl<'a> Frames<'a> {
    /// The next frame, and when it is shown, if that is known; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Option<f64>, Shot<'a>)>> {
        match &mut self.source {
            FrameSource::Files(paths) => {
                let path = paths.next();
                Ok(path.map(|path| (None, Shot::File(path, self.size))))
            }
            FrameSource::Video(reader) => {
                let Some(seconds) = reader.skip()? else {
                    return Ok(None);
                };
                let shot = match self.colours {
                    Colours::Stored => {
                        let mut planes = self.planes.take();
                        reader.planes(&mut planes)?;
                        Shot::PlanarPicture(planes)
                    }
                    Colours::Rgb => {
                        let mut picture = self.pictures.take();
                        reader.picture(&mut picture)?;
                        Shot::Picture(picture)
                    }
                };
                Ok(Some((Some(seconds), shot)))
            }
        }
    }

    /// Passes a frame over; false at the end.
    pub(super) fn skip(&mut self) -> Result<bool> {
        match &mut self.source {
            FrameSource::Files(paths) => Ok(paths.next().is_some()),
            FrameSource::Video(reader) => Ok(reader.skip()?.is_some()),
        }
    }
}

impl Shot<'_> {
    /// The frame itself; a picture of a folder must have the size of the first one.
    pub(super) fn develop(self) -> Result<Seen> {
        match self {
            Self::PlanarPicture(planes) => Ok(Seen::PlanarPicture(planes)),
            Self::Picture(picture) => Ok(Seen::Picture(picture)),
            Self::File(path, size) => load(path, size).map(Seen::Loaded),
        }
    }
}

/// A decoded frame.
pub(super) enum Seen {
    PlanarPicture(Pooled<PlanarPicture>),
    Picture(Pooled<Picture>),
    Loaded(Picture),
}

impl Seen {
    fn picture(&self) -> Option<&Picture> {
        match self {
            Self::PlanarPicture(_) => None,
            Self::Picture(picture) => Some(picture),
            Self::Loaded(picture) => Some(picture),
        }
    }

    pub(super) fn is_transparent(&self) -> bool {
        self.picture()
            .is_some_and(|picture| picture.alpha.is_some())
    }

    /// Its planes: those that are stored, or R G B, and A with `alpha`.
    pub(super) fn planes(&self, alpha: bool) -> Cow<'_, PlanarPicture> {
        match self {
            Self::PlanarPicture(planes) => Cow::Borrowed(planes),
            Self::Picture(picture) => Cow::Owned(PlanarPicture::of_picture(picture, alpha)),
            Self::Loaded(picture) => Cow::Owned(PlanarPicture::of_picture(picture, alpha)),
        }
    }

    /// Brightness of each pixel, full range.
    pub(super) fn luma(&self) -> Vec<u8> {
        let mut luma = Vec::new();
        match self {
            Self::PlanarPicture(planes) => planes.luma(&mut luma),
            Self::Picture(picture) => sync::luma(picture, &mut luma),
            Self::Loaded(picture) => sync::luma(picture, &mut luma),
        }
        luma
    }
}

/// Loads a picture of a folder, which must have the size of the first one.
fn load(path: &Path, size: Size) -> Result<Picture> {
    let picture = background::load_picture(path)?;
    if picture.size() != size {
        return Err(Fault::failed(format!(
            "frame `{}` is {}, the first one is {size}",
            path.display(),
            picture.size()
        ))
        .hint("all frames of a folder must have one size")
        .into());
    }
    Ok(picture)
}
