//! Background pictures with their crop rectangles, from a folder or a video: checked as a whole, then decoded as needed.

pub(crate) mod folder;
mod footage;
mod sequence;
mod still;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use crate::crop_rects::{self, CropRects, RawRect};
use crate::error::{Fault, plain_io};
use crate::face;
use crate::frame::{BackgroundIndex, FrameRate, Picture, Rect, Size};
use crate::video::VideoFile;
use footage::{Footage, FootageReader};

/// Decoded pictures that are kept if nothing else is asked for, in bytes: 64 frames of 1280x720 with their crops.
pub const DEFAULT_KEEP_BYTES: usize = 192 << 20;

/// Backgrounds that were checked: every picture has a size and a rectangle inside it.
#[derive(Debug)]
pub struct Backgrounds {
    source: Source,
    /// The rectangle of each file, or of each of the video's pictures that is shown.
    rects: Vec<Rect>,
    size: Size,
    keep_alpha: bool,
    has_alpha: bool,
    /// What the user should know although it stops nothing.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
enum Source {
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
        let has_alpha = first_may_be && still::load(&numbered[0].1)?.alpha.is_some();
        Ok(Self {
            source: Source::Files(numbered.into_iter().map(|(_, path)| path).collect()),
            rects: checked,
            size,
            keep_alpha: false,
            has_alpha,
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

    /// Whether pictures come with their transparency.
    pub fn has_alpha(&self) -> bool {
        self.has_alpha && self.keep_alpha
    }

    /// What is decoded for `index`: the number of a file, or of a picture among those of the video that are shown.
    fn place(&self, index: BackgroundIndex) -> usize {
        match &self.source {
            Source::Files(_) => index.0,
            Source::Video(footage) => footage.sequence.places[index.0],
        }
    }

    /// Cuts out the crop of the picture at `place`.
    fn background(&self, place: usize, mut frame: Picture) -> Background {
        if !self.keep_alpha {
            frame.flatten();
        }
        let rect = self.rects[place];
        Background {
            place,
            crop: face::crop(&frame, rect),
            frame,
            rect,
        }
    }

    fn load(&self, place: usize, path: &Path) -> Result<Background> {
        let frame = still::load(path)?;
        if frame.size() != self.size {
            return Err(Fault::failed(format!(
                "background frame `{}` changed while it was in use: it was {}, now it is {}",
                path.display(),
                self.size,
                frame.size()
            ))
            .into());
        }
        Ok(self.background(place, frame))
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

/// A decoded background picture.
#[derive(Debug)]
pub struct Background {
    /// Which picture it is: the number of a file, or of a picture among those of a video that are shown.
    pub place: usize,
    /// The whole picture.
    pub frame: Picture,
    /// Where its face is.
    pub rect: Rect,
    /// The rectangle resized to 328x328.
    pub crop: Picture,
}

impl Background {
    fn bytes(&self) -> usize {
        let of = |p: &Picture| p.pixels.len() + p.alpha.as_ref().map_or(0, Vec::len);
        of(&self.frame) + of(&self.crop)
    }
}

/// Decodes backgrounds, and keeps of them what fits into its memory.
///
/// Of files, it keeps the first ones for good: the pictures are asked for in a cycle, where a cache that keeps the latest
/// would always have lost the next one. A video can be decoded only forward, from a key picture on: going forward, it keeps
/// the latest; going backward, it decodes a run of pictures at a time and hands them out from the end.
pub struct BackgroundCache<'a> {
    backgrounds: &'a Backgrounds,
    /// Pictures by their place.
    kept: BTreeMap<usize, Arc<Background>>,
    bytes: usize,
    bytes_left: usize,
    reader: Option<FootageReader<'a>>,
}

impl<'a> BackgroundCache<'a> {
    /// An empty cache over `backgrounds` that keeps up to so many bytes, and of a video at least one picture.
    pub fn new(backgrounds: &'a Backgrounds, bytes: usize) -> Self {
        Self {
            backgrounds,
            kept: BTreeMap::new(),
            bytes,
            bytes_left: bytes,
            reader: None,
        }
    }

    /// The pictures of `indices`, in that order.
    pub fn get(&mut self, indices: &[BackgroundIndex]) -> Result<Vec<Arc<Background>>> {
        let places: Vec<usize> = indices
            .iter()
            .map(|&index| self.backgrounds.place(index))
            .collect();
        match &self.backgrounds.source {
            Source::Files(paths) => self.get_files(paths, &places),
            Source::Video(footage) => places
                .iter()
                .map(|&place| self.get_shown(footage, place))
                .collect(),
        }
    }

    /// What is missing is decoded in parallel.
    fn get_files(&mut self, paths: &[PathBuf], places: &[usize]) -> Result<Vec<Arc<Background>>> {
        let (backgrounds, kept) = (self.backgrounds, &self.kept);
        let pictures: Vec<Arc<Background>> = places
            .par_iter()
            .map(|&place| match kept.get(&place) {
                Some(kept) => Ok(Arc::clone(kept)),
                None => backgrounds.load(place, &paths[place]).map(Arc::new),
            })
            .collect::<Result<_>>()?;
        for (&place, picture) in places.iter().zip(&pictures) {
            if self.bytes_left >= picture.bytes() && !self.kept.contains_key(&place) {
                self.bytes_left -= picture.bytes();
                self.kept.insert(place, Arc::clone(picture));
            }
        }
        Ok(pictures)
    }

    fn get_shown(&mut self, footage: &'a Footage, wanted: usize) -> Result<Arc<Background>> {
        if let Some(kept) = self.kept.get(&wanted) {
            return Ok(Arc::clone(kept));
        }
        let room = self.room();
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(FootageReader::new(footage)?),
        };
        for place in footage.sequence.run_to(wanted, room, reader.at) {
            // Room first, so that there is never one picture too many.
            while self.kept.len() >= room {
                let last_is_passed = self.kept.keys().next_back() > Some(&wanted);
                let _ = if last_is_passed {
                    self.kept.pop_last()
                } else {
                    self.kept.pop_first()
                };
            }
            let mut frame = Picture::default();
            reader.read(place, &mut frame)?;
            let background = self.backgrounds.background(place, frame);
            self.kept.insert(place, Arc::new(background));
        }
        Ok(Arc::clone(&self.kept[&wanted]))
    }

    /// Pictures of a video that fit.
    fn room(&self) -> usize {
        let Size { width, height } = self.backgrounds.size;
        let channels = if self.backgrounds.has_alpha() { 4 } else { 3 };
        let each = width as usize * height as usize * channels + face::CROP * face::CROP * 3;
        (self.bytes / each).max(1)
    }
}

/// Reads the rectangles of `path` from the file that is named, else from where `find` finds them.
fn read_rects(
    path: &Path,
    named: Option<&Path>,
    find: impl Fn() -> Option<PathBuf>,
) -> Result<CropRects> {
    let source = named.map(Path::to_owned).or_else(find).ok_or_else(|| {
        let fault = Fault::failed(format!("background `{}` has no crop rectangles", path.display()));
        let fault = if path.is_dir() {
            fault.because("neither crop_rects.json nor crop_rectangles.json nor landmarks/ is in or beside it")
        } else {
            let own = crop_rects::own_name(path);
            fault.because(format!(
                "neither {} nor crop_rects.json nor crop_rectangles.json nor landmarks/ is beside it",
                own.to_string_lossy()
            ))
        };
        fault.hint("write crop_rects.json: a list with one [x0, y0, x1, y1] for each frame, in pixels; or name a file with --crop-rects")
    })?;
    crop_rects::read(&source)
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

/// The n-th rectangle for the n-th of `need` frames, of which the first has the number `first`; says so where the
/// rectangles' numbers differ.
fn pair(
    first: u64,
    need: usize,
    rects: &CropRects,
    warnings: &mut Vec<String>,
) -> Result<Vec<RawRect>> {
    let have = rects.rects.len();
    let source = rects.source.display();
    if have < need {
        return Err(Fault::failed(format!(
            "`{source}` has fewer crop rectangles ({have}) than there are background frames ({need})"
        ))
        .hint("each frame needs a rectangle")
        .into());
    }
    if have > need {
        warnings.push(format!("`{source}` has more crop rectangles ({have}) than there are background frames ({need}): the last {} are not used", have - need));
    }
    let rect = rects.rects[0].0;
    if rects.numbered && first != rect {
        warnings.push(format!(
            "background frames are numbered from {first}, `{source}` from {rect}: paired in order, the first with the first"
        ));
    }
    Ok(rects
        .rects
        .iter()
        .take(need)
        .map(|(_, rect)| *rect)
        .collect())
}

/// The rectangle of frame `number`, if it is not empty and lies inside the picture of `path`, which has `size`.
fn check_rect(
    raw: RawRect,
    number: u64,
    path: &Path,
    size: Size,
    rects: &CropRects,
) -> Result<Rect> {
    let [x0, y0, x1, y1] = raw;
    Ok(inside(raw, size).ok_or_else(|| {
        Fault::failed(format!(
            "crop rectangle [{x0}, {y0}, {x1}, {y1}] of frame {number} is not inside its picture"
        ))
        .because(format!(
            "`{}` is {size}; the rectangle comes from `{}`",
            path.display(),
            rects.source.display()
        ))
        .hint("rectangles are [x0, y0, x1, y1] in pixels with 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height")
    })?)
}

pub(crate) fn inside([x0, y0, x1, y1]: RawRect, size: Size) -> Option<Rect> {
    let fits = 0 <= x0 && x0 < x1 && x1 <= i64::from(size.width);
    let fits = fits && 0 <= y0 && y0 < y1 && y1 <= i64::from(size.height);
    fits.then_some(Rect {
        x0: x0 as u32,
        y0: y0 as u32,
        x1: x1 as u32,
        y1: y1 as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairing_says_when_the_numbers_differ() {
        let rects = CropRects {
            source: "landmarks".into(),
            rects: (0..3).map(|n| (n, [n as i64, 0, 9, 9])).collect(),
            numbered: true,
        };
        let mut warnings = Vec::new();
        let paired = pair(1, 3, &rects, &mut warnings).unwrap();
        assert_eq!(paired[0], [0, 0, 9, 9]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}
