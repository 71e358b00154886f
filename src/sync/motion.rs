//! The brightness of each part of the picture from frame to frame, and where the picture is frozen.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::grid::{RECT_CELLS, cell_means, whole_cells, whole_grid, whole_rect};
use super::known_backgrounds::KnownBackgrounds;
use crate::background;
use crate::background::crop_rects;
use crate::cancel::Cancel;
use crate::image::{Rect, Size};

/// A cell that changes less than this, in levels of 255, is still: encoders refine a frozen picture gradually.
const STILL_BELOW: f32 = 2.0;
/// Largest difference between a clip and its backgrounds, in levels of 255: coding and colour conversion change the
/// mean of a cell by less than 2.
const MAX_BACKGROUND_DISTANCE: f32 = 6.0;

/// Which part of the frames of a video is compared.
#[derive(Debug)]
pub(crate) enum View {
    /// The whole picture.
    Whole,
    /// A crop rectangle per frame; the last one is used for all that follow. At least one.
    Rects(Vec<Rect>),
    /// What a frame adds to its background, in the crop rectangle of that background.
    Known(KnownBackgrounds),
}

/// What the user states about how a clip was rendered.
#[derive(Debug, Clone, Default)]
pub(crate) struct RenderInputs {
    /// The backgrounds.
    pub background: Option<PathBuf>,
    /// The crop rectangles of the backgrounds; without backgrounds, those of the clip's frames.
    pub crop_rects: Option<PathBuf>,
}

/// One frame, reduced to its cells.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Mean brightness of each cell, 0..255, row by row.
    cells: Vec<f32>,
    /// The crop rectangle that the cells cover.
    rect: Option<Rect>,
    /// The background that the frame shows.
    background: Option<usize>,
    /// Mean difference from that background outside the crop rectangle, in levels of 255.
    distance: f32,
}

impl View {
    /// Decides which part of `clip`, with frames of `size`, to compare: what it adds to its backgrounds, if they are
    /// known; else its crop rectangles, which may be next to it (`talk.crop_rects.json` for `talk.mp4`); else whole
    /// frames.
    pub(crate) fn of(
        clip: &Path,
        size: Size,
        making: &RenderInputs,
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let named = making.crop_rects.as_deref();
        if let Some(background) = &making.background {
            return Ok(Self::Known(KnownBackgrounds::of(
                background, named, size, cancel,
            )?));
        }
        let sidecar = clip.with_file_name(crop_rects::sidecar_name(clip));
        let rects = match named.or(sidecar.exists().then_some(&*sidecar)) {
            Some(source) => read_rects(source, size, warnings)?,
            None => Vec::new(),
        };
        Ok(if rects.is_empty() {
            Self::Whole
        } else {
            Self::Rects(rects)
        })
    }

    /// Reduces frame `index` to its cells; `luma` is its brightness, `[height, width]`, full range.
    pub(crate) fn look(&self, index: usize, luma: &[u8], size: Size) -> Look {
        let sample = |rect: Option<Rect>| Look {
            cells: cell_means(
                luma,
                size,
                self.grid(size),
                rect.unwrap_or(whole_rect(size)),
            ),
            rect,
            background: None,
            distance: 0.0,
        };
        match self {
            Self::Whole => sample(None),
            Self::Rects(rects) => sample(rects.get(index).or(rects.last()).copied()),
            Self::Known(backgrounds) => {
                let (background, distance) = backgrounds.closest(&whole_cells(luma, size));
                let rect = backgrounds.rect(background);
                Look {
                    background: Some(background),
                    distance,
                    ..sample(Some(rect))
                }
            }
        }
    }

    /// Cells across and down in frames of `size`.
    fn grid(&self, size: Size) -> (usize, usize) {
        match self {
            Self::Whole => whole_grid(size),
            Self::Rects(_) | Self::Known(_) => (RECT_CELLS, RECT_CELLS),
        }
    }
}

/// Reads the crop rectangles that lie inside frames of `size`; warns about the others.
fn read_rects(source: &Path, size: Size, warnings: &mut Vec<String>) -> Result<Vec<Rect>> {
    let read = crop_rects::read(source)?;
    let rects: Vec<Rect> = read
        .rects
        .iter()
        .filter_map(|(_, raw)| background::inside(*raw, size))
        .collect();
    let outside = read.rects.len() - rects.len();
    if outside > 0 {
        warnings.push(format!(
            "{} of {} crop rectangles are empty or not inside the frame",
            outside,
            read.rects.len()
        ));
    }
    Ok(rects)
}

/// The frames of a video, reduced to their cells.
#[derive(Debug)]
pub(crate) struct Motion {
    view: View,
    size: Size,
    /// Timestamp of each frame, in seconds.
    pub(crate) times: Vec<f64>,
    /// Cells of each of the first frames: brightness, or what the frame adds to its background.
    pub(super) cells: Vec<Vec<f32>>,
    /// The crop rectangle of each frame; empty if none are known.
    pub(crate) rects: Vec<Rect>,
    /// Mean difference of each frame from its background outside the crop rectangle, in levels of 255.
    distances: Vec<f32>,
    /// Ranges in which no cell changes, in seconds; the last one is still growing.
    still_ranges: Vec<Range<f64>>,
    /// The cells at the start of the last range.
    anchor: Vec<f32>,
}

impl Motion {
    /// Frames whose cells are kept: two minutes at 25 frames per second. Of a longer video, only the beginning is
    /// compared.
    pub(crate) const KEPT: usize = 3000;

    /// No frames yet; frames will have `size`.
    pub(crate) fn new(size: Size, view: View) -> Self {
        Self {
            view,
            size,
            times: Vec::new(),
            cells: Vec::new(),
            rects: Vec::new(),
            distances: Vec::new(),
            still_ranges: Vec::new(),
            anchor: Vec::new(),
        }
    }

    /// Adds the next frame, which is shown from `seconds` on; `luma` is its brightness, full range.
    pub(crate) fn watch(&mut self, seconds: f64, luma: &[u8]) {
        let look = self.view.look(self.times.len(), luma, self.size);
        self.push(seconds, look);
    }

    /// Adds the cells of the next frame, which is shown from `seconds` on.
    pub(crate) fn push(&mut self, seconds: f64, look: Look) {
        let mut cells = look.cells;
        let mut pairs = self.anchor.iter().zip(&cells);
        let is_still = pairs.all(|(a, b)| (a - b).abs() < STILL_BELOW);
        match self.still_ranges.last_mut() {
            Some(range) if is_still => range.end = seconds,
            _ => {
                self.still_ranges.push(seconds..seconds);
                self.anchor.clone_from(&cells);
            }
        }
        self.times.push(seconds);
        self.rects.extend(look.rect);
        if self.cells.len() == Self::KEPT {
            return;
        }
        if let (View::Known(backgrounds), Some(background)) = (&self.view, look.background) {
            let background_cells = backgrounds.rect_cells(background);
            cells
                .iter_mut()
                .zip(background_cells)
                .for_each(|(c, b)| *c -= b);
            self.distances.push(look.distance);
        }
        self.cells.push(cells);
    }

    /// Cells across and down.
    pub(super) fn grid(&self) -> (usize, usize) {
        self.view.grid(self.size)
    }

    /// Whether the backgrounds are known, so that cells are what the clip adds to them.
    pub(super) fn has_backgrounds(&self) -> bool {
        matches!(self.view, View::Known(_))
    }

    /// A warning if the clip does not show the backgrounds: the median frame differs too much outside its crop
    /// rectangle.
    pub(crate) fn doubt(&self) -> Option<String> {
        let mut sorted = self.distances.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let distance = sorted.get(sorted.len() / 2)?;
        (*distance > MAX_BACKGROUND_DISTANCE).then(|| {
            format!(
                "the clip does not show this background: around the mouth, they differ by {distance:.0} of 255 levels"
            )
        })
    }

    /// The middle of the time for which each kept frame is shown, in seconds: a frame is shown until the next one, so
    /// on average it is seen half a frame after its timestamp.
    pub(super) fn middles(&self) -> Vec<f64> {
        let times = &self.times;
        let step = |i: usize| {
            let next = (i + 1).min(times.len() - 1);
            let before = next.saturating_sub(1);
            times[next] - times[before]
        };
        let indices = 0..self.cells.len();
        indices.map(|i| times[i] + step(i) / 2.0).collect()
    }

    /// The area of the frame that cells `columns` and `rows` cover; None if the cells are those of crop rectangles.
    pub(super) fn area(&self, columns: &Range<usize>, rows: &Range<usize>) -> Option<Rect> {
        let View::Whole = self.view else {
            return None;
        };
        let (across, down) = self.grid();
        let x = |cell: usize| (cell * self.size.width as usize).div_ceil(across) as u32;
        let y = |cell: usize| (cell * self.size.height as usize).div_ceil(down) as u32;
        Some(Rect {
            x0: x(columns.start),
            y0: y(rows.start),
            x1: x(columns.end),
            y1: y(rows.end),
        })
    }

    /// Whether the time from one frame to the next varies by more than a tenth.
    pub(crate) fn has_uneven_steps(&self) -> bool {
        let steps = || self.times.windows(2).map(|pair| pair[1] - pair[0]);
        let shortest = steps().fold(f64::INFINITY, f64::min);
        let longest = steps().fold(0.0, f64::max);
        self.times.len() > 2 && longest > shortest * 1.1 + 0.002
    }

    /// Ranges longer than `least` seconds in which nothing changes.
    pub(crate) fn frozen(&self, least: f64) -> Vec<Range<f64>> {
        let long = self.still_ranges.iter().filter(|s| s.end - s.start > least);
        long.cloned().collect()
    }
}
