//! `prepare.png`: what was found, on one page.

use image::RgbImage;

use super::frames::Scan;
use super::prepared::Prepared;
use super::problems::MAX_TURN;
use super::select::runs;
use crate::draw::{
    self, BLUE, Canvas, Cell, Chart, Colour, GREEN, MARGIN, MUTED, ORANGE, PURPLE, RED,
};
use crate::face::{FaceMeasures, Landmarks};
use crate::image::Rect;

/// Height of a curve, in pixels.
const CURVE: i32 = 84;
/// Problems that are listed.
const LISTED: usize = 10;
/// Opening of the lips at the upper edge of its curve.
const WIDE_OPEN: f64 = 0.4;

/// A frame that is shown.
pub(super) struct Sample {
    pub(super) picture: RgbImage,
    pub(super) landmarks: Option<Landmarks>,
    /// Its crop square.
    pub(super) square: [u32; 4],
    pub(super) seconds: f64,
}

pub(super) fn draw(prepared: &Prepared, samples: &[Sample], squares: &[[u32; 4]]) -> RgbImage {
    let scan = &prepared.scan;
    let mut canvas = Canvas::new(&prepared.source, "Footage, prepared as background");
    canvas.rows(&rows(prepared, squares));
    canvas.findings(&prepared.findings(), LISTED);
    canvas.heading(
        "Frames that were written, and the crop of each, enlarged",
        &[(BLUE, "crop square"), (GREEN, "landmarks")],
    );
    let cells: Vec<Cell> = samples.iter().map(cell).collect();
    draw::grid(&mut canvas, &cells, 4, true);
    if scan.frames.len() > 1 {
        curves(&mut canvas, scan);
    }
    canvas.finish()
}

fn rows(prepared: &Prepared, squares: &[[u32; 4]]) -> Vec<(&'static str, String)> {
    let Prepared {
        scanned_frames,
        usable_frames,
        frames,
        from_s,
        to_s,
        ..
    } = prepared;
    let sides = squares.iter().map(|[x0, _, x1, _]| x1 - x0);
    let (low, high) = (sides.clone().min(), sides.max());
    vec![
        (
            "frames",
            format!(
                "{}x{} at {} fps",
                prepared.width,
                prepared.height,
                prepared.fps.as_f64()
            ),
        ),
        (
            "usable",
            format!("{usable_frames} of {scanned_frames} frames"),
        ),
        (
            "written",
            format!("{frames} frames, {from_s:.2} to {to_s:.2} s"),
        ),
        (
            "crop squares",
            format!("{} to {} pixels wide", low.unwrap_or(0), high.unwrap_or(0)),
        ),
    ]
}

fn cell(sample: &Sample) -> Cell {
    let mut picture = sample.picture.clone();
    for [x, y, _] in sample.landmarks.iter().flat_map(|l| &l.points) {
        let [r, g, b] = GREEN;
        dot(&mut picture, *x, *y, image::Rgb([r, g, b]));
    }
    let [x0, y0, x1, y1] = sample.square;
    Cell {
        picture,
        rect: Some(Rect { x0, y0, x1, y1 }),
        masked: false,
        label: format!("{:.2} s", sample.seconds),
    }
}

/// A dot of 2x2 pixels, as far as it lies in the picture.
fn dot(picture: &mut RgbImage, x: f32, y: f32, colour: image::Rgb<u8>) {
    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let (x, y) = (x.round() as i64 - dx, y.round() as i64 - dy);
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && let Some(pixel) = picture.get_pixel_mut_checked(x, y)
        {
            *pixel = colour;
        }
    }
}

/// One curve per quantity, over the footage; what is left out is shaded, what was written is framed.
fn curves(canvas: &mut Canvas, scan: &Scan) {
    canvas.heading("Over the footage", &[(RED, "left out"), (GREEN, "written")]);
    let turn = f64::from(MAX_TURN);
    let around = |value: fn(&FaceMeasures) -> f64| range(scan, value);
    let x = |f: &FaceMeasures| f64::from(f.centre[0]);
    let y = |f: &FaceMeasures| -f64::from(f.centre[1]);
    let width = |f: &FaceMeasures| f64::from(f.width());
    curve(canvas, scan, "x", around(x), BLUE, x);
    curve(canvas, scan, "y", around(y), BLUE, y);
    curve(canvas, scan, "width", around(width), PURPLE, width);
    curve(canvas, scan, "turn", [-turn, turn], ORANGE, |f| {
        f64::from(f.yaw)
    });
    let last = curve(canvas, scan, "mouth", [0.0, WIDE_OPEN], GREEN, |f| {
        f64::from(f.opening)
    });
    last.labels(canvas, " s");
    canvas.paragraph(
        MARGIN,
        MUTED,
        "x, y, width: of the face; each scale is at least a quarter of its width. turn: to the side, up to 35 degrees. mouth: \
         gap between the lips, up to 0.4 of the distance between the eyes.",
    );
}

fn curve(
    canvas: &mut Canvas,
    scan: &Scan,
    name: &str,
    range: [f64; 2],
    colour: Colour,
    value: impl Fn(&FaceMeasures) -> f64,
) -> Chart {
    let end = scan.seconds(scan.frames.len());
    let chart = Chart::new(canvas, CURVE, [scan.seconds(0), end], range);
    for run in runs(&scan.usable.iter().map(|u| !u).collect::<Vec<bool>>()) {
        chart.shade(canvas, scan.seconds(run.start), scan.seconds(run.end), RED);
    }
    let (from, to) = (
        scan.seconds(scan.chosen.start),
        scan.seconds(scan.chosen.end),
    );
    chart.shade(canvas, from, to, GREEN);
    chart.grid(canvas);
    let [low, high] = range;
    chart.scale(canvas, &[(f64::midpoint(low, high), name)]);
    // A line for each stretch with a face.
    let seen: Vec<bool> = scan.frames.iter().map(|f| f.face.is_some()).collect();
    for run in runs(&seen) {
        let points =
            run.filter_map(|i| Some((scan.seconds(i), value(scan.frames[i].face.as_ref()?))));
        chart.curve(canvas, points, colour);
    }
    canvas.y += 6;
    chart
}

/// A range that holds all values of a length, at least a quarter of the face's width.
fn range(scan: &Scan, value: fn(&FaceMeasures) -> f64) -> [f64; 2] {
    let faces: Vec<&FaceMeasures> = scan.frames.iter().filter_map(|f| f.face.as_ref()).collect();
    let values = faces.iter().map(|face| value(face));
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let widest = faces
        .iter()
        .map(|face| f64::from(face.width()))
        .fold(0.0, f64::max);
    let middle = f64::midpoint(low, high);
    let half = ((high - low) / 1.8).max(widest / 8.0);
    [middle - half, middle + half]
}
