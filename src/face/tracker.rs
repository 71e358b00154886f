//! Follows faces from frame to frame.

use anyhow::Result;

use super::detection::{BOX_LEN, BOXES, DETECTOR_LEN, Detection, detections, detector_input};
use super::landmarks::{FaceRegion, LANDMARK_LEN, LANDMARK_SIDE, Landmarks, POINTS};
use crate::image::Picture;

/// The detector looks at every n-th frame, whether the face was lost or not: another person may have come in.
const DETECTION_INTERVAL: u64 = 12;
/// Points below this score are no face.
const MIN_SCORE: f32 = 0.5;
/// A tracked face has left its place if its centre is further from the detected one than this share of the box.
const MAX_DRIFT: f32 = 0.5;

/// The two networks, as this room sees them; `inference` implements them.
pub(crate) trait FaceNetworks {
    /// `picture [3, 192, 192]`, R G B, -1..1 -> `boxes [2304, 16]` and `scores [2304]`.
    fn detect(&mut self, picture: &[f32], boxes: &mut [f32], scores: &mut [f32]) -> Result<()>;

    /// `face [3, 192, 192]`, R G B, 0..1 -> `points [468, 3]` and the score before the logistic function.
    fn landmarks(&mut self, face: &[f32], points: &mut [f32]) -> Result<f32>;
}

/// What was found in one frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrackedFrame {
    /// The face that is followed; none if there is no usable one.
    pub face: Option<Landmarks>,
    /// Variance of the Laplacian of the face's brightness, at the size at which the landmark network sees it; 0 without a
    /// face.
    pub sharpness: f32,
    /// All faces in the picture, the largest first, if the detector looked at this frame.
    pub detections: Option<Vec<Detection>>,
}

/// Follows one face of a video; frames come in order.
pub(crate) struct Tracker<N> {
    networks: N,
    /// Which face to follow, from 0, by size where it appears.
    choice: usize,
    frame: u64,
    previous: Option<Landmarks>,
    buffers: Buffers,
}

/// Inputs and outputs of the networks.
struct Buffers {
    picture: Vec<f32>,
    boxes: Vec<f32>,
    scores: Vec<f32>,
    /// Scratch memory for the face.
    reduced: Picture,
    face: Vec<f32>,
    points: Vec<f32>,
}

impl<N: FaceNetworks> Tracker<N> {
    /// Follows the face that is number `choice` (from 0) by size.
    pub(crate) fn new(networks: N, choice: usize) -> Self {
        Self {
            networks,
            choice,
            frame: 0,
            previous: None,
            buffers: Buffers {
                picture: vec![0.0; DETECTOR_LEN],
                boxes: vec![0.0; BOXES * BOX_LEN],
                scores: vec![0.0; BOXES],
                reduced: Picture::default(),
                face: vec![0.0; LANDMARK_LEN],
                points: vec![0.0; POINTS * 3],
            },
        }
    }

    /// Forgets the face: after a cut, another one may be in its place.
    pub(crate) fn forget(&mut self) {
        self.previous = None;
    }

    /// Looks at the next frame.
    pub(crate) fn next(&mut self, picture: &Picture) -> Result<TrackedFrame> {
        let due = self.frame.is_multiple_of(DETECTION_INTERVAL);
        self.frame += 1;
        let mut face = match self.previous.take() {
            Some(previous) => self.landmarks(picture, FaceRegion::of_landmarks(&previous))?,
            None => None,
        };
        let mut detections = None;
        if due || face.is_none() {
            let found = self.detect(picture)?;
            if let Some(tracked) = &face
                && !found.iter().any(|detection| shows(detection, tracked))
                && !found.is_empty()
            {
                face = None;
            }
            if face.is_none()
                && let Some(chosen) = found.get(self.choice)
            {
                face = self.landmarks(picture, FaceRegion::of_detection(chosen))?;
            }
            detections = Some(found);
        }
        self.previous.clone_from(&face);
        let sharpness = face.as_ref().map_or(0.0, |_| sharpness(&self.buffers.face));
        Ok(TrackedFrame {
            face,
            sharpness,
            detections,
        })
    }

    fn detect(&mut self, picture: &Picture) -> Result<Vec<Detection>> {
        let buffers = &mut self.buffers;
        detector_input(picture, &mut buffers.picture);
        self.networks
            .detect(&buffers.picture, &mut buffers.boxes, &mut buffers.scores)?;
        Ok(detections(&buffers.boxes, &buffers.scores, picture.size()))
    }

    fn landmarks(&mut self, picture: &Picture, region: FaceRegion) -> Result<Option<Landmarks>> {
        if !region.is_usable(picture) {
            return Ok(None);
        }
        let buffers = &mut self.buffers;
        region.input(picture, &mut buffers.reduced, &mut buffers.face);
        let score = self
            .networks
            .landmarks(&buffers.face, &mut buffers.points)?;
        let landmarks = region.landmarks(&buffers.points, score);
        Ok((landmarks.score >= MIN_SCORE).then_some(landmarks))
    }
}

/// Whether a detection is the face with these points.
fn shows(detection: &Detection, landmarks: &Landmarks) -> bool {
    let count = landmarks.points.len() as f32;
    (0..2).all(|axis| {
        let mean = landmarks.points.iter().map(|p| p[axis]).sum::<f32>() / count;
        (mean - detection.centre[axis]).abs() <= MAX_DRIFT * detection.size[axis]
    })
}

/// Variance of the Laplacian in the middle half of the landmark network's input, in levels of 255.
fn sharpness(face: &[f32]) -> f32 {
    const MIDDLE: std::ops::Range<usize> = LANDMARK_SIDE / 4..LANDMARK_SIDE * 3 / 4;
    let [red, green, blue] =
        [0, 1, 2].map(|channel| &face[channel * LANDMARK_SIDE * LANDMARK_SIDE..]);
    let brightness = |at: usize| 255.0 * (0.299 * red[at] + 0.587 * green[at] + 0.114 * blue[at]);
    let (mut sum, mut squares) = (0.0, 0.0);
    for y in MIDDLE {
        for x in MIDDLE {
            let at = y * LANDMARK_SIDE + x;
            let around = [at - 1, at + 1, at - LANDMARK_SIDE, at + LANDMARK_SIDE];
            let laplacian = around.into_iter().map(brightness).sum::<f32>() - 4.0 * brightness(at);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    let count = (MIDDLE.len() * MIDDLE.len()) as f32;
    squares / count - (sum / count).powi(2)
}
