//! How bright each part of the picture is from frame to frame, and where the picture stands still.

use std::ops::Range;

use crate::frame::{Picture, Rect, Size};

/// Cells across: a mouth covers several, at any size of the picture that shows one.
const ACROSS: usize = 64;
/// Cells across and down a crop rectangle.
const IN_RECT: usize = 20;
/// Frames whose cells are kept: two minutes at 25 a second; a longer video is judged by its beginning.
const KEPT: usize = 3000;

/// A cell that changes by less, in levels of 255, stands still: encoders refine a still picture bit by bit.
const STILL: f32 = 2.0;

/// The frames of a video in small.
#[derive(Debug)]
pub(super) struct Motion {
    /// When each frame is shown, in seconds.
    pub(super) times: Vec<f64>,
    /// Mean brightness of each cell, 0..255, row by row: of the whole picture, or of each frame's crop rectangle.
    pub(super) cells: Vec<Vec<f32>>,
    /// Cells across and down.
    pub(super) grid: (usize, usize),
    size: Size,
    /// Stretches in which no cell changes, in seconds; the last one is still growing.
    still: Vec<Range<f64>>,
    /// The cells at the start of the last stretch.
    anchor: Vec<f32>,
}

impl Motion {
    /// No frames yet; pictures of `size`, looked at as a whole or in crop rectangles.
    pub(super) fn new(size: Size, in_rects: bool) -> Self {
        let down = ACROSS * size.height as usize / size.width.max(1) as usize;
        let grid = if in_rects {
            (IN_RECT, IN_RECT)
        } else {
            (ACROSS, down.clamp(1, 2 * ACROSS))
        };
        Self {
            times: Vec::new(),
            cells: Vec::new(),
            grid,
            size,
            still: Vec::new(),
            anchor: Vec::new(),
        }
    }

    /// Adds the next frame, shown at `seconds`.
    pub(super) fn push(&mut self, seconds: f64, frame: &Picture, rect: Option<Rect>) {
        // Green carries most of the brightness.
        let green = frame.pixels.iter().skip(1).step_by(3).copied();
        let now: Vec<u8> = green.collect();
        let whole = Rect {
            x0: 0,
            y0: 0,
            x1: self.size.width,
            y1: self.size.height,
        };
        let cells = self.brightness(&now, rect.unwrap_or(whole));
        let mut pairs = self.anchor.iter().zip(&cells);
        let is_still = pairs.all(|(a, b)| (a - b).abs() < STILL);
        match self.still.last_mut() {
            Some(stretch) if is_still => stretch.end = seconds,
            _ => {
                self.still.push(seconds..seconds);
                self.anchor.clone_from(&cells);
            }
        }
        self.times.push(seconds);
        if self.cells.len() < KEPT {
            self.cells.push(cells);
        }
    }

    fn brightness(&self, green: &[u8], area: Rect) -> Vec<f32> {
        let (across, down) = self.grid;
        let mut sums = vec![(0_u32, 0_u32); across * down];
        let rows = green.chunks_exact(self.size.width as usize);
        let rows = rows.skip(area.y0 as usize).take(area.height());
        for (y, row) in rows.enumerate() {
            let row_cells = y * down / area.height() * across;
            let pixels = &row[area.x0 as usize..area.x1 as usize];
            for (x, value) in pixels.iter().enumerate() {
                let (sum, count) = &mut sums[row_cells + x * across / area.width()];
                *sum += u32::from(*value);
                *count += 1;
            }
        }
        let means = sums
            .iter()
            .map(|(sum, count)| *sum as f32 / (*count).max(1) as f32);
        means.collect()
    }

    /// The picture's area under cells `columns` and `rows`, where the cells are those of the picture.
    pub(super) fn area(&self, columns: &Range<usize>, rows: &Range<usize>) -> Rect {
        let (across, down) = self.grid;
        let x = |cell: usize| (cell * self.size.width as usize).div_ceil(across) as u32;
        let y = |cell: usize| (cell * self.size.height as usize).div_ceil(down) as u32;
        Rect {
            x0: x(columns.start),
            y0: y(rows.start),
            x1: x(columns.end),
            y1: y(rows.end),
        }
    }

    /// Whether the time from one frame to the next varies by more than a tenth.
    pub(super) fn has_uneven_steps(&self) -> bool {
        let steps = || self.times.windows(2).map(|pair| pair[1] - pair[0]);
        let shortest = steps().fold(f64::INFINITY, f64::min);
        let longest = steps().fold(0.0, f64::max);
        self.times.len() > 2 && longest > shortest * 1.1 + 0.002
    }

    /// Stretches longer than `least` seconds in which nothing changes.
    pub(super) fn frozen(&self, least: f64) -> Vec<Range<f64>> {
        let long = self.still.iter().filter(|s| s.end - s.start > least);
        long.cloned().collect()
    }
}
