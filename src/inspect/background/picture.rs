//! Draws a background folder: some of its frames, and what changes from frame to frame.

use anyhow::Result;
use image::RgbImage;

use super::{BackgroundInfo, Frame, median, readable_stats};
use crate::cancel::Cancel;
use crate::draw::{self, BLUE, CROP_LEGEND, Canvas, Cell, Chart, RED};

/// Frames that are shown.
const SHOWN: usize = 12;
/// Height of a chart, in pixels.
const HEIGHT: i32 = 72;
/// Rows between charts.
const GAP: i32 = 10;

pub(super) fn draw(
    info: &BackgroundInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let mut canvas = Canvas::new(path, "Background folder");
    canvas.rows(&info.rows());
    canvas.findings(warnings, 10);
    canvas.heading("Frames, evenly spaced", &CROP_LEGEND);
    let cells = cells(&info.per_frame, cancel)?;
    draw::grid(&mut canvas, &cells, 4, false);
    canvas.heading("From frame to frame", &[(RED, "problem listed above")]);
    charts(&mut canvas, info);
    Ok(canvas.finish())
}

/// Frames from the first to the last, without those that cannot be read.
fn cells(per_frame: &[Frame], cancel: &Cancel) -> Result<Vec<Cell>> {
    let readable: Vec<&Frame> = per_frame
        .iter()
        .filter(|frame| frame.stats.is_some())
        .collect();
    let count = readable.len().min(SHOWN);
    let mut cells = Vec::new();
    for i in 0..count {
        cancel.check()?;
        let frame = readable[i * (readable.len() - 1) / (count - 1).max(1)];
        let Ok(picture) = image::open(&frame.path) else {
            continue;
        };
        cells.push(Cell {
            picture: picture.into_rgb8(),
            rect: frame.rect(),
            masked: true,
            label: format!("frame {}", frame.number),
        });
    }
    Ok(cells)
}

fn charts(canvas: &mut Canvas, info: &BackgroundInfo) {
    let per_frame = &info.per_frame;
    let jumps: Vec<u64> = info
        .rectangles
        .iter()
        .flat_map(|rects| rects.jumps.iter().map(|jump| jump.to))
        .collect();
    let rect = |of: fn(crate::image::Rect) -> u32| -> Vec<(f64, f64)> {
        let rects = per_frame
            .iter()
            .filter_map(|s| Some((s.number as f64, f64::from(of(s.rect()?)))));
        rects.collect()
    };
    let still = [&info.identical[..], &info.nearly_identical, &info.cuts].concat();
    let sharpness = median(readable_stats(per_frame).map(|stats| stats.sharpness)).max(1e-9);
    let change = median(per_frame.iter().filter_map(|frame| frame.change)).max(1e-9);
    let curve = |name, points, marks| Curve {
        name,
        points,
        marks,
        frames: [info.first as f64, info.last as f64],
    };
    let blur = per_frame
        .iter()
        .filter_map(|s| Some((s.number as f64, s.stats.as_ref()?.sharpness / sharpness)));
    let motion = per_frame
        .iter()
        .filter_map(|s| Some((s.number as f64, (s.change? / change).min(10.0))));
    let curves = [
        curve("crop rectangle: left edge, px", rect(|r| r.x0), &jumps),
        curve("crop rectangle: upper edge, px", rect(|r| r.y0), &jumps),
        curve(
            "crop rectangle: width, px",
            rect(|r| r.width() as u32),
            &jumps,
        ),
        curve(
            "sharpness in the crop rectangle, 1 = median",
            blur.collect(),
            &info.blurred,
        ),
        curve(
            "change since the previous frame, 1 = median (at most 10)",
            motion.collect(),
            &still,
        ),
    ];
    let drawn: Vec<Chart> = curves.iter().filter_map(|c| c.draw(canvas)).collect();
    if let Some(last) = drawn.last() {
        canvas.y -= GAP;
        last.labels(canvas, "");
        last.title(canvas, "frame");
    }
}

/// A value of each frame, and the frames to mark.
struct Curve<'a> {
    name: &'a str,
    /// `(frame number, value)`.
    points: Vec<(f64, f64)>,
    marks: &'a [u64],
    /// First and last frame number.
    frames: [f64; 2],
}

impl Curve<'_> {
    /// Draws it at the canvas's next free row, if it has points.
    fn draw(&self, canvas: &mut Canvas) -> Option<Chart> {
        let values = || self.points.iter().map(|(_, value)| *value);
        let low = values().reduce(f64::min)?;
        let high = values().reduce(f64::max)?;
        Chart::caption(canvas, self.name);
        // A little room above and below, and a flat curve in the middle.
        let room = if high > low { 0.08 * (high - low) } else { 1.0 };
        let chart = Chart::new(canvas, HEIGHT, self.frames, [low - room, high + room]);
        chart.grid(canvas);
        let digits = usize::from(high < 20.0);
        let [low_name, high_name] = [low, high].map(|value| format!("{value:.digits$}"));
        let scale = [(low, low_name.as_str()), (high, high_name.as_str())];
        let different = if low_name == high_name { 1 } else { 2 };
        chart.scale(canvas, &scale[..different]);
        for number in self.marks {
            chart.mark(canvas, *number as f64, RED, 5);
        }
        chart.curve(canvas, self.points.iter().copied(), BLUE);
        canvas.y += GAP;
        Some(chart)
    }
}
