//! Draws a comparison: the figures over time, and each of the worst frames beside the expected one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use image::RgbImage;

use super::text::format_psnr;
use super::{Comparison, FrameFigures};
use crate::cancel::Cancel;
use crate::draw::{self, BLUE, Canvas, Cell, Chart, GREEN, ORANGE, RED};
use crate::image::{Picture, Rect};
use crate::output::Target;

/// Height of a curve, in pixels.
const CURVE: i32 = 130;
/// The picture's height over the side of the square that is enlarged around the largest difference.
const ENLARGED: u32 = 4;
/// Lowest and highest PSNR of the plot, dB; equal frames are drawn at the top.
const PSNR_DB: [f64; 2] = [20.0, 60.0];

/// Draws `plot.png`, and a page for each of the worst frames, named by its number, into the folder `target`.
pub(crate) fn draw(comparison: &Comparison, target: Target, cancel: &Cancel) -> Result<()> {
    let pages = pages(comparison, cancel)?;
    let staged = target.begin()?;
    let write = |name: &str, page: &RgbImage| draw::write(page, &staged.path().join(name), &staged);
    write("plot.png", &plot(comparison))?;
    for (frame, page) in &pages {
        write(&format!("{frame:06}.png"), page)?;
    }
    staged.commit()
}

/// The page of each of the worst frames.
fn pages(comparison: &Comparison, cancel: &Cancel) -> Result<Vec<(usize, RgbImage)>> {
    let wanted: BTreeSet<usize> = comparison.worst.iter().copied().collect();
    let [expected, actual] = &comparison.inputs;
    let mut first = BTreeMap::new();
    if !wanted.is_empty() {
        expected.pictures(&wanted, cancel, |frame, picture| {
            first.insert(frame, picture.clone());
        })?;
    }
    let mut pages = Vec::new();
    if !wanted.is_empty() {
        actual.pictures(&wanted, cancel, |frame, picture| {
            let figures = comparison.frames.get(frame);
            if let Some((expected, figures)) = first.remove(&frame).zip(figures) {
                pages.push((frame, page(comparison, figures, &expected, picture)));
            }
        })?;
    }
    Ok(pages)
}

/// Expected, amplified difference, actual; below each, what surrounds the largest difference.
fn page(
    comparison: &Comparison,
    figures: &FrameFigures,
    expected: &Picture,
    actual: &Picture,
) -> RgbImage {
    let time = figures.seconds.map(|s| format!(", {s:.2} s"));
    let [x, y] = figures.at;
    let below = format!(
        "PSNR {} dB, SSIM {:.4}, largest difference {} of {} at ({x}, {y}) in {}",
        format_psnr(figures.psnr_db),
        figures.ssim,
        figures.max_abs,
        (1_u32 << comparison.depth) - 1,
        comparison.compared_in
    );
    let title = format!("Frame {}{}", figures.frame, time.unwrap_or_default());
    let mut canvas = Canvas::new(&title, &below);
    canvas.heading(
        "Expected, difference, actual",
        &[(BLUE, "around the largest difference, enlarged below")],
    );
    let (difference, gain) = amplified(expected, actual);
    let rect = around(figures.at, expected);
    let cell = |picture, label: String| Cell {
        picture,
        rect: Some(rect),
        masked: false,
        label,
    };
    let cells = [
        cell(draw::to_image(expected), "expected".into()),
        cell(difference, format!("difference × {gain}")),
        cell(draw::to_image(actual), "actual".into()),
    ];
    draw::grid(&mut canvas, &cells, 3, true);
    canvas.finish()
}

/// The difference of two pictures, amplified so that the largest is as bright as possible, and the factor.
fn amplified(expected: &Picture, actual: &Picture) -> (RgbImage, u32) {
    let (a, b) = (draw::to_image(expected), draw::to_image(actual));
    let pairs = || a.as_raw().iter().zip(b.as_raw());
    let most = pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    let gain = 255 / u32::from(most.max(1));
    let bytes = pairs().map(|(a, b)| (u32::from(a.abs_diff(*b)) * gain) as u8);
    let image = RgbImage::from_raw(a.width(), a.height(), bytes.collect());
    (image.unwrap_or_default(), gain)
}

/// A square around a place, inside the picture.
fn around([x, y]: [usize; 2], picture: &Picture) -> Rect {
    let size = picture.size();
    let edge = (size.height / ENLARGED)
        .max(32)
        .min(size.width)
        .min(size.height);
    let start = |at: usize, length: u32| {
        let start = (at as u32).saturating_sub(edge / 2);
        start.min(length - edge)
    };
    let (x0, y0) = (start(x, size.width), start(y, size.height));
    Rect {
        x0,
        y0,
        x1: x0 + edge,
        y1: y0 + edge,
    }
}

/// All findings, and the figures over time.
fn plot(comparison: &Comparison) -> RgbImage {
    let title = if comparison.same {
        "As expected"
    } else {
        "Differs"
    };
    let mut canvas = Canvas::new(title, "Comparison of two clips, frame by frame");
    canvas.rows(&comparison.rows());
    canvas.findings(&comparison.differences, 8);
    if comparison.frames.len() > 1 {
        curves(&mut canvas, comparison);
    }
    canvas.finish()
}

fn curves(canvas: &mut Canvas, comparison: &Comparison) {
    let (limits, frames) = (comparison.limits, &comparison.frames);
    draw_figure(
        canvas,
        comparison,
        &Figure {
            heading: "PSNR, dB",
            colour: BLUE,
            range: PSNR_DB,
            scale: &[(60.0, "60"), (40.0, "40"), (20.0, "20")],
            limit: limits.min_psnr_db,
        },
        frames.iter().map(FrameFigures::psnr),
    );
    // As far down as there is something to see.
    let lowest = frames.iter().map(|f| f.ssim).fold(1.0, f64::min);
    let floor = [0.999, 0.99, 0.98, 0.95, 0.9, 0.5, 0.0]
        .into_iter()
        .find(|floor| lowest > *floor);
    let floor = floor.unwrap_or(-1.0);
    draw_figure(
        canvas,
        comparison,
        &Figure {
            heading: "SSIM",
            colour: GREEN,
            range: [floor, 1.0],
            scale: &[(1.0, "1"), (floor, &floor.to_string())],
            limit: limits.min_ssim,
        },
        frames.iter().map(|f| f.ssim),
    );
    let most = frames.iter().map(|f| f.max_abs).max().unwrap_or(0).max(1);
    let range = [0.0, f64::from(most)];
    draw_figure(
        canvas,
        comparison,
        &Figure {
            heading: "Largest difference of a sample",
            colour: ORANGE,
            range,
            scale: &[(range[1], &most.to_string()), (0.0, "0")],
            limit: limits.max_abs.map(f64::from),
        },
        frames.iter().map(|f| f64::from(f.max_abs)),
    );
}

/// A figure that each frame has.
struct Figure<'a> {
    heading: &'a str,
    colour: draw::Colour,
    /// At the lower and at the upper edge of its chart.
    range: [f64; 2],
    /// Values that are named beside the chart.
    scale: &'a [(f64, &'a str)],
    limit: Option<f64>,
}

/// Draws a figure over all frames, with its limit and the worst frames marked.
fn draw_figure(
    canvas: &mut Canvas,
    comparison: &Comparison,
    figure: &Figure<'_>,
    values: impl Iterator<Item = f64>,
) {
    let mut legend = vec![(draw::MASK, "worst frames")];
    if figure.limit.is_some() {
        legend.push((RED, "limit"));
    }
    canvas.heading(figure.heading, &legend);
    let last = comparison.frames.len() - 1;
    let chart = Chart::new(canvas, CURVE, [0.0, last as f64], figure.range);
    chart.grid(canvas);
    chart.scale(canvas, figure.scale);
    for frame in &comparison.worst {
        chart.mark(canvas, *frame as f64, draw::MASK, 2);
    }
    if let Some(limit) = figure.limit {
        chart.level(canvas, limit, RED);
    }
    let points = values.enumerate();
    let points = points.map(|(frame, value)| (frame as f64, value));
    chart.curve(canvas, points, figure.colour);
    chart.labels(canvas, "");
    chart.title(canvas, "frame");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(value: u8) -> Picture {
        Picture {
            pixels: vec![value; 64 * 40 * 3],
            ..Picture::new(64, 40)
        }
    }

    #[test]
    fn the_largest_difference_is_as_bright_as_it_can_be() {
        let (mut actual, expected) = (picture(100), picture(100));
        actual.pixels[0] = 110;
        actual.pixels[5] = 95;
        let (image, gain) = amplified(&expected, &actual);
        assert_eq!(gain, 25);
        assert_eq!(image.get_pixel(0, 0).0, [250, 0, 0]);
        assert_eq!(image.get_pixel(1, 0).0, [0, 0, 125]);
        assert_eq!(amplified(&expected, &expected).1, 255);
    }

    #[test]
    fn what_is_enlarged_lies_inside() {
        for at in [[0, 0], [63, 39], [32, 20]] {
            let rect = around(at, &picture(0));
            assert_eq!((rect.width(), rect.height()), (32, 32));
            assert!(rect.x1 <= 64 && rect.y1 <= 40);
            assert!((rect.x0..=rect.x1).contains(&(at[0] as u32)));
        }
    }
}
