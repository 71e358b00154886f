//! A background folder: all faults in the numbers, pictures and crop rectangles of its frames.
//!
//! - `frames` lists the numbered pictures and pairs them with their crop rectangles.
//! - `frame_stats` decodes one picture and reduces it to a few numbers.
//! - `crop_rects` summarises the rectangles and finds jumps.
//! - `text` words the facts and the warnings, `picture` draws them.

mod crop_rects;
mod frame_stats;
mod frames;
mod picture;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::{counted, listed, rounded};
use crate::cancel::Cancel;
use crate::image::Size;
use crop_rects::CropRectInfo;
use frame_stats::{FrameStats, median};
use frames::{Frame, NumberedPictures, readable_stats};

/// A frame is blurred if its sharpness is below this share of the median.
const BLURRED: f64 = 0.4;
/// A frame is nearly identical to the previous one if it changes by less than this share of the median change.
const NEARLY_IDENTICAL: f64 = 0.03;
/// A frame starts after a cut if it changes by more than this multiple of the median change ..
const CUT: f64 = 8.0;
/// .. and by more than this many levels of 255.
const CUT_LEVELS: f64 = 4.0;
/// Missing numbers that are listed.
const MAX_MISSING: usize = 1000;

/// The facts about a background folder. Frames are identified by the numbers in their file names.
#[derive(Debug, Serialize)]
pub(crate) struct BackgroundInfo {
    /// The folder that contains the pictures.
    pub folder: String,
    /// Number of pictures that have a number.
    pub frames: usize,
    /// Pictures per file format.
    pub formats: BTreeMap<String, usize>,
    /// Width of most pictures, in pixels.
    pub width: u32,
    /// Height of most pictures, in pixels.
    pub height: u32,
    /// Lowest number.
    pub first: u64,
    /// Highest number.
    pub last: u64,
    /// Numbers in between without a picture.
    pub missing: Vec<u64>,
    /// Numbers with two pictures.
    pub doubled_numbers: Vec<u64>,
    /// Names of pictures without a number.
    pub unnumbered: Vec<String>,
    /// Frames that cannot be decoded.
    pub damaged: Vec<u64>,
    /// Frames whose size is not that of most.
    pub odd_sized: Vec<u64>,
    /// Frames that are identical to the previous one.
    pub identical: Vec<u64>,
    /// Frames that hardly differ from the previous one.
    pub nearly_identical: Vec<u64>,
    /// Frames that are much less sharp than most.
    pub blurred: Vec<u64>,
    /// Frames that differ abruptly from the previous one.
    pub cuts: Vec<u64>,
    /// Change from the last frame to the first, as a multiple of the median change between neighbours.
    pub loop_seam: Option<f64>,
    /// The crop rectangles; none if they are missing or cannot be read.
    pub rectangles: Option<CropRectInfo>,
    #[serde(skip)]
    per_frame: Vec<Frame>,
}

impl BackgroundInfo {
    pub(super) fn of(
        path: &Path,
        crop_rects: Option<&Path>,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let pictures = NumberedPictures::in_folder(path)?;
        let rects = crop_rects::read(&pictures.folder, crop_rects, warnings);
        let mut frames = frames::pair(pictures.numbered, rects.as_ref());
        frames.par_iter_mut().try_for_each(|frame| -> Result<()> {
            cancel.check()?;
            frame.stats = FrameStats::of(&frame.path, frame.raw_rect).ok();
            Ok(())
        })?;
        let size = usual_size(&frames);
        measure_changes(&mut frames, size);
        let numbers = |test: &dyn Fn(&Frame) -> bool| frames::numbers_of(&frames, test);
        let usual_change = median(frames.iter().filter_map(|frame| frame.change));
        let usual_sharpness = median(readable_stats(&frames).map(|stats| stats.sharpness));
        let identical = identical(&frames);
        let info = Self {
            frames: frames.len(),
            formats: formats(&frames),
            width: size.width,
            height: size.height,
            first: frames.first().map_or(0, |frame| frame.number),
            last: frames.last().map_or(0, |frame| frame.number),
            missing: missing(&frames),
            doubled_numbers: pictures.doubled_numbers,
            unnumbered: pictures.unnumbered,
            damaged: numbers(&|frame| frame.stats.is_none()),
            odd_sized: numbers(&|frame| frame.stats.as_ref().is_some_and(|s| s.size != size)),
            nearly_identical: numbers(&|frame| {
                let limit = NEARLY_IDENTICAL * usual_change;
                !identical.contains(&frame.number) && frame.change.is_some_and(|c| c < limit)
            }),
            identical,
            blurred: numbers(&|frame| {
                let stats = frame.stats.as_ref();
                stats.is_some_and(|s| s.sharpness < BLURRED * usual_sharpness)
            }),
            cuts: numbers(&|frame| {
                let limit = (CUT * usual_change).max(CUT_LEVELS);
                frame.change.is_some_and(|c| c > limit)
            }),
            loop_seam: loop_seam(&frames, usual_change),
            rectangles: rects.map(|rects| CropRectInfo::of(&rects, &frames)),
            folder: pictures.folder.display().to_string(),
            per_frame: frames,
        };
        info.add_warnings(warnings);
        Ok(info)
    }

    pub(super) fn draw(
        &self,
        path: &str,
        warnings: &[String],
        cancel: &Cancel,
    ) -> Result<RgbImage> {
        picture::draw(self, path, warnings, cancel)
    }
}

/// The size of most pictures.
fn usual_size(frames: &[Frame]) -> Size {
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for stats in readable_stats(frames) {
        let size = (stats.size.width, stats.size.height);
        *sizes.entry(size).or_default() += 1;
    }
    let usual = sizes.into_iter().max_by_key(|(_, count)| *count);
    let (width, height) = usual.map_or((0, 0), |(size, _)| size);
    Size { width, height }
}

/// Sets how much each frame differs from the previous one, if both have the usual size.
fn measure_changes(frames: &mut [Frame], size: Size) {
    for i in 1..frames.len() {
        let (before, rest) = frames.split_at_mut(i);
        let (before, after) = (before[i - 1].stats.as_ref(), rest[0].stats.as_ref());
        rest[0].change = before
            .zip(after)
            .filter(|(a, b)| a.size == size && b.size == size)
            .map(|(a, b)| a.change(b));
    }
}

fn identical(frames: &[Frame]) -> Vec<u64> {
    let same = frames.windows(2).filter(|pair| {
        let stats = pair[0].stats.as_ref().zip(pair[1].stats.as_ref());
        stats.is_some_and(|(a, b)| a.hash == b.hash)
    });
    same.map(|pair| pair[1].number).collect()
}

fn loop_seam(frames: &[Frame], usual_change: f64) -> Option<f64> {
    let first = frames.first()?.stats.as_ref()?;
    let last = frames.last()?.stats.as_ref()?;
    let is_comparable = usual_change > 0.0 && first.size == last.size;
    is_comparable.then(|| rounded(last.change(first) / usual_change))
}

/// The first missing numbers.
fn missing(frames: &[Frame]) -> Vec<u64> {
    let gaps = frames
        .windows(2)
        .flat_map(|pair| pair[0].number + 1..pair[1].number);
    gaps.take(MAX_MISSING).collect()
}

fn formats(frames: &[Frame]) -> BTreeMap<String, usize> {
    let mut formats = BTreeMap::new();
    for frame in frames {
        let extension = frame.path.extension().unwrap_or_default();
        let format = match extension.to_ascii_lowercase().to_str() {
            Some("png") => "PNG",
            Some("webp") => "WebP",
            Some("bmp") => "BMP",
            Some("tif" | "tiff") => "TIFF",
            _ => "JPEG",
        };
        *formats.entry(format.to_owned()).or_default() += 1;
    }
    formats
}
