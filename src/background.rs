//! A folder of background pictures with their crop rectangles: checked as a whole, then decoded as needed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use crate::crop_rects::{self, CropRects};
use crate::error::{Fault, plain_io};
use crate::face;
use crate::frame::{BackgroundIndex, Picture, Rect, Size};

/// Memory for decoded pictures that is enough for short folders, in bytes: 64 frames of 1280x720 with their crops.
pub const DEFAULT_KEEP_BYTES: usize = 192 << 20;

/// Pixels of a frame at most: a header may promise any number, and many frames are held at a time.
const MOST_PIXELS: u64 = 8192 * 8192;

/// Extensions of pictures, lower case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// A background folder that was checked: every frame has a number, a size and a rectangle inside it.
#[derive(Debug)]
pub struct BackgroundFolder {
    frames: Vec<(PathBuf, Rect)>,
    size: Size,
    /// What the user should know although it stops nothing.
    pub warnings: Vec<String>,
}

impl BackgroundFolder {
    /// Lists and checks `folder` (or `full_body_img/` in it); `crop_rects` names the rectangles' file or folder,
    /// else they are looked for in and beside the folder.
    pub fn open(folder: &Path, crop_rects: Option<&Path>) -> Result<Self> {
        let (folder, numbered) = list_frames(folder)?;
        let source = match crop_rects {
            Some(path) => path.to_owned(),
            None => crop_rects::find(&folder).ok_or_else(|| {
                Fault::failed(format!("background folder `{}` has no crop rectangles", folder.display()))
                    .because("neither crop_rects.json nor crop_rectangles.json nor landmarks/ is in or beside it")
                    .hint("write crop_rects.json: a list with one [x0, y0, x1, y1] for each frame, in pixels; or name a file with --crop-rects")
            })?,
        };
        let rects = crop_rects::read(&source)?;
        let mut warnings = Vec::new();
        let rects = pair(&numbered, &rects, &mut warnings)?;
        let sizes: Vec<Size> = numbered
            .par_iter()
            .map(|(_, path)| picture_size(path))
            .collect::<Result<_>>()?;
        let size = sizes[0];
        let mut frames = Vec::with_capacity(numbered.len());
        for (((number, path), raw), frame_size) in numbered.into_iter().zip(rects).zip(sizes) {
            if frame_size != size {
                return Err(Fault::failed(format!(
                    "background frame `{}` is {frame_size}, the first one is {size}",
                    path.display()
                ))
                .hint("all frames of a folder must have one size")
                .into());
            }
            let rect = inside(raw, size).ok_or_else(|| {
                let [x0, y0, x1, y1] = raw;
                Fault::failed(format!(
                    "crop rectangle [{x0}, {y0}, {x1}, {y1}] of frame {number} is not inside its picture"
                ))
                .because(format!(
                    "`{}` is {size}; the rectangle comes from `{}`",
                    path.display(),
                    source.display()
                ))
                .hint("rectangles are [x0, y0, x1, y1] in pixels with 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height")
            })?;
            frames.push((path, rect));
        }
        Ok(Self {
            frames,
            size,
            warnings,
        })
    }

    /// How many pictures there are; at least 1.
    pub fn count(&self) -> usize {
        self.frames.len()
    }

    /// The size of every picture.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Where the face is in a picture.
    pub fn rect(&self, index: BackgroundIndex) -> Rect {
        self.frames[index.0].1
    }

    fn load(&self, index: BackgroundIndex) -> Result<Background> {
        let (path, rect) = &self.frames[index.0];
        let picture = image::open(path)
            .map_err(|e| unreadable(path, e))?
            .into_rgb8();
        let frame = Picture {
            width: picture.width() as usize,
            height: picture.height() as usize,
            pixels: picture.into_raw(),
            alpha: None,
        };
        if frame.size() != self.size {
            return Err(Fault::failed(format!(
                "background frame `{}` changed while it was in use: it was {}, now it is {}",
                path.display(),
                self.size,
                frame.size()
            ))
            .into());
        }
        Ok(Background {
            crop: face::crop(&frame, *rect),
            frame,
            rect: *rect,
        })
    }
}

#[cfg(test)]
impl BackgroundFolder {
    /// The same with another rectangle, unchecked.
    pub(crate) fn with_rect(mut self, rect: Rect) -> Self {
        self.frames.iter_mut().for_each(|frame| frame.1 = rect);
        self
    }
}

/// A decoded background picture.
#[derive(Debug)]
pub struct Background {
    /// The whole picture.
    pub frame: Picture,
    /// Where its face is.
    pub rect: Rect,
    /// The rectangle resized to 328x328.
    pub crop: Picture,
}

impl Background {
    fn bytes(&self) -> usize {
        self.frame.pixels.len() + self.crop.pixels.len()
    }
}

/// Decodes backgrounds and keeps the first ones that fit the budget.
///
/// Nothing is ever thrown out: the pictures are asked for in a cycle, where a cache that keeps the latest would always
/// have lost the next one.
#[derive(Debug)]
pub struct BackgroundCache<'a> {
    folder: &'a BackgroundFolder,
    kept: HashMap<BackgroundIndex, Arc<Background>>,
    bytes_left: usize,
}

impl<'a> BackgroundCache<'a> {
    /// An empty cache over `folder`, for `bytes` of decoded pictures.
    pub fn new(folder: &'a BackgroundFolder, bytes: usize) -> Self {
        Self {
            folder,
            kept: HashMap::new(),
            bytes_left: bytes,
        }
    }

    /// The pictures of `indices`, in that order; what is missing is decoded in parallel.
    pub fn get(&mut self, indices: &[BackgroundIndex]) -> Result<Vec<Arc<Background>>> {
        let pictures: Vec<Arc<Background>> = indices
            .par_iter()
            .map(|index| match self.kept.get(index) {
                Some(kept) => Ok(Arc::clone(kept)),
                None => self.folder.load(*index).map(Arc::new),
            })
            .collect::<Result<_>>()?;
        for (index, picture) in indices.iter().zip(&pictures) {
            if self.bytes_left >= picture.bytes() && !self.kept.contains_key(index) {
                self.bytes_left -= picture.bytes();
                self.kept.insert(*index, Arc::clone(picture));
            }
        }
        Ok(pictures)
    }
}

/// The numbered pictures of `folder` or of `full_body_img/` in it, in order, without a gap.
fn list_frames(folder: &Path) -> Result<(PathBuf, Vec<(u64, PathBuf)>)> {
    let mut pictures = list_pictures(folder)?;
    let mut place = folder.to_owned();
    let inner = folder.join("full_body_img");
    if pictures.is_empty() && inner.is_dir() {
        pictures = list_pictures(&inner)?;
        place = inner;
    }
    if pictures.is_empty() {
        return Err(Fault::failed(format!(
            "background folder `{}` holds no pictures",
            folder.display()
        ))
        .hint("put numbered JPEG or PNG frames in it: 0.jpg, 1.jpg, .. or frame_0000.png, ..")
        .into());
    }
    let mut numbered = BTreeMap::new();
    for path in pictures {
        let number = frame_number(&path).ok_or_else(|| {
            Fault::failed(format!(
                "background frame `{}` has no number",
                path.display()
            ))
            .hint(
                "name frames 0.jpg, 1.jpg, .. or frame_0000.png, ..; move other pictures elsewhere",
            )
        })?;
        if let Some(other) = numbered.insert(number, path.clone()) {
            return Err(Fault::failed(format!(
                "two background frames have the number {number}: `{}` and `{}`",
                other.display(),
                path.display()
            ))
            .hint("keep one of them")
            .into());
        }
    }
    let first = numbered.keys().next().copied().unwrap_or(0);
    let last = numbered.keys().next_back().copied().unwrap_or(0);
    if let Some(gap) = (first..last).find(|n| !numbered.contains_key(n)) {
        return Err(Fault::failed(format!(
            "background folder `{}` lacks frame {gap}",
            place.display()
        ))
        .because(format!(
            "its {} pictures are numbered {first} to {last}",
            numbered.len()
        ))
        .hint("put the frame back, or number the frames without a gap")
        .into());
    }
    Ok((place, numbered.into_iter().collect()))
}

/// The pictures of a folder in the order of their names; hidden files and those of other kinds are left out.
pub(crate) fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let fault = |e: &std::io::Error| {
        Fault::failed(format!(
            "cannot read background folder `{}`",
            folder.display()
        ))
        .because(plain_io(e))
    };
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| fault(&e))? {
        let path = entry.map_err(|e| fault(&e))?.path();
        let hidden = path
            .file_name()
            .is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        if !hidden
            && EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
            && path.is_file()
        {
            pictures.push(path);
        }
    }
    pictures.sort_by(|a, b| natord::compare(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(pictures)
}

/// The number at the end of a file's stem: 7 for `7.jpg` and `frame_0007.png`.
pub(crate) fn frame_number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let digits = stem.len() - stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    stem[stem.len() - digits..].parse().ok()
}

/// The n-th rectangle for the n-th frame; says so where their numbers differ.
fn pair(
    frames: &[(u64, PathBuf)],
    rects: &CropRects,
    warnings: &mut Vec<String>,
) -> Result<Vec<[i64; 4]>> {
    let (have, need) = (rects.rects.len(), frames.len());
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
    let (frame, rect) = (frames[0].0, rects.rects[0].0);
    if rects.numbered && frame != rect {
        warnings.push(format!(
            "background frames are numbered from {frame}, `{source}` from {rect}: paired in order, the first with the first"
        ));
    }
    Ok(rects
        .rects
        .iter()
        .take(need)
        .map(|(_, rect)| *rect)
        .collect())
}

/// The rectangle, if it is not empty and lies inside a picture of `size`.
pub(crate) fn inside([x0, y0, x1, y1]: [i64; 4], size: Size) -> Option<Rect> {
    let fits = 0 <= x0 && x0 < x1 && x1 <= i64::from(size.width);
    let fits = fits && 0 <= y0 && y0 < y1 && y1 <= i64::from(size.height);
    fits.then_some(Rect {
        x0: x0 as u32,
        y0: y0 as u32,
        x1: x1 as u32,
        y1: y1 as u32,
    })
}

fn picture_size(path: &Path) -> Result<Size> {
    let (width, height) = image::image_dimensions(path).map_err(|e| unreadable(path, e))?;
    let size = Size { width, height };
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(Fault::failed(format!(
            "background frame `{}` is too large: {size}",
            path.display()
        ))
        .because(format!(
            "frames have {MOST_PIXELS} pixels (8192x8192) at most"
        ))
        .hint("make the frames smaller, or export a damaged one again")
        .into());
    }
    Ok(size)
}

fn unreadable(path: &Path, error: image::ImageError) -> Fault {
    let fault = Fault::failed(format!("cannot read background frame `{}`", path.display()));
    match error {
        image::ImageError::IoError(io) if io.kind() != ErrorKind::UnexpectedEof => {
            fault.because(plain_io(&io))
        }
        damage => fault
            .because(damage)
            .hint("the picture is damaged; export it again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_the_stem() {
        let number = |name: &str| frame_number(Path::new(name));
        assert_eq!(number("7.jpg"), Some(7));
        assert_eq!(number("frame_0012.png"), Some(12));
        assert_eq!(number("cover.png"), None);
    }

    #[test]
    fn pairing_says_when_the_numbers_differ() {
        let frames: Vec<(u64, PathBuf)> = (1..4).map(|n| (n, PathBuf::new())).collect();
        let rects = CropRects {
            source: "landmarks".into(),
            rects: (0..3).map(|n| (n, [n as i64, 0, 9, 9])).collect(),
            numbered: true,
        };
        let mut warnings = Vec::new();
        let paired = pair(&frames, &rects, &mut warnings).unwrap();
        assert_eq!(paired[0], [0, 0, 9, 9]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}
