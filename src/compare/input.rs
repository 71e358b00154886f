//! One of the two inputs: a video, or a folder of pictures.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::frames::{ComparedPlanes, FrameReader, load_picture};
use crate::audio::AudioFile;
use crate::background::video::VideoFile;
use crate::background::{self, folder};
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::image::{Picture, Size};
use crate::inspect::media::MediaInfo;
use crate::sync;

/// A video or a folder of pictures, opened.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    source: Source,
    pub(super) size: Size,
}

#[derive(Debug)]
enum Source {
    Video(Box<Video>),
    /// Pictures in the order of their names.
    Folder(Vec<PathBuf>),
}

/// A video and its streams.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) file: VideoFile,
    info: MediaInfo,
    audio: Option<AudioFile>,
}

/// What the result says about an input.
#[derive(Debug, Serialize)]
pub(crate) struct InputInfo {
    /// As given.
    pub path: String,
    /// `video` or `pictures`.
    pub kind: &'static str,
    /// Decoded frames.
    pub frames: usize,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second as an exact fraction; none for a folder.
    pub rate: Option<String>,
    /// FFmpeg's name of the codec; none for a folder.
    pub codec: Option<String>,
    /// FFmpeg's name of the pixel format; none for a folder.
    pub pix_fmt: Option<String>,
    /// Matrix and range as tagged: `bt709 tv`; none for a folder.
    pub colours: Option<String>,
    /// FFmpeg's name of the audio codec; none without audio.
    pub sound: Option<String>,
    /// Duration of the audio in seconds.
    pub sound_s: Option<f64>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot compare `{}`", path.display()));
        let metadata = fs::metadata(path).map_err(|e| fault().because(plain_io(&e)))?;
        if metadata.is_dir() {
            let pictures = folder::list_pictures(path)?;
            let Some(first) = pictures.first() else {
                return Err(fault()
                    .because("the folder has no pictures that can be read")
                    .hint("pass a video, or a folder of PNG or JPEG frames")
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
        let info = MediaInfo::open(path)?;
        let audio = info.audio.as_ref().map(|_| AudioFile::open(path, None));
        Ok(Self {
            path: path.to_owned(),
            size: file.size,
            source: Source::Video(Box::new(Video {
                file,
                info,
                audio: audio.transpose()?,
            })),
        })
    }

    pub(super) fn video(&self) -> Option<&Video> {
        match &self.source {
            Source::Video(video) => Some(video),
            Source::Folder(_) => None,
        }
    }

    pub(super) fn audio(&self) -> Option<&AudioFile> {
        self.video()?.audio.as_ref()
    }

    /// Frames per second; none for a folder.
    pub(super) fn fps(&self) -> Option<f64> {
        self.video()?.file.frame_rate
    }

    /// Seconds by which the first frame comes after the first audio sample.
    pub(super) fn video_delay(&self) -> f64 {
        self.video().map_or(0.0, |video| video.info.video_delay())
    }

    /// Number of frames, if it is known before they are decoded.
    pub(super) fn frame_count(&self) -> Option<u64> {
        match &self.source {
            Source::Video(video) => video.file.frames,
            Source::Folder(pictures) => Some(pictures.len() as u64),
        }
    }

    /// What the result says about it; `frames` were decoded.
    pub(super) fn info(&self, frames: usize) -> InputInfo {
        let info = self.video().map(|video| &video.info);
        let video = info.and_then(|info| info.video.as_ref());
        let audio = info.and_then(|info| info.audio.as_ref());
        let or_untagged = |tag: &Option<String>| tag.clone().unwrap_or("untagged".into());
        InputInfo {
            path: self.path.display().to_string(),
            kind: if info.is_some() { "video" } else { "pictures" },
            frames,
            width: self.size.width,
            height: self.size.height,
            rate: video.map(|v| v.rate.clone()),
            codec: video.map(|v| v.codec.clone()),
            pix_fmt: video.map(|v| v.pix_fmt.clone()),
            colours: video.map(|v| format!("{} {}", or_untagged(&v.matrix), or_untagged(&v.range))),
            sound: audio.map(|audio| audio.codec.clone()),
            sound_s: self.audio().map(|audio| sync::rounded(audio.seconds())),
        }
    }

    /// All frames in order, each in the given planes.
    pub(super) fn read_frames(&self, planes: ComparedPlanes) -> Result<FrameReader<'_>> {
        match &self.source {
            Source::Video(video) => Ok(FrameReader::of_video(video.file.frames()?, planes)),
            Source::Folder(pictures) => Ok(FrameReader::of_pictures(pictures, self.size)),
        }
    }

    /// Calls `show` with the pictures of the frames in `wanted`, in ascending order.
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
                        show(*frame, &load_picture(path, self.size)?);
                    }
                }
            }
            Source::Video(video) => {
                let mut reader = video.file.frames()?;
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
}

/// The planes in which both inputs are compared, and their letters: the stored planes if both are videos with the same
/// pixel format and range, else R G B.
pub(super) fn common_planes([expected, actual]: &[Input; 2]) -> (ComparedPlanes, String) {
    let videos = expected.video().zip(actual.video());
    match videos.and_then(|(a, b)| a.file.comparable_planes(&b.file)) {
        Some(letters) => (ComparedPlanes::Stored, letters),
        None => (ComparedPlanes::Rgb, "R G B".into()),
    }
}
