//! What a face does in one frame, in a few numbers.

use super::landmarks::{Landmarks, point};

/// Points that speech does not move: ridge of the nose, eyes, brows, cheekbones, temples.
const RIGID: [usize; 26] = [
    1, 4, 5, 6, 168, 197, 195, 33, 263, 133, 362, 70, 300, 105, 334, 234, 454, 127, 356, 116, 345,
    50, 280, 205, 425, 10,
];
/// The points whose x is the left and the right edge of the contract's square, and the one whose y is its upper edge. They
/// lie where landmarks 1, 31 and 52 of the reference's detector lie, to within 2 pixels of a square of 182.
const SQUARE: [usize; 3] = [137, 389, 195];

/// The line from hairline to chin leans by this angle if a face looks straight into the camera.
const LEAN: f32 = 8.0;

/// A face in one frame. Lengths in pixels of the frame, angles in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FaceMeasures {
    /// Mean of the points that speech does not move.
    pub centre: [f32; 2],
    /// Root mean square of their distance from `centre`.
    pub scale: f32,
    /// Turn to the side: positive if the face looks to the viewer's right.
    pub yaw: f32,
    /// Turn up or down: positive if it looks down.
    pub pitch: f32,
    /// Tilt: positive clockwise.
    pub roll: f32,
    /// Gap between the lips as a share of the distance between the outer corners of the eyes.
    pub opening: f32,
    /// Left, upper, right and lower edge of all points.
    pub bounds: [f32; 4],
    /// The contract's square as single points have it: left edge, upper edge, side.
    pub square: [f32; 3],
}

impl FaceMeasures {
    pub(crate) fn of(landmarks: &Landmarks) -> Self {
        let points = &landmarks.points;
        let rigid = RIGID.map(|at| points[at]);
        let mean = |axis: usize| rigid.iter().map(|p| p[axis]).sum::<f32>() / RIGID.len() as f32;
        let centre = [mean(0), mean(1)];
        let distance = |p: &[f32; 3]| (p[0] - centre[0]).powi(2) + (p[1] - centre[1]).powi(2);
        let scale = (rigid.iter().map(distance).sum::<f32>() / RIGID.len() as f32).sqrt();
        let across = difference(points[point::RIGHT_EDGE], points[point::LEFT_EDGE]);
        let down = difference(points[point::BOTTOM], points[point::TOP]);
        let eyes = difference(points[point::RIGHT_EYE], points[point::LEFT_EYE]);
        let gap = difference(points[point::LOWER_LIP], points[point::UPPER_LIP]);
        let edge = |axis: usize, pick: fn(f32, f32) -> f32, start: f32| {
            points.iter().map(|p| p[axis]).fold(start, pick)
        };
        let [left, right, top] = SQUARE.map(|at| points[at]);
        Self {
            centre,
            scale,
            yaw: across[2].atan2(across[0].hypot(across[1])).to_degrees(),
            pitch: down[2].atan2(down[0].hypot(down[1])).to_degrees() - LEAN,
            roll: eyes[1].atan2(eyes[0]).to_degrees(),
            opening: length(gap) / length(eyes).max(f32::MIN_POSITIVE),
            bounds: [
                edge(0, f32::min, f32::INFINITY),
                edge(1, f32::min, f32::INFINITY),
                edge(0, f32::max, f32::NEG_INFINITY),
                edge(1, f32::max, f32::NEG_INFINITY),
            ],
            square: [left[0], top[1], right[0] - left[0]],
        }
    }

    /// Width of the face.
    pub(crate) fn width(&self) -> f32 {
        self.bounds[2] - self.bounds[0]
    }

    /// The larger of both turns away from the camera.
    pub(crate) fn turn(&self) -> f32 {
        self.yaw.abs().max(self.pitch.abs())
    }
}

fn difference(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn length(v: [f32; 3]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}
