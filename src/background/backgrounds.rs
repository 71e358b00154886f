//! All backgrounds of a clip: opened and checked as a whole, decoded when needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use super::crop_rects::{self, CropRects};
use super::decoded::{Background, DecodedFrames, FrameFormats};
use super::pairing::{check_rect, pair_in_order, read_rects};
use super::sampled_video::{SampledVideo, SampledVideoReader, unusable};
use super::{folder, hdr_picture, still};
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::face;
use crate::image::yuv420::{self, Yuv420};
use crate::image::{Picture, Rect, Size};
use crate::timeline::{BackgroundIndex, FrameRate};

/// Checked backgrounds: all pictures have one size, and each has a crop rectangle inside it.
#[derive(Debug)]
pub struct Backgrounds {
    pub(super) source: Source,
    /// The crop rectangle of each file, or of each video frame that is used.
    rects: Vec<Rect>,
    size: Size,
    keep_alpha: bool,
    has_alpha: bool,
    /// Decoded files, kept for all clips that use them.
    pub(super) decoded: DecodedFrames,
    /// Problems that do not stop the render.
    pub warnings: Vec<String>,
}

/// Where the pictures are.
#[derive(Debug)]
pub(super) enum Source {
    /// One file per background.
    Files(Vec<PathBuf>),
    /// A video, sampled at the clip's frame rate.
    Video(Box<SampledVideo>),
}

impl Backgrounds {
    /// Lists and checks a folder of frames (or `full_body_img/` in it), a single picture, or a video.
    ///
    /// `crop_rects` names the file or folder with the crop rectangles; without it, they are searched for in and next to
    /// `path`. Each picture of a folder is one background, whatever `fps` is. Background k of a video is the frame
    /// shown at k / `fps` seconds, so that the video plays at its own speed. Without `keep_alpha`, transparent pictures
    /// are put on black.
    pub fn open(
        path: &Path,
        crop_rects: Option<&Path>,
        fps: FrameRate,
        keep_alpha: bool,
    ) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|e| {
            Fault::failed(format!("cannot read background `{}`", path.display()))
                .because(plain_io(&e))
        })?;
        let mut backgrounds = if metadata.is_dir() {
            let (folder, numbered) = folder::list(path)?;
            let rects = read_rects(path, crop_rects, || crop_rects::find(&folder))?;
            Self::of_files(numbered, &rects)?
        } else {
            let rects = || read_rects(path, crop_rects, || crop_rects::find_for_file(path));
            if still::has_image_extension(path) {
                Self::of_files(vec![(0, path.to_owned())], &rects()?)?
            } else {
                Self::of_video(SampledVideo::open(path, fps)?, &rects()?)?
            }
        };
        backgrounds.keep_alpha = keep_alpha;
        if backgrounds.has_alpha && !keep_alpha {
            backgrounds.warnings.push(
                "the background is transparent, but this output is not: it is put on black; --codec prores4444 -o NAME.mov keeps transparency"
                    .into(),
            );
        }
        Ok(backgrounds)
    }

    fn of_files(numbered: Vec<(u64, PathBuf)>, rects: &CropRects) -> Result<Self> {
        let mut warnings: Vec<String> = hdr_picture::warning(&numbered[0].1).into_iter().collect();
        let raw = pair_in_order(numbered[0].0, numbered.len(), rects, &mut warnings)?;
        let headers: Vec<(Size, bool)> = numbered
            .par_iter()
            .map(|(_, path)| still::header(path))
            .collect::<Result<_>>()?;
        let size = headers[0].0;
        let mut checked = Vec::with_capacity(numbered.len());
        for (((number, path), raw), (frame_size, _)) in numbered.iter().zip(raw).zip(&headers) {
            if *frame_size != size {
                return Err(Fault::failed(format!(
                    "background frame `{}` is {frame_size}, but the first one is {size}",
                    path.display()
                ))
                .hint("all frames of a folder must have the same size")
                .into());
            }
            checked.push(check_rect(raw, *number, path, size, rects)?);
        }
        // Most pictures with an alpha channel are fully opaque; the first one decides.
        let may_have_alpha = headers[0].1;
        let has_alpha = may_have_alpha
            && still::load(&numbered[0].1, still::BACKGROUND_FRAME)?
                .alpha
                .is_some();
        Ok(Self {
            source: Source::Files(numbered.into_iter().map(|(_, path)| path).collect()),
            rects: checked,
            size,
            keep_alpha: false,
            has_alpha,
            decoded: DecodedFrames::default(),
            warnings,
        })
    }

    fn of_video(video: SampledVideo, rects: &CropRects) -> Result<Self> {
        let (path, size) = (video.file.path(), video.file.size);
        if size.width > still::MAX_SIDE || size.height > still::MAX_SIDE {
            let max = still::MAX_SIDE;
            return Err(unusable(&video.file)
                .because(format!("it is {size}; the maximum is {max}x{max}"))
                .into());
        }
        let mut warnings = video.told.clone();
        let raw = pair_in_order(0, video.sampling.frame_count(), rects, &mut warnings)?;
        let mut checked = Vec::with_capacity(raw.len());
        for (number, raw) in (0..).zip(raw) {
            let rect = check_rect(raw, number, path, video.stored_size, rects)?;
            checked.push(rect.scaled(video.stored_size, size));
        }
        let mut first = Picture::default();
        SampledVideoReader::new(&video)?.read(0, &mut first)?;
        Ok(Self {
            rects: video.sampling.used.iter().map(|&n| checked[n]).collect(),
            source: Source::Video(Box::new(video)),
            size,
            keep_alpha: false,
            has_alpha: first.alpha.is_some(),
            decoded: DecodedFrames::default(),
            warnings,
        })
    }

    /// Number of backgrounds; at least 1.
    pub fn count(&self) -> usize {
        match &self.source {
            Source::Files(paths) => paths.len(),
            Source::Video(video) => video.sampling.sources.len(),
        }
    }

    /// The size of all pictures.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The crop rectangle of a background.
    pub fn rect(&self, index: BackgroundIndex) -> Rect {
        self.rects[self.source_index(index)]
    }

    /// Calls `f` with each picture and its crop rectangle, and returns the results in order. Files are decoded in
    /// parallel.
    pub fn map_frames<T: Send>(
        &self,
        cancel: &Cancel,
        f: impl Fn(&Picture, Rect) -> T + Sync,
    ) -> Result<Vec<T>> {
        match &self.source {
            Source::Files(paths) => {
                let files = paths.par_iter().zip(&self.rects);
                let results = files.map(|(path, rect)| {
                    cancel.check()?;
                    Ok(f(&self.load(path)?, *rect))
                });
                results.collect()
            }
            Source::Video(video) => {
                let mut reader = SampledVideoReader::new(video)?;
                let mut picture = Picture::default();
                let results = self.rects.iter().enumerate().map(|(source_index, rect)| {
                    cancel.check()?;
                    reader.read(source_index, &mut picture)?;
                    Ok(f(&picture, *rect))
                });
                results.collect()
            }
        }
    }

    /// Decodes a file, and checks that its size has not changed.
    pub(super) fn load(&self, path: &Path) -> Result<Picture> {
        let frame = still::load(path, still::BACKGROUND_FRAME)?;
        if frame.size() != self.size {
            return Err(Fault::failed(format!(
                "background frame `{}` changed while it was in use: it was {}, now it is {}",
                path.display(),
                self.size,
                frame.size()
            ))
            .into());
        }
        Ok(frame)
    }

    /// Whether decoded pictures have an alpha channel.
    pub fn has_alpha(&self) -> bool {
        self.has_alpha && self.keep_alpha
    }

    /// The files that contain the pictures.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (paths, video) = match &self.source {
            Source::Files(paths) => (paths.as_slice(), None),
            Source::Video(video) => (&[][..], Some(video.file.path())),
        };
        paths.iter().map(PathBuf::as_path).chain(video)
    }

    /// Memory of the decoded files that are kept, in bytes.
    pub fn cached_bytes(&self) -> usize {
        self.decoded.bytes()
    }

    /// Most memory that one decoded background takes, in bytes.
    pub(super) fn max_frame_bytes(&self, formats: FrameFormats) -> usize {
        let size = self.size;
        let pixels = size.width as usize * size.height as usize;
        let areas = self.rects.iter().map(|&rect| {
            let area = yuv420::extend_to_chroma(rect, size);
            area.width() * area.height()
        });
        let rgb = pixels * if self.has_alpha() { 4 } else { 3 };
        areas.max().unwrap_or(0) * 3
            + face::CROP * face::CROP * 3
            + if formats.rgb { rgb } else { 0 }
            + if formats.yuv420 {
                Yuv420::bytes(size)
            } else {
                0
            }
    }

    /// Frees the decoded files.
    pub fn forget(&self) {
        self.decoded.forget();
    }

    /// What is decoded for `index`: the index of a file, or of a frame among those of the video that are used.
    pub(super) fn source_index(&self, index: BackgroundIndex) -> usize {
        match &self.source {
            Source::Files(_) => index.0,
            Source::Video(video) => video.sampling.sources[index.0],
        }
    }

    /// Converts a decoded picture to the formats that the output needs.
    pub(super) fn convert(
        &self,
        source_index: usize,
        mut frame: Picture,
        formats: FrameFormats,
    ) -> Result<Background> {
        if !self.keep_alpha {
            frame.flatten();
        }
        Background::new(source_index, frame, self.rects[source_index], formats)
    }
}

#[cfg(test)]
impl Backgrounds {
    /// With another crop rectangle, unchecked.
    pub(crate) fn with_rect(mut self, rect: Rect) -> Self {
        self.rects.fill(rect);
        self
    }
}
