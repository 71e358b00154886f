//! Draws a video: some of its frames with the mouth enlarged, and how the mouth moves with the audio.

use anyhow::Result;
use image::RgbImage;

use super::VideoInfo;
use crate::cancel::Cancel;
use crate::draw::{self, BLUE, CROP_LEGEND, Canvas, Cell, Chart, GREEN, MUTED, ORANGE, RED};
use crate::image::Picture;
use crate::sync::{Loudness, Sync};

/// Frames that are shown.
const SHOWN: usize = 12;
/// Longest stretch of the curves, in seconds: more would be too dense to read.
const CURVE_SECONDS: f64 = 15.0;
/// Height of a curve over time, in pixels.
const CURVE: i32 = 92;
/// Height of the curve over lags, in pixels.
const LAGS: i32 = 160;

pub(super) fn draw(
    info: &VideoInfo,
    path: &str,
    warnings: &[String],
    cancel: &Cancel,
) -> Result<RgbImage> {
    let mut canvas = Canvas::new(path, "Video");
    canvas.rows(&info.rows());
    canvas.findings(warnings, 8);
    frames(&mut canvas, info, cancel)?;
    if let (Some(sync), Some(loudness)) = (&info.sync, &info.loudness) {
        curves(&mut canvas, info, sync, loudness);
        lags(&mut canvas, sync);
    }
    Ok(canvas.finish())
}

fn frames(canvas: &mut Canvas, info: &VideoInfo, cancel: &Cancel) -> Result<()> {
    let count = info.frames.min(SHOWN);
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
                label: draw::time_label(seconds, index),
            });
        }
    }
    let (heading, legend): (_, &[draw::Key<'_>]) = if given {
        ("Frames, and the crop of each, enlarged", &CROP_LEGEND)
    } else if info.sync.is_some() {
        (
            "Frames, and what moves with the audio, enlarged",
            &[(BLUE, "moves with the audio")],
        )
    } else {
        ("Frames, evenly spaced", &[])
    };
    canvas.heading(heading, legend);
    draw::grid(canvas, &cells, 6, true);
    Ok(())
}

/// The loudness of the voice and the motion of the mouth over time.
fn curves(canvas: &mut Canvas, info: &VideoInfo, sync: &Sync, loudness: &Loudness) {
    let start = info.times.first().copied().unwrap_or(0.0).min(0.0);
    let end = info.times.last().copied().unwrap_or(0.0);
    let end = end.min(start + CURVE_SECONDS);
    canvas.heading(
        "Voice and mouth over time",
        &[
            (BLUE, "loudness of the voice, 500 to 4000 Hz"),
            (ORANGE, "mouth opening, judged by its brightness"),
        ],
    );
    let chart = Chart::new(canvas, CURVE, [start, end], [0.0, 1.0]);
    chart.grid(canvas);
    chart.scale(canvas, &[(1.0, "0 dB"), (0.0, "\u{2212}30 dB")]);
    let count = Chart::columns();
    let times = (0..count).map(|i| start + (end - start) * i as f64 / count as f64);
    chart.filled_curve(canvas, times.map(|at| (at, loudness.at(at))), BLUE);
    canvas.y += 8;
    let low = sync.mouth.iter().copied().fold(f64::INFINITY, f64::min);
    let high = sync.mouth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let chart = Chart::new(canvas, CURVE, [start, end], [low, high]);
    chart.grid(canvas);
    chart.scale(canvas, &[(high, "open"), (low, "closed")]);
    let points = info.times.iter().copied().zip(sync.mouth.iter().copied());
    let points = points.take_while(|(at, _)| *at <= end);
    chart.filled_curve(canvas, points, ORANGE);
    chart.ruler(canvas, info.media.video.as_ref().map_or(25.0, |v| v.fps));
    chart.labels(canvas, " s");
}

/// The correlation of mouth and audio at each lag.
fn lags(canvas: &mut Canvas, sync: &Sync) {
    canvas.heading(
        "Correlation of mouth and audio by lag",
        &[
            (GREEN, "correlation"),
            (RED, "best lag"),
            (MUTED, "reached by chance"),
        ],
    );
    let (from, to) = (sync.curve[0].0, sync.curve[sync.curve.len() - 1].0);
    let chart = Chart::new(canvas, LAGS, [from, to], [-1.0, 1.0]);
    chart.grid(canvas);
    chart.scale(canvas, &[(1.0, "1"), (0.0, "0"), (-1.0, "\u{2212}1")]);
    chart.level(canvas, sync.by_chance, MUTED);
    chart.mark(canvas, 0.0, MUTED, 1);
    chart.mark(canvas, sync.lag_ms, RED, 3);
    chart.curve(canvas, sync.curve.iter().copied(), GREEN);
    chart.labels(canvas, " ms");
    canvas.y += 6;
    canvas.paragraph(
        draw::MARGIN,
        draw::INK,
        &format!("{} ({})", sync.verdict(), sync.numbers()),
    );
    canvas.note("Negative lag: the audio comes before the mouth. Positive lag: after it.");
}
