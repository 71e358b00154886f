//! The numbered pictures of a folder, each with its crop rectangle.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::KINDS_HINT;
use super::frame_stats::FrameStats;
use crate::background::crop_rects::{CropRects, RawRect};
use crate::background::folder::{frame_number, list_pictures};
use crate::background::{FolderContents, inside};
use crate::error::Fault;
use crate::image::Rect;

/// One numbered picture.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Its crop rectangle as read, not checked.
    pub(super) raw_rect: Option<RawRect>,
    /// None if the picture cannot be decoded.
    pub(super) stats: Option<FrameStats>,
    /// Mean difference from the previous frame, in levels of 255; none if they cannot be compared.
    pub(super) change: Option<f64>,
}

impl Frame {
    /// The crop rectangle, if it lies inside the picture.
    pub(super) fn rect(&self) -> Option<Rect> {
        inside(self.raw_rect?, self.stats.as_ref()?.size)
    }
}

/// The pictures of a background folder.
pub(super) struct NumberedPictures {
    /// The folder itself, or `full_body_img/` in it.
    pub(super) folder: PathBuf,
    pub(super) numbered: BTreeMap<u64, PathBuf>,
    /// Numbers of further pictures with a number that another one has.
    pub(super) doubled_numbers: Vec<u64>,
    /// Names of pictures without a number.
    pub(super) unnumbered: Vec<String>,
}

impl NumberedPictures {
    pub(super) fn in_folder(path: &Path) -> Result<Self> {
        let (folder, pictures) = list(path)?;
        let mut numbered = BTreeMap::new();
        let (mut unnumbered, mut doubled_numbers) = (Vec::new(), Vec::new());
        for picture in pictures {
            match frame_number(&picture) {
                Ok(number) if numbered.contains_key(&number) => doubled_numbers.push(number),
                Ok(number) => drop(numbered.insert(number, picture)),
                Err(_) => unnumbered.push(file_name(&picture)),
            }
        }
        Ok(Self {
            folder,
            numbered,
            doubled_numbers,
            unnumbered,
        })
    }
}

/// The pictures of the folder or of `full_body_img/` in it, and which folder it is. At least one has a number.
fn list(path: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let inner = path.join("full_body_img");
    let mut folder = path.to_owned();
    let mut pictures = list_pictures(&folder)?;
    if pictures.is_empty() && inner.is_dir() {
        pictures = list_pictures(&inner)?;
        folder = inner;
    }
    if !pictures.iter().any(|picture| frame_number(picture).is_ok()) {
        let contents = FolderContents::of(&folder);
        let why = format!(
            "the folder has neither .onnx files nor numbered pictures: {}",
            contents.words
        );
        return Err(
            Fault::failed(format!("cannot inspect `{}`", path.display()))
                .because(why)
                .hint(contents.hint.unwrap_or_else(|| KINDS_HINT.into()))
                .into(),
        );
    }
    Ok((folder, pictures))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}

/// Pairs each picture with a crop rectangle: by number if there are as many rectangles as there would be pictures without
/// gaps, else the n-th with the n-th.
pub(super) fn pair(numbered: BTreeMap<u64, PathBuf>, rects: Option<&CropRects>) -> Vec<Frame> {
    let first = numbered.keys().next().copied().unwrap_or(0);
    let last = numbered.keys().next_back().copied().unwrap_or(0);
    let rects = rects.map_or(&[][..], |rects| rects.rects.as_slice());
    let by_number = rects.len() as u64 == last - first + 1;
    let frames = numbered.into_iter().enumerate();
    frames
        .map(|(i, (number, path))| {
            let index = if by_number {
                (number - first) as usize
            } else {
                i
            };
            Frame {
                number,
                path,
                raw_rect: rects.get(index).map(|(_, rect)| *rect),
                stats: None,
                change: None,
            }
        })
        .collect()
}

/// The stats of the frames that can be decoded.
pub(super) fn readable_stats(frames: &[Frame]) -> impl Iterator<Item = &FrameStats> {
    frames.iter().filter_map(|frame| frame.stats.as_ref())
}

/// The numbers of the frames that pass a test.
pub(super) fn numbers_of(frames: &[Frame], test: &dyn Fn(&Frame) -> bool) -> Vec<u64> {
    let found = frames.iter().filter(|frame| test(frame));
    found.map(|frame| frame.number).collect()
}
