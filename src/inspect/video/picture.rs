//! A video drawn: moments with the mouth enlarged, the sound, and how the mouth moves with it.

use anyhow::Result;
use image::RgbImage;

use super::VideoInfo;
use crate::cancel::Cancel;
use crate::draw::plot::Axis;
use crate::draw::{self, BLUE, Canvas, Cell, FAINT, GREEN, ORANGE, RED, Type};
use crate::image::Picture;
use crate::sync::{Loudness, Sync};

/// Moments that are shown.
const MOMENTS: usize = 12;
/// Seconds of the curves: more would run into each other.
const CURVE_SECONDS: f64 = 15.0;

pub(super) fn draw(
    info: &VideoInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let mut canvas = Canvas::new(path, "lipsync inspect: a video");
    canvas.rows(&info.rows());
    canvas.y += 6;
    canvas.warnings(warnings, 8);
    moments(&mut canvas, info, cancel)?;
    if let (Some(sync), Some(loudness)) = (&info.sync, &info.loudness) {
        curves(&mut canvas, info, sync, loudness);
        lags(&mut canvas, sync);
    }
    Ok(canvas.finish())
}

fn moments(canvas: &mut Canvas, info: &VideoInfo, cancel: &Cancel) -> Result<()> {
    let count = info.frames.min(MOMENTS);
    let wanted: Vec<usize> = (0..count)
        .map(|i| i * (info.frames - 1) / (count - 1).max(1))
        .collect();
    let given = !info.rects.is_empty();
    let mut cells = Vec::new();
    let mut reader = info.file.frames()?;
    let mut frame = Picture::default();
    for index in 0..info.frames {
        cancel.check()?;
        let Ok(Some(seconds)) = reader.skip() else {
            break;
        };
        if wanted.contains(&index) {
            reader.picture(&mut frame)?;
            cells.push(Cell {
                picture: draw::to_image(&frame),
                rect: info.rect(index),
                masked: given,
                label: format!("{seconds:.2} s  frame {index}"),
            });
        }
    }
    let (heading, legend) = if given {
        (
            "Moments, and the crop rectangle of each, enlarged",
            vec![
                (BLUE, "crop rectangle"),
                (draw::MASK, "masked: drawn by the network"),
            ],
        )
    } else if info.sync.is_some() {
        (
            "Moments, and what moves with the sound in each, enlarged",
            vec![(BLUE, "around what moves with the sound")],
        )
    } else {
        ("Moments, evenly spaced", Vec::new())
    };
    canvas.heading(heading, &legend);
    draw::grid(canvas, &cells, 6, true);
    Ok(())
}

/// The loudness of the sound and the motion of the mouth over time.
fn curves(canvas: &mut Canvas, info: &VideoInfo, sync: &Sync, loudness: &Loudness) {
    let start = info.times.first().copied().unwrap_or(0.0).min(0.0);
    let end = info.times.last().copied().unwrap_or(0.0);
    let end = end.min(start + CURVE_SECONDS);
    canvas.heading(
        "Sound and mouth over time",
        &[
            (BLUE, "loudness of the voice, 500 to 4000 Hz"),
            (ORANGE, "mouth, as its brightness tells"),
        ],
    );
    let axis = Axis::new(canvas, 90, start, end);
    axis.grid(canvas);
    let count = Axis::columns();
    let moments = (0..count).map(|i| start + (end - start) * i as f64 / count as f64);
    let points = moments.map(|at| (at, loudness.at(at)));
    axis.curve(canvas, points, BLUE);
    axis.scale(canvas, &[(1.0, "loudest"), (0.0, "-30 dB")]);
    canvas.y += 96;
    let axis = Axis::new(canvas, 90, start, end);
    axis.grid(canvas);
    let low = sync.mouth.iter().copied().fold(f64::INFINITY, f64::min);
    let high = sync.mouth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let points = info.times.iter().zip(&sync.mouth);
    let points = points.map(|(at, value)| (*at, (value - low) / (high - low).max(1e-9)));
    axis.curve(canvas, points.take_while(|(at, _)| *at <= end), ORANGE);
    axis.scale(canvas, &[(1.0, "open"), (0.0, "shut")]);
    axis.ruler(canvas, info.media.video.as_ref().map_or(25.0, |v| v.fps));
    axis.labels(canvas, " s");
}

/// How well both agree at each lag.
fn lags(canvas: &mut Canvas, sync: &Sync) {
    canvas.heading(
        "How well mouth and sound agree when the sound is moved",
        &[
            (GREEN, "correlation"),
            (RED, "best"),
            (FAINT, "what chance reaches"),
        ],
    );
    let (from, to) = (sync.curve[0].0, sync.curve[sync.curve.len() - 1].0);
    let axis = Axis::new(canvas, 150, from, to);
    axis.grid(canvas);
    let share = |correlation: f64| f64::midpoint(correlation, 1.0);
    let chance = share(sync.by_chance);
    axis.curve(canvas, [(from, chance), (to, chance)], FAINT);
    axis.mark(canvas, 0.0, FAINT, 1);
    axis.mark(canvas, sync.lag_ms, RED, 3);
    let points = sync.curve.iter().map(|(ms, r)| (*ms, share(*r)));
    axis.curve(canvas, points, GREEN);
    axis.scale(canvas, &[(1.0, "1"), (0.5, "0"), (0.0, "-1")]);
    axis.labels(canvas, " ms");
    let said = format!("{} ({})", sync.verdict(), sync.numbers());
    canvas.text(draw::MARGIN, canvas.y, Type::Body, draw::INK, &said);
    canvas.y += Type::Body.line();
    let note = "Left of 0: the sound would come before the mouth. Right of 0: after it.";
    canvas.text(draw::MARGIN, canvas.y, Type::Small, FAINT, note);
    canvas.y += Type::Small.line();
}
