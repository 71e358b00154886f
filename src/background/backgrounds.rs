//! All backgrounds of a clip: opened and checked as a whole, then decoded as needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use super::crop_rects::{self, CropRects};
use super::decoded::{Background, DecodedFrames, FrameFormats};
use super::footage::{Footage, FootageReader};
use super::pairing::{check_rect, pair, read_rects};
use super::video::VideoFile;
use super::{folder, still};
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};
use crate::face;
use crate::image::yuv420::{self, Yuv420};
use crate::image::{Picture, Rect, Size};
use crate::timeline::{BackgroundIndex, FrameRate};

/// Backgrounds that were checked: every picture has a size and a rectangle inside it.
#[derive(Debug)]
pub struct Backgrounds {
    pub(super) source: Source,
    /// The rectangle of each file, or of each of the video's pictures that is shown.
    rects: Vec<Rect>,
    size: Size,
    keep_alpha: bool,
    has_alpha: bool,
    /// Pictures of files that were decoded and stay, for all clips that show them.
    pub(super) decoded: DecodedFrames,
    /// What the user should know although it stops nothing.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Source {
    /// One file for each background picture.
    Files(Vec<PathBuf>),
    /// A video, sampled at the clip's rate.
    Video(Box<Footage>),
}

impl Backgrounds {
    /// Lists and checks a folder of frames (or `full_body_img/` in it), a single picture, or a video.
    ///
    /// `crop_rects` names the rectangles' file or folder, else they are looked for in and beside `path`. Of a folder, each
    /// picture is one background, whatever `fps`; of a video, background k is what it shows at k / `fps` seconds, so that
    /// it moves at its own speed. Without `keep_alpha`, transparent pictures come on black.
    pub fn open(
        path: &Path,
        crop_rects: Option<&Path>,
        fps: FrameRate,
        keep_alpha: bool,
    ) -> Result<Self> {
        let kind = fs::metadata(path).map_err(|e| {
            Fault::failed(format!("cannot read background `{}`", path.display()))
                .because(plain_io(&e))
        })?;
        let mut backgrounds = if kind.is_dir() {
            let (folder, numbered) = folder::list(path)?;
            let rects = read_rects(path, crop_rects, || crop_rects::find(&folder))?;
            Self::of_files(numbered, &rects)?
        } else {
            let rects = || read_rects(path, crop_rects, || crop_rects::find_for_file(path));
            if still::is_named_like_one(path) {
                Self::of_files(vec![(0, path.to_owned())], &rects()?)?
            } else {
                Self::of_video(Footage::open(path, fps)?, &rects()?)?
            }
        };
        backgrounds.keep_alpha = keep_alpha;
        if backgrounds.has_alpha && !keep_alpha {
            backgrounds.warnings.push(
                "the background is transparent, which this output cannot be: it is shown on black; --codec prores4444 -o NAME.mov keeps it"
                    .into(),
            );
        }
        Ok(backgrounds)
    }

    fn of_files(numbered: Vec<(u64, PathBuf)>, rects: &CropRects) -> Result<Self> {
        let mut warnings = Vec::new();
        let raw = pair(numbered[0].0, numbered.len(), rects, &mut warnings)?;
        let headers: Vec<(Size, bool)> = numbered
            .par_iter()
            .map(|(_, path)| still::header(path))
            .collect::<Result<_>>()?;
        let size = headers[0].0;
        let mut checked = Vec::with_capacity(numbered.len());
        for (((number, path), raw), (frame_size, _)) in numbered.iter().zip(raw).zip(&headers) {
            if *frame_size != size {
                return Err(Fault::failed(format!(
                    "background frame `{}` is {frame_size}, the first one is {size}",
                    path.display()
                ))
                .hint("all frames of a folder must have one size")
                .into());
            }
            checked.push(check_rect(raw, *number, path, size, rects)?);
        }
        // Most pictures with an alpha channel are opaque all over; the first one tells.
        let first_may_be = headers[0].1;
        let has_alpha = first_may_be
            && still::load(&numbered[0].1, still::BACKGROUND)?
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

    fn of_video(footage: Footage, rects: &CropRects) -> Result<Self> {
        let (path, size) = (footage.file.path(), footage.file.size);
        if size.width > still::MAX_SIDE || size.height > still::MAX_SIDE {
            let most = still::MAX_SIDE;
            return Err(Fault::failed(format!(
                "cannot use video `{}` as background",
                path.display()
            ))
            .because(format!(
                "it is {size}; pictures of up to {most}x{most} can be read"
            ))
            .into());
        }
        let mut warnings = notes_on(&footage.file);
        let raw = pair(0, footage.sequence.frames(), rects, &mut warnings)?;
        let mut checked = Vec::with_capacity(raw.len());
        for (number, raw) in (0..).zip(raw) {
            checked.push(check_rect(raw, number, path, size, rects)?);
        }
        let mut first = Picture::default();
        FootageReader::new(&footage)?.read(0, &mut first)?;
        Ok(Self {
            rects: footage.sequence.shown.iter().map(|&n| checked[n]).collect(),
            source: Source::Video(Box::new(footage)),
            size,
            keep_alpha: false,
            has_alpha: first.alpha.is_some(),
            decoded: DecodedFrames::default(),
            warnings,
        })
    }

    /// How many background pictures there are; at least 1.
    pub fn count(&self) -> usize {
        match &self.source {
            Source::Files(paths) => paths.len(),
            Source::Video(footage) => footage.sequence.places.len(),
        }
    }

    /// The size of every picture.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Where the face is in a background.
    pub fn rect(&self, index: BackgroundIndex) -> Rect {
        self.rects[self.place(index)]
    }

    /// What `look` finds in each background and its rectangle, in order; a folder's pictures are looked at side by side.
    pub fn survey<T: Send>(
        &self,
        cancel: &Cancel,
        look: impl Fn(&Picture, Rect) -> T + Sync,
    ) -> Result<Vec<T>> {
        match &self.source {
            Source::Files(paths) => {
                let files = paths.par_iter().zip(&self.rects);
                let looks = files.map(|(path, rect)| {
                    cancel.check()?;
                    Ok(look(&self.load(path)?, *rect))
                });
                looks.collect()
            }
            Source::Video(footage) => {
                let mut reader = FootageReader::new(footage)?;
                let mut picture = Picture::default();
                let looks = self.rects.iter().enumerate().map(|(place, rect)| {
                    cancel.check()?;
                    reader.read(place, &mut picture)?;
                    Ok(look(&picture, *rect))
                });
                looks.collect()
            }
        }
    }

    /// Decodes the file of a background.
    pub(super) fn load(&self, path: &Path) -> Result<Picture> {
        let frame = still::load(path, still::BACKGROUND)?;
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

    /// Whether pictures come with their transparency.
    pub fn has_alpha(&self) -> bool {
        self.has_alpha && self.keep_alpha
    }

    /// The files that its pictures are in.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (paths, video) = match &self.source {
            Source::Files(paths) => (paths.as_slice(), None),
            Source::Video(footage) => (&[][..], Some(footage.file.path())),
        };
        paths.iter().map(PathBuf::as_path).chain(video)
    }

    /// Memory that its decoded pictures hold, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.decoded.bytes()
    }

    /// Memory that one decoded background takes at most, in bytes.
    pub(super) fn most_bytes(&self, forms: FrameFormats) -> usize {
        let size = self.size;
        let pixels = size.width as usize * size.height as usize;
        let areas = self.rects.iter().map(|&rect| {
            let area = yuv420::grown(rect, size);
            area.width() * area.height()
        });
        let rgb = pixels * if self.has_alpha() { 4 } else { 3 };
        areas.max().unwrap_or(0) * 3
            + face::CROP * face::CROP * 3
            + if forms.rgb { rgb } else { 0 }
            + if forms.yuv420 { Yuv420::bytes(size) } else { 0 }
    }

    /// Lets its decoded pictures go.
    pub fn forget(&self) {
        self.decoded.forget();
    }

    /// What is decoded for `index`: the number of a file, or of a picture among those of the video that are shown.
    pub(super) fn place(&self, index: BackgroundIndex) -> usize {
        match &self.source {
            Source::Files(_) => index.0,
            Source::Video(footage) => footage.sequence.places[index.0],
        }
    }

    /// The picture at `place` as the pipeline takes it.
    pub(super) fn prepared(
        &self,
        place: usize,
        mut frame: Picture,
        forms: FrameFormats,
    ) -> Result<Background> {
        if !self.keep_alpha {
            frame.flatten();
        }
        Background::new(place, frame, self.rects[place], forms)
    }
}

#[cfg(test)]
impl Backgrounds {
    /// The same with another rectangle, unchecked.
    pub(crate) fn with_rect(mut self, rect: Rect) -> Self {
        self.rects.fill(rect);
        self
    }
}

/// What a video's user may want to know.
fn notes_on(file: &VideoFile) -> Vec<String> {
    let mut notes = Vec::new();
    let shown = file.path().display();
    if file.is_hdr() {
        notes.push(format!(
            "`{shown}` is HDR video, which will look pale: convert it to BT.709 first"
        ));
    }
    if (file.pixel_aspect - 1.0).abs() > 0.01 {
        notes.push(format!(
            "the pixels of `{shown}` are {:.3} times as wide as high; the clip shows them square",
            file.pixel_aspect
        ));
    }
    notes
}
