//! What the first pass over the footage leaves: a few numbers per frame.

use std::ops::Range;

use crate::face::FaceMeasures;
use crate::image::Size;
use crate::timeline::{FrameIndex, FrameRate};

/// Frames of the footage, by number.
pub(super) type Frames = Range<usize>;

/// What one frame shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ScannedFrame {
    /// The face; none if there is no usable one.
    pub(super) face: Option<FaceMeasures>,
    /// Variance of the Laplacian of the face at the size at which the landmark network sees it.
    pub(super) sharpness: f32,
    /// How many faces there are, as the detector saw it last.
    pub(super) faces: usize,
    /// Whether another shot begins here.
    pub(super) is_cut: bool,
}

/// The numbers per frame, and which frames are written.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) frames: Vec<ScannedFrame>,
    pub(super) usable: Vec<bool>,
    /// Number of the first scanned frame in the footage.
    pub(super) first: usize,
    /// The frames that are written, as indices into `frames`.
    pub(super) chosen: Frames,
    pub(super) size: Size,
    pub(super) fps: FrameRate,
}

impl Scan {
    /// When scanned frame `index` is shown, in seconds.
    pub(super) fn seconds(&self, index: usize) -> f64 {
        self.fps.seconds(FrameIndex((self.first + index) as u64))
    }

    /// The measures of the frames that are written. Where there is no face, those of the nearest frame that has one.
    pub(super) fn chosen_faces(&self) -> Vec<FaceMeasures> {
        let frames = &self.frames[self.chosen.clone()];
        let known: Vec<usize> = (0..frames.len())
            .filter(|&i| frames[i].face.is_some())
            .collect();
        let nearest = |i: usize| {
            let after = known.partition_point(|&k| k < i);
            let around = [after.checked_sub(1), Some(after)].into_iter().flatten();
            let around = around.filter_map(|k| known.get(k).copied());
            around.min_by_key(|&k| k.abs_diff(i))
        };
        let indices = (0..frames.len()).filter_map(nearest);
        indices.filter_map(|i| frames[i].face).collect()
    }
}
