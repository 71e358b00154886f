//! The 468 points of a face: what the landmark network takes, and what its output means.
//!
//! The network is MediaPipe's face mesh. It takes the face, turned upright and 1.5 times as large as its box, as 192x192
//! pixels. Point numbers are those of its mesh.

use rayon::prelude::*;

use super::detection::Detection;
use crate::image::Picture;

/// Side of the network's input in pixels.
pub(crate) const LANDMARK_SIDE: usize = 192;
/// Values of the network's input: `[3, 192, 192]`, R G B, 0..1.
pub(crate) const LANDMARK_LEN: usize = 3 * LANDMARK_SIDE * LANDMARK_SIDE;
/// Points of a face.
pub(crate) const POINTS: usize = 468;
/// The network's picture shows this much more than the box around the face.
const MARGIN: f32 = 1.5;

/// Fewest rows of the input per parallel task.
const MIN_ROWS_PER_TASK: usize = 48;

/// Points by what they mark; left and right as the viewer sees them.
pub(crate) mod point {
    /// Outer corner of the left eye.
    pub(crate) const LEFT_EYE: usize = 33;
    /// Outer corner of the right eye.
    pub(crate) const RIGHT_EYE: usize = 263;
    /// Middle of the upper lip's lower edge.
    pub(crate) const UPPER_LIP: usize = 13;
    /// Middle of the lower lip's upper edge.
    pub(crate) const LOWER_LIP: usize = 14;
    /// Left edge of the face, at the height of the ear.
    pub(crate) const LEFT_EDGE: usize = 234;
    /// Right edge of the face, at the height of the ear.
    pub(crate) const RIGHT_EDGE: usize = 454;
    /// Hairline.
    pub(crate) const TOP: usize = 10;
    /// Chin.
    pub(crate) const BOTTOM: usize = 152;
}

/// The points of one face.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Landmarks {
    /// x, y in pixels of the picture (0 is the left or upper edge of the first pixel); z in the same unit, smaller is nearer.
    pub points: Vec<[f32; 3]>,
    /// How sure the network is that this is a face, 0..1.
    pub score: f32,
}

/// A turned square of the picture: what the network looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FaceRegion {
    centre: [f32; 2],
    side: f32,
    /// Cosine and sine of the angle from the picture's x axis to the line through the eyes.
    turn: [f32; 2],
}

impl FaceRegion {
    /// Around a detected face.
    pub(crate) fn of_detection(detection: &Detection) -> Self {
        let [left, right] = detection.eyes;
        Self::new(detection.centre, detection.size, left, right)
    }

    /// Around the points of the previous frame.
    pub(crate) fn of_landmarks(landmarks: &Landmarks) -> Self {
        let points = &landmarks.points;
        let range = |axis: usize| {
            let values = points.iter().map(|p| p[axis]);
            let low = values.clone().fold(f32::INFINITY, f32::min);
            (low, values.fold(f32::NEG_INFINITY, f32::max))
        };
        let ((x0, x1), (y0, y1)) = (range(0), range(1));
        let eye = |at: usize| [points[at][0], points[at][1]];
        Self::new(
            [f32::midpoint(x0, x1), f32::midpoint(y0, y1)],
            [x1 - x0, y1 - y0],
            eye(point::LEFT_EYE),
            eye(point::RIGHT_EYE),
        )
    }

    fn new(centre: [f32; 2], size: [f32; 2], left_eye: [f32; 2], right_eye: [f32; 2]) -> Self {
        let (x, y) = (right_eye[0] - left_eye[0], right_eye[1] - left_eye[1]);
        let length = x.hypot(y).max(f32::MIN_POSITIVE);
        Self {
            centre,
            side: MARGIN * size[0].max(size[1]),
            turn: [x / length, y / length],
        }
    }

    /// Whether the region is a usable square that overlaps a picture of this size.
    pub(crate) fn is_usable(&self, picture: &Picture) -> bool {
        let inside = |at: f32, len: usize| at + self.side > 0.0 && at - self.side < len as f32;
        self.side.is_finite()
            && self.side >= 8.0
            && inside(self.centre[0], picture.width)
            && inside(self.centre[1], picture.height)
    }

    /// Writes the network's input. Outside the picture it is black. `reduced` is scratch memory.
    pub(crate) fn input(&self, picture: &Picture, reduced: &mut Picture, input: &mut [f32]) {
        // Where an input pixel covers several of the picture, it becomes their mean.
        let factor = (self.side / LANDMARK_SIDE as f32) as usize;
        if factor < 2 {
            self.sample(picture, [0.0, 0.0], 1.0, input);
        } else {
            let corner = self.reduce(picture, factor, reduced);
            self.sample(reduced, corner, factor as f32, input);
        }
    }

    /// Shrinks the part of the picture in which the region lies by a whole factor. Returns the part's upper left corner.
    fn reduce(&self, picture: &Picture, factor: usize, reduced: &mut Picture) -> [f32; 2] {
        let [cos, sin] = self.turn.map(f32::abs);
        let half = self.side / 2.0 * (cos + sin) + factor as f32;
        let range = |axis: usize, len: usize| {
            let start = (self.centre[axis] - half).max(0.0) as usize;
            let end = ((self.centre[axis] + half).max(0.0) as usize).min(len);
            (start, end.saturating_sub(start) / factor)
        };
        let ((left, width), (top, height)) = (range(0, picture.width), range(1, picture.height));
        (reduced.width, reduced.height) = (width, height);
        reduced.pixels.resize(width * height * 3, 0);
        let count = (factor * factor) as u32;
        let rows = reduced.pixels.par_chunks_mut((width * 3).max(1));
        let rows = rows.enumerate().with_min_len(MIN_ROWS_PER_TASK);
        rows.for_each_init(Vec::new, |sums: &mut Vec<u32>, (y, row)| {
            sums.clear();
            sums.resize(width * 3, count / 2);
            for source in 0..factor {
                let at = ((top + y * factor + source) * picture.width + left) * 3;
                let source = &picture.pixels[at..at + width * factor * 3];
                for (sum, block) in sums
                    .chunks_exact_mut(3)
                    .zip(source.chunks_exact(factor * 3))
                {
                    for pixel in block.chunks_exact(3) {
                        for (sum, value) in sum.iter_mut().zip(pixel) {
                            *sum += u32::from(*value);
                        }
                    }
                }
            }
            for (value, sum) in row.iter_mut().zip(sums) {
                *value = (*sum / count) as u8;
            }
        });
        [left as f32, top as f32]
    }

    /// Samples a picture whose pixels are `factor` pixels of the frame wide, and whose upper left corner is at `corner`.
    fn sample(&self, picture: &Picture, corner: [f32; 2], factor: f32, input: &mut [f32]) {
        let plane = LANDMARK_SIDE * LANDMARK_SIDE;
        let (red, rest) = input.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let rows = (red.par_chunks_mut(LANDMARK_SIDE))
            .zip(green.par_chunks_mut(LANDMARK_SIDE))
            .zip(blue.par_chunks_mut(LANDMARK_SIDE));
        rows.enumerate()
            .with_min_len(MIN_ROWS_PER_TASK)
            .for_each(|(y, ((red, green), blue))| {
                for x in 0..LANDMARK_SIDE {
                    let [at_x, at_y] = self.position([x as f32 + 0.5, y as f32 + 0.5]);
                    let at = [(at_x - corner[0]) / factor, (at_y - corner[1]) / factor];
                    [red[x], green[x], blue[x]] = bilinear(picture, at);
                }
            });
    }

    /// The network's output (`points [468, 3]` in pixels of its input) as points of the picture.
    pub(crate) fn landmarks(&self, points: &[f32], score: f32) -> Landmarks {
        let scale = self.side / LANDMARK_SIDE as f32;
        let points = points.chunks_exact(3).map(|p| {
            let [x, y] = self.position([p[0], p[1]]);
            [x, y, p[2] * scale]
        });
        Landmarks {
            points: points.collect(),
            score: super::detection::logistic(score),
        }
    }

    /// A position in the network's picture -> in the frame.
    fn position(&self, at: [f32; 2]) -> [f32; 2] {
        let scale = self.side / LANDMARK_SIDE as f32;
        let half = LANDMARK_SIDE as f32 / 2.0;
        let (x, y) = ((at[0] - half) * scale, (at[1] - half) * scale);
        let [cos, sin] = self.turn;
        [
            self.centre[0] + x * cos - y * sin,
            self.centre[1] + x * sin + y * cos,
        ]
    }
}

/// The colour at a position (0 is the left or upper edge of the first pixel), 0..1; black outside the picture.
fn bilinear(picture: &Picture, at: [f32; 2]) -> [f32; 3] {
    // From the middle of the pixel before. The casts round down: nothing here is negative.
    let [x, y] = at.map(|at| (at + 0.5).max(0.0));
    let (left, top) = (x as usize, y as usize);
    if left == 0 || top == 0 || left >= picture.width || top >= picture.height {
        return [0.0; 3];
    }
    let (fx, fy) = (x - left as f32, y - top as f32);
    let stride = picture.width * 3;
    let at = (top - 1) * stride + (left - 1) * 3;
    let upper = &picture.pixels[at..at + 6];
    let lower = &picture.pixels[at + stride..at + stride + 6];
    let weights = [
        (1.0 - fx) * (1.0 - fy),
        fx * (1.0 - fy),
        (1.0 - fx) * fy,
        fx * fy,
    ]
    .map(|weight| weight / 255.0);
    std::array::from_fn(|channel| {
        let corners = [
            upper[channel],
            upper[channel + 3],
            lower[channel],
            lower[channel + 3],
        ];
        let weighted = corners.iter().zip(weights);
        weighted.map(|(&c, w)| w * f32::from(c)).sum()
    })
}
