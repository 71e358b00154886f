//! A background folder drawn: moments of it, and what changes from frame to frame.

use anyhow::Result;
use image::RgbImage;

use super::{BackgroundInfo, Frame, median, readable_stats};
use crate::cancel::Cancel;
use crate::draw::plot::Axis;
use crate::draw::{self, BLUE, Canvas, Cell, MASK, RED};

/// Moments that are shown.
const MOMENTS: usize = 12;
/// Rows of a plot.
const HEIGHT: i32 = 64;

pub(super) fn draw(
    info: &BackgroundInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let mut canvas = Canvas::new(path, "lipsync inspect: a background folder");
    canvas.rows(&info.rows());
    canvas.y += 6;
    canvas.warnings(warnings, 10);
    let legend = [
        (BLUE, "crop rectangle"),
        (MASK, "masked: drawn by the network"),
    ];
    canvas.heading("Moments, evenly spaced", &legend);
    let cells = cells(&info.per_frame, cancel)?;
    draw::grid(&mut canvas, &cells, 4, false);
    canvas.heading(
        "From frame to frame",
        &[(RED, "a fault that is listed above")],
    );
    plots(&mut canvas, info);
    Ok(canvas.finish())
}

/// Frames from the first to the last, those that cannot be read left out.
fn cells(per_frame: &[Frame], cancel: &Cancel) -> Result<Vec<Cell>> {
    let readable: Vec<&Frame> = per_frame
        .iter()
        .filter(|frame| frame.stats.is_some())
        .collect();
    let count = readable.len().min(MOMENTS);
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

fn plots(canvas: &mut Canvas, info: &BackgroundInfo) {
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
    let plot = |name, points, marks| Plot {
        name,
        points,
        marks,
        frames: (info.first as f64, info.last as f64),
    };
    let blur = per_frame
        .iter()
        .filter_map(|s| Some((s.number as f64, s.stats.as_ref()?.sharpness / sharpness)));
    let motion = per_frame
        .iter()
        .filter_map(|s| Some((s.number as f64, (s.change? / change).min(10.0))));
    for plot in [
        plot("left edge, px", rect(|r| r.x0), &jumps),
        plot("upper edge, px", rect(|r| r.y0), &jumps),
        plot(
            "width of the rectangle, px",
            rect(|r| r.width() as u32),
            &jumps,
        ),
        plot(
            "sharpness in the rectangle, 1 = median",
            blur.collect(),
            &info.blurred,
        ),
        plot(
            "change since the frame before, 1 = median (cut at 10)",
            motion.collect(),
            &still,
        ),
    ] {
        plot.draw(canvas);
    }
    let axis = Axis::new(canvas, 0, info.first as f64, info.last as f64);
    axis.labels(canvas, "");
    canvas.text_centred(
        draw::WIDTH / 2,
        canvas.y,
        draw::Type::Small,
        draw::FAINT,
        "frame number",
    );
    canvas.y += draw::Type::Small.line();
}

/// A value of each frame, and the frames to mark.
struct Plot<'a> {
    name: &'a str,
    /// `(frame number, value)`.
    points: Vec<(f64, f64)>,
    marks: &'a [u64],
    /// First and last frame number.
    frames: (f64, f64),
}

impl Plot<'_> {
    fn draw(&self, canvas: &mut Canvas) {
        let low = self
            .points
            .iter()
            .map(|(_, v)| *v)
            .fold(f64::INFINITY, f64::min);
        let high = self
            .points
            .iter()
            .map(|(_, v)| *v)
            .fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return;
        }
        canvas.text(
            draw::MARGIN,
            canvas.y,
            draw::Type::Small,
            draw::INK,
            self.name,
        );
        canvas.y += draw::Type::Small.line();
        let axis = Axis::new(canvas, HEIGHT, self.frames.0, self.frames.1);
        axis.grid(canvas);
        let span = (high - low).max(1e-9);
        let share = |value: f64| 0.06 + 0.88 * (value - low) / span;
        for number in self.marks {
            axis.mark(canvas, *number as f64, RED, 5);
        }
        let points = self.points.iter().map(|(at, value)| (*at, share(*value)));
        axis.curve(canvas, points, BLUE);
        let digits = usize::from(high < 20.0);
        let (low, high) = (format!("{low:.digits$}"), format!("{high:.digits$}"));
        if low == high {
            axis.scale(canvas, &[(0.06, &low)]);
        } else {
            axis.scale(canvas, &[(0.06, &low), (0.94, &high)]);
        }
        canvas.y += HEIGHT + 6;
    }
}
