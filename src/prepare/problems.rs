//! What makes frames unusable, and when.

use std::fmt;

use serde::Serialize;

use super::frames::{Scan, ScannedFrame};
use crate::face::FaceMeasures;
use crate::image::Size;

/// Smallest usable face, in pixels of its width.
const MIN_WIDTH: f32 = 64.0;
/// A mouth looks soft in faces that are narrower than this.
const GOOD_WIDTH: f32 = 128.0;
/// Largest usable turn away from the camera, in degrees.
pub(super) const MAX_TURN: f32 = 35.0;
/// Blurred is what has less than this share of the footage's median sharpness ..
const BLUR_SHARE: f32 = 0.25;
/// .. or less than this, whatever the rest is like.
const MIN_SHARPNESS: f32 = 4.0;
/// Frames next to a cut that are not used: encoders blend them.
const CUT_MARGIN: usize = 2;
/// Runs of one problem that are this close together, in seconds, are reported as one.
const MERGE_SECONDS: f64 = 0.25;

/// Why a frame cannot be used, or what the user should know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProblemKind {
    /// Another shot begins.
    Cut,
    /// There is no face, or none that the landmark network accepts.
    NoFace,
    /// The face is narrower than [`MIN_WIDTH`].
    TinyFace,
    /// The head is turned by more than [`MAX_TURN`].
    Turned,
    /// The face lies partly outside the picture.
    CutOff,
    /// The face is blurred.
    Blurred,
    /// The face is narrower than [`GOOD_WIDTH`]. The frames can be used.
    SmallFace,
    /// There is more than one face. The frames can be used.
    SeveralFaces,
}

impl ProblemKind {
    /// Whether frames with this problem are left out.
    pub(super) fn excludes(self) -> bool {
        !matches!(self, Self::SmallFace | Self::SeveralFaces)
    }
}

/// A problem and when it occurs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Problem {
    /// What is wrong.
    pub(crate) kind: ProblemKind,
    /// Start in seconds.
    pub(crate) from_s: f64,
    /// End in seconds; for a cut, the same as the start.
    pub(crate) to_s: f64,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, from_s, to_s } = self;
        match kind {
            ProblemKind::Cut => write!(f, "{from_s:.2} s: {kind}"),
            _ => write!(f, "{from_s:.2} to {to_s:.2} s: {kind}"),
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::NoFace => "no face",
            Self::TinyFace => "face narrower than 64 pixels",
            Self::SmallFace => "face narrower than 128 pixels, so the mouth will look soft",
            Self::Turned => "head turned by more than 35 degrees",
            Self::CutOff => "face cut off by the border",
            Self::Blurred => "face blurred",
            Self::SeveralFaces => "more than one face",
        })
    }
}

/// What is wrong with each frame; several things may be.
pub(super) fn of_frames(frames: &[ScannedFrame], size: Size) -> Vec<Vec<ProblemKind>> {
    let blur_limit = blur_limit(frames);
    let mut problems: Vec<Vec<ProblemKind>> = frames
        .iter()
        .map(|frame| {
            let mut kinds = Vec::new();
            match &frame.face {
                None => kinds.push(ProblemKind::NoFace),
                Some(face) => of_face(face, size, &mut kinds),
            }
            if frame.face.is_some() && frame.sharpness < blur_limit {
                kinds.push(ProblemKind::Blurred);
            }
            if frame.faces > 1 {
                kinds.push(ProblemKind::SeveralFaces);
            }
            kinds
        })
        .collect();
    for cut in (0..frames.len()).filter(|&i| frames[i].is_cut) {
        for near in
            &mut problems[cut.saturating_sub(CUT_MARGIN)..(cut + CUT_MARGIN).min(frames.len())]
        {
            near.push(ProblemKind::Cut);
        }
    }
    problems
}

fn of_face(face: &FaceMeasures, size: Size, kinds: &mut Vec<ProblemKind>) {
    let [left, top, right, bottom] = face.bounds;
    if face.width() < MIN_WIDTH {
        kinds.push(ProblemKind::TinyFace);
    } else if face.width() < GOOD_WIDTH {
        kinds.push(ProblemKind::SmallFace);
    }
    if face.turn() > MAX_TURN {
        kinds.push(ProblemKind::Turned);
    }
    if left < 0.0 || top < 0.0 || right > size.width as f32 || bottom > size.height as f32 {
        kinds.push(ProblemKind::CutOff);
    }
}

fn blur_limit(frames: &[ScannedFrame]) -> f32 {
    let with_face = frames.iter().filter(|frame| frame.face.is_some());
    let mut sharpness: Vec<f32> = with_face.map(|frame| frame.sharpness).collect();
    sharpness.sort_by(f32::total_cmp);
    let median = sharpness.get(sharpness.len() / 2).copied().unwrap_or(0.0);
    (median * BLUR_SHARE).max(MIN_SHARPNESS)
}

/// The problems with their times, in the order in which they begin.
pub(super) fn with_times(scan: &Scan, problems: &[Vec<ProblemKind>]) -> Vec<Problem> {
    let seconds = |frame: usize| scan.seconds(frame);
    let mut all: Vec<Problem> = Vec::new();
    let kinds = [
        ProblemKind::NoFace,
        ProblemKind::TinyFace,
        ProblemKind::SmallFace,
        ProblemKind::Turned,
        ProblemKind::CutOff,
        ProblemKind::Blurred,
        ProblemKind::SeveralFaces,
    ];
    for kind in kinds {
        let mut runs: Vec<Problem> = Vec::new();
        for at in (0..problems.len()).filter(|&i| problems[i].contains(&kind)) {
            let (from_s, to_s) = (seconds(at), seconds(at + 1));
            match runs.last_mut() {
                Some(run) if from_s - run.to_s < MERGE_SECONDS => run.to_s = to_s,
                _ => runs.push(Problem { kind, from_s, to_s }),
            }
        }
        all.extend(runs);
    }
    let cuts = (0..scan.frames.len()).filter(|&i| scan.frames[i].is_cut);
    all.extend(cuts.map(|at| Problem {
        kind: ProblemKind::Cut,
        from_s: seconds(at),
        to_s: seconds(at),
    }));
    all.sort_by(|a, b| a.from_s.total_cmp(&b.from_s).then(a.kind.cmp(&b.kind)));
    all
}

/// The problems in words; those of a photo without times.
pub(super) fn in_words(problems: &[Problem], is_photo: bool) -> Vec<String> {
    let text = |problem: &Problem| {
        if is_photo {
            problem.kind.to_string()
        } else {
            problem.to_string()
        }
    };
    problems.iter().map(text).collect()
}
