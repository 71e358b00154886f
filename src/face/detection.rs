//! Faces in a picture: what the detector takes, and what its output means.
//!
//! The detector is MediaPipe's full-range face detector. It takes the whole picture, padded to a square, as 192x192
//! pixels; each cell of a 48x48 grid gives one box, six points and a score.

use crate::image::{Picture, Size};

/// Side of the detector's input in pixels.
pub(crate) const DETECTOR_SIDE: usize = 192;
/// Values of the detector's input: `[3, 192, 192]`, R G B, -1..1.
pub(crate) const DETECTOR_LEN: usize = 3 * DETECTOR_SIDE * DETECTOR_SIDE;
/// Cells per side of the grid.
const GRID: usize = 48;
/// Boxes that the detector gives.
pub(crate) const BOXES: usize = GRID * GRID;
/// Values per box: centre and size, then x and y of six points, all in pixels of the input, relative to the cell's centre
/// (the size is absolute).
pub(crate) const BOX_LEN: usize = 16;
/// Boxes below this score are no faces (MediaPipe's own threshold for this network).
const MIN_SCORE: f32 = 0.6;
/// Boxes that overlap by more than this share of their union show the same face.
const MAX_OVERLAP: f32 = 0.3;

/// A face that was found. Coordinates in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Detection {
    /// How sure the detector is, 0..1.
    pub score: f32,
    /// Middle of the box.
    pub centre: [f32; 2],
    /// Width and height of the box, from the brow to the chin.
    pub size: [f32; 2],
    /// The eye on the left side of the picture, and the one on the right side.
    pub eyes: [[f32; 2]; 2],
}

/// Writes the detector's input: the picture in the middle of a black square.
pub(crate) fn detector_input(picture: &Picture, input: &mut [f32]) {
    let letterbox = Letterbox::of(picture.size());
    input.fill(-1.0);
    let (left, top) = (letterbox.left, letterbox.top);
    for y in 0..DETECTOR_SIDE {
        let rows = letterbox.source(y, top, picture.height);
        if rows.is_empty() {
            continue;
        }
        for x in 0..DETECTOR_SIDE {
            let columns = letterbox.source(x, left, picture.width);
            if columns.is_empty() {
                continue;
            }
            let mut sum = [0_u32; 3];
            for row in rows.clone() {
                let row = &picture.pixels[row * picture.width * 3..][..picture.width * 3];
                for pixel in row[columns.start * 3..columns.end * 3].chunks_exact(3) {
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += u32::from(*value);
                    }
                }
            }
            let count = (rows.len() * columns.len()) as f32;
            for (channel, sum) in sum.iter().enumerate() {
                let at = (channel * DETECTOR_SIDE + y) * DETECTOR_SIDE + x;
                input[at] = *sum as f32 / count / 127.5 - 1.0;
            }
        }
    }
}

/// How a picture lies in the detector's square.
struct Letterbox {
    /// Pixels of the picture per pixel of the input.
    scale: f32,
    /// Pixels of the picture that are missing on the left and above.
    left: f32,
    top: f32,
}

impl Letterbox {
    fn of(size: Size) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        let longer = width.max(height);
        Self {
            scale: longer / DETECTOR_SIDE as f32,
            left: (longer - width) / 2.0,
            top: (longer - height) / 2.0,
        }
    }

    /// The pixels of the picture that input pixel `at` covers, at least one if it lies in the picture.
    fn source(&self, at: usize, padding: f32, len: usize) -> std::ops::Range<usize> {
        let start = at as f32 * self.scale - padding;
        let end = start + self.scale;
        let middle = f32::midpoint(start, end);
        if middle < 0.0 || middle >= len as f32 {
            return 0..0;
        }
        let first = (start.round().max(0.0) as usize).min(middle as usize);
        let last = (end.round() as usize).clamp(middle as usize + 1, len);
        first..last
    }

    fn position(&self, point: [f32; 2]) -> [f32; 2] {
        [
            point[0] * self.scale - self.left,
            point[1] * self.scale - self.top,
        ]
    }
}

/// The faces in the detector's output (`boxes [2304, 16]`, `scores [2304]` before the logistic function) for a picture of
/// this size, the largest first.
pub(crate) fn detections(boxes: &[f32], scores: &[f32], size: Size) -> Vec<Detection> {
    let letterbox = Letterbox::of(size);
    let mut found: Vec<Detection> = (boxes.chunks_exact(BOX_LEN).zip(scores).enumerate())
        .filter_map(|(cell, (values, &score))| {
            let score = logistic(score);
            (score >= MIN_SCORE).then(|| detection(cell, values, score, &letterbox))
        })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces: Vec<Detection> = Vec::new();
    while !found.is_empty() {
        let (same, others): (Vec<Detection>, Vec<Detection>) = found
            .iter()
            .partition(|d| overlap(d, &found[0]) > MAX_OVERLAP);
        faces.push(mean(&same));
        found = others;
    }
    faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
    faces
}

impl Detection {
    fn area(&self) -> f32 {
        self.size[0] * self.size[1]
    }
}

fn detection(cell: usize, values: &[f32], score: f32, letterbox: &Letterbox) -> Detection {
    let step = DETECTOR_SIDE as f32 / GRID as f32;
    let (column, row) = ((cell % GRID) as f32, (cell / GRID) as f32);
    let origin = [(column + 0.5) * step, (row + 0.5) * step];
    let point = |at: usize| {
        let [x, y] = [values[at], values[at + 1]];
        letterbox.position([origin[0] + x, origin[1] + y])
    };
    Detection {
        score,
        centre: point(0),
        size: [values[2] * letterbox.scale, values[3] * letterbox.scale],
        eyes: [point(4), point(6)],
    }
}

/// Several boxes of one face, weighted by score. There is at least one.
fn mean(same: &[Detection]) -> Detection {
    let total: f32 = same.iter().map(|d| d.score).sum();
    let mean = |value: &dyn Fn(&Detection) -> f32| {
        same.iter().map(|d| value(d) * d.score).sum::<f32>() / total
    };
    let pair =
        |value: &dyn Fn(&Detection) -> [f32; 2]| [mean(&|d| value(d)[0]), mean(&|d| value(d)[1])];
    Detection {
        score: same.iter().map(|d| d.score).fold(0.0, f32::max),
        centre: pair(&|d| d.centre),
        size: pair(&|d| d.size),
        eyes: [pair(&|d| d.eyes[0]), pair(&|d| d.eyes[1])],
    }
}

/// Intersection over union of two boxes.
fn overlap(a: &Detection, b: &Detection) -> f32 {
    let shared = |axis: usize| {
        let low = (a.centre[axis] - a.size[axis] / 2.0).max(b.centre[axis] - b.size[axis] / 2.0);
        let high = (a.centre[axis] + a.size[axis] / 2.0).min(b.centre[axis] + b.size[axis] / 2.0);
        (high - low).max(0.0)
    };
    let both = shared(0) * shared(1);
    both / (a.area() + b.area() - both).max(f32::MIN_POSITIVE)
}

/// 1 / (1 + e^-x).
pub(super) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x.clamp(-80.0, 80.0)).exp())
}
