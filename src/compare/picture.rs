//! A comparison drawn: a plot over time, and the worst frames beside what was expected of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use image::RgbImage;

use super::text::format_psnr;
use super::{Comparison, FrameFigures};
use crate::cancel::Cancel;
use crate::draw::plot::Axis;
use crate::draw::{self, BLUE, Canvas, Cell, GREEN, ORANGE, RED};
use crate::image::{Picture, Rect};
use crate::output::Target;

/// Rows of a curve.
const CURVE: i32 = 130;
/// The side of what is enlarged round the largest difference, as a share of the picture's height.
const ENLARGED: u32 = 4;
/// Lowest and highest PSNR of the plot, dB; equal frames are drawn at the top.
const PSNR_DB: [f64; 2] = [20.0, 60.0];

/// Draws `plot.png`, and a page for each of the worst frames, named by its number, into the folder `target`.
pub(crate) fn draw(comparison: &Comparison, target: Target, cancel: &Cancel) -> Result<()> {
    let pages = pages(comparison, cancel)?;
    let part = target.begin()?;
    let write = |name: &str, page: &RgbImage| draw::write(page, &part.path().join(name), &part);
    write("plot.png", &plot(comparison))?;
    for (frame, page) in &pages {
        write(&format!("{frame:06}.png"), page)?;
    }
    part.commit()
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
        "PSNR {} dB, SSIM {:.4}, largest difference {} of {} at {x}, {y} (in {})",
        format_psnr(figures.psnr_db),
        figures.ssim,
        figures.max_abs,
        (1_u32 << comparison.depth) - 1,
        comparison.compared_in
    );
    let title = format!("frame {}{}", figures.frame, time.unwrap_or_default());
    let mut canvas = Canvas::new(&title, &below);
    canvas.heading(
        "Expected, difference, actual",
        &[(BLUE, "enlarged below: round the largest difference")],
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
        cell(difference, format!("difference, x {gain}")),
        cell(draw::to_image(actual), "actual".into()),
    ];
    draw::grid(&mut canvas, &cells, 3, true);
    canvas.finish()
}

/// How far the colours of two pictures are apart, and how many times that is enlarged: the largest difference is as bright
/// as it can be.
fn amplified(expected: &Picture, actual: &Picture) -> (RgbImage, u32) {
    let (a, b) = (draw::to_image(expected), draw::to_image(actual));
    let pairs = || a.as_raw().iter().zip(b.as_raw());
    let most = pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    let gain = 255 / u32::from(most.max(1));
    let bytes = pairs().map(|(a, b)| (u32::from(a.abs_diff(*b)) * gain) as u8);
    let image = RgbImage::from_raw(a.width(), a.height(), bytes.collect());
    (image.unwrap_or_default(), gain)
}

/// A square round a place, inside the picture.
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

/// All that was found, and the figures over time.
fn plot(comparison: &Comparison) -> RgbImage {
    let title = if comparison.same {
        "as expected"
    } else {
        "differs"
    };
    let mut canvas = Canvas::new(title, "lipsync compare");
    canvas.rows(&comparison.rows());
    canvas.y += 6;
    canvas.warnings(&comparison.differences, 8);
    if comparison.frames.len() > 1 {
        curves(&mut canvas, comparison);
    }
    canvas.finish()
}

fn curves(canvas: &mut Canvas, comparison: &Comparison) {
    let (limits, frames) = (comparison.limits, &comparison.frames);
    let [low, high] = PSNR_DB;
    let psnr = |db: f64| (db - low) / (high - low);
    curve(
        canvas,
        comparison,
        ("PSNR over the frames, dB", BLUE),
        &[(1.0, "60"), (0.5, "40"), (0.0, "20")],
        limits.min_psnr_db.map(psnr),
        frames.iter().map(|f| psnr(f.psnr())),
    );
    // As far down as there is something to see.
    let lowest = frames.iter().map(|f| f.ssim).fold(1.0, f64::min);
    let floor = [0.999, 0.99, 0.98, 0.95, 0.9, 0.5, 0.0]
        .into_iter()
        .find(|floor| lowest > *floor);
    let floor = floor.unwrap_or(-1.0);
    let ssim = |value: f64| (value - floor) / (1.0 - floor);
    curve(
        canvas,
        comparison,
        ("SSIM over the frames", GREEN),
        &[(1.0, "1"), (0.0, &floor.to_string())],
        limits.min_ssim.map(ssim),
        frames.iter().map(|f| ssim(f.ssim)),
    );
    let most = frames.iter().map(|f| f.max_abs).max().unwrap_or(0).max(1);
    let share = |value: u16| f64::from(value) / f64::from(most);
    curve(
        canvas,
        comparison,
        ("Largest difference over the frames", ORANGE),
        &[(1.0, &most.to_string()), (0.0, "0")],
        limits.max_abs.map(share),
        frames.iter().map(|f| share(f.max_abs)),
    );
}

/// One figure over all frames, with its limit, and the worst frames marked.
fn curve(
    canvas: &mut Canvas,
    comparison: &Comparison,
    (heading, colour): (&str, draw::Colour),
    scale: &[(f64, &str)],
    limit: Option<f64>,
    shares: impl Iterator<Item = f64>,
) {
    let mut legend = vec![(draw::MASK, "worst frames")];
    if limit.is_some() {
        legend.push((RED, "limit"));
    }
    canvas.heading(heading, &legend);
    let last = comparison.frames.len() - 1;
    let axis = Axis::new(canvas, CURVE, 0.0, last as f64);
    axis.grid(canvas);
    for frame in &comparison.worst {
        axis.mark(canvas, *frame as f64, draw::MASK, 1);
    }
    if let Some(limit) = limit.filter(|limit| (0.0..=1.0).contains(limit)) {
        axis.curve(canvas, [(0.0, limit), (last as f64, limit)], RED);
    }
    let points = shares
        .enumerate()
        .map(|(frame, share)| (frame as f64, share));
    axis.curve(canvas, points, colour);
    axis.scale(canvas, scale);
    axis.labels(canvas, "");
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
