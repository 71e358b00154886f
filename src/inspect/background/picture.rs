//! Draws a background folder: some of its frames, and what changes from frame to frame.

use anyhow::Result;
use image::RgbImage;

use super::{BackgroundSurvey, Shot, looks, median};
use crate::cancel::Cancel;
use crate::draw::{self, BLUE, CROP_LEGEND, Canvas, Cell, Chart, RED};

/// Frames that are shown.
const SHOWN: usize = 12;
/// Height of a chart, in pixels.
const HEIGHT: i32 = 72;
/// Rows between charts.
const GAP: i32 = 10;

pub(super) fn draw(
    survey: &BackgroundSurvey,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let mut canvas = Canvas::new(path, "Background folder");
    canvas.rows(&survey.rows());
    canvas.findings(warnings, 10);
    canvas.heading("Frames, evenly spaced", &CROP_LEGEND);
    let cells = cells(&survey.shots, cancel)?;
    draw::grid(&mut canvas, &cells, 4, false);
    canvas.heading("From frame to frame", &[(RED, "problem listed above")]);
    charts(&mut canvas, survey);
    Ok(canvas.finish())
}

/// Frames from the first to the last, without those that cannot be read.
fn cells(shots: &[Shot], cancel: &Cancel) -> Result<Vec<Cell>> {
    let readable: Vec<&Shot> = shots.iter().filter(|shot| shot.look.is_some()).collect();
    let count = readable.len().min(SHOWN);
    let mut cells = Vec::new();
    for i in 0..count {
        cancel.check()?;
        let shot = readable[i * (readable.len() - 1) / (count - 1).max(1)];
        let Ok(picture) = image::open(&shot.path) else {
            continue;
        };
        cells.push(Cell {
            picture: picture.into_rgb8(),
            rect: shot.rect(),
            masked: true,
            label: format!("frame {}", shot.number),
        });
    }
    Ok(cells)
}

fn charts(canvas: &mut Canvas, survey: &BackgroundSurvey) {
    let shots = &survey.shots;
    let jumps: Vec<u64> = survey
        .rectangles
        .iter()
        .flat_map(|rects| rects.jumps.iter().map(|jump| jump.to))
        .collect();
    let rect = |of: fn(crate::image::Rect) -> u32| -> Vec<(f64, f64)> {
        let rects = shots
            .iter()
            .filter_map(|s| Some((s.number as f64, f64::from(of(s.rect()?)))));
        rects.collect()
    };
    let still = [
        &survey.identical[..],
        &survey.nearly_identical,
        &survey.cuts,
    ]
    .concat();
    let sharpness = median(looks(shots).map(|look| look.sharpness)).max(1e-9);
    let change = median(shots.iter().filter_map(|shot| shot.change)).max(1e-9);
    let curve = |name, points, marks| Curve {
        name,
        points,
        marks,
        frames: [survey.first as f64, survey.last as f64],
    };
    let blur = shots
        .iter()
        .filter_map(|s| Some((s.number as f64, s.look.as_ref()?.sharpness / sharpness)));
    let motion = shots
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
            &survey.blurred,
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
