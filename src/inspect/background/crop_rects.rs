//! The crop rectangles of a background folder.

use std::path::Path;

use serde::Serialize;

use super::frame_stats::median;
use super::frames::{Frame, numbers_of};
use crate::background::crop_rects::{self, CropRects};
use crate::image::Rect;

/// A rectangle jumps if an edge moves by more than this share of the median side within one frame ..
const JUMP: f64 = 0.05;
/// .. and by more than this many pixels.
const JUMP_PIXELS: u32 = 4;

/// The facts about the crop rectangles.
#[derive(Debug, Serialize)]
pub(crate) struct CropRectInfo {
    /// The file or folder they come from.
    pub source: String,
    /// How many there are.
    pub count: usize,
    /// Shortest side in pixels.
    pub min_side: u32,
    /// Longest side in pixels.
    pub max_side: u32,
    /// Distance from the leftmost to the rightmost left edge, in pixels.
    pub travel_x: u32,
    /// Distance from the highest to the lowest top edge, in pixels.
    pub travel_y: u32,
    /// Pixels that an edge may move from one frame to the next.
    pub jump_limit: u32,
    /// Neighbouring frames between which an edge moves more.
    pub jumps: Vec<RectJump>,
    /// Frames with a rectangle that is empty or not inside the picture.
    pub outside: Vec<u64>,
    /// Frames without a rectangle.
    pub without: Vec<u64>,
}

/// A rectangle that moves too far within one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct RectJump {
    /// The frame before.
    pub from: u64,
    /// The frame after.
    pub to: u64,
    /// How far the edge that moves most moves, in pixels.
    pub pixels: u32,
}

impl CropRectInfo {
    pub(super) fn of(rects: &CropRects, frames: &[Frame]) -> Self {
        let valid: Vec<Rect> = frames.iter().filter_map(Frame::rect).collect();
        let sides = || {
            valid
                .iter()
                .flat_map(|r| [r.width() as u32, r.height() as u32])
        };
        let limit = (median(sides().map(f64::from)) * JUMP) as u32;
        let jump_limit = limit.max(JUMP_PIXELS);
        Self {
            source: rects.source.display().to_string(),
            count: rects.rects.len(),
            min_side: sides().min().unwrap_or(0),
            max_side: sides().max().unwrap_or(0),
            travel_x: travel(valid.iter().map(|r| r.x0)),
            travel_y: travel(valid.iter().map(|r| r.y0)),
            jump_limit,
            jumps: jumps(frames, jump_limit),
            outside: numbers_of(frames, &|frame| {
                frame.stats.is_some() && frame.raw_rect.is_some() && frame.rect().is_none()
            }),
            without: numbers_of(frames, &|frame| frame.raw_rect.is_none()),
        }
    }
}

fn travel(edges: impl Iterator<Item = u32> + Clone) -> u32 {
    edges.clone().max().unwrap_or(0) - edges.min().unwrap_or(0)
}

fn jumps(frames: &[Frame], limit: u32) -> Vec<RectJump> {
    let pairs = frames.windows(2).filter_map(|pair| {
        let (a, b) = (pair[0].rect()?, pair[1].rect()?);
        let edges = [(a.x0, b.x0), (a.y0, b.y0), (a.x1, b.x1), (a.y1, b.y1)];
        let pixels = edges.iter().map(|(a, b)| a.abs_diff(*b)).max()?;
        Some(RectJump {
            from: pair[0].number,
            to: pair[1].number,
            pixels,
        })
    });
    pairs.filter(|jump| jump.pixels > limit).collect()
}

/// Reads the rectangles from the file that the user named, or else from the one in or next to `folder`. That they are
/// missing or cannot be read becomes a warning.
pub(super) fn read(
    folder: &Path,
    named: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Option<CropRects> {
    let Some(source) = named
        .map(Path::to_owned)
        .or_else(|| crop_rects::find(folder))
    else {
        warnings.push(
            "there are no crop rectangles: neither crop_rects.json nor crop_rectangles.json nor \
             landmarks/ is in the folder or next to it"
                .into(),
        );
        return None;
    };
    match crop_rects::read(&source) {
        Ok(rects) => Some(rects),
        Err(error) => {
            warnings.push(format!("{error:#}"));
            None
        }
    }
}
