//! Picks the frames that become backgrounds: the calmest stretch of the footage.

use std::ops::Range;

use super::frames::ScannedFrame;
use crate::face::FaceMeasures;

/// How much each kind of unrest counts, so that a usual amount of each counts about 1.
/// Movement per frame, as a share of the face's extent.
const MOVEMENT: f32 = 1.0 / 0.01;
/// Turn away from the camera, in degrees.
const TURN: f32 = 1.0 / 15.0;
/// Opening of the lips, as a share of the distance between the eyes.
const OPENING: f32 = 1.0 / 0.08;
/// What both ends count, as if they lasted this many frames: ping-pong playback turns around there.
const ENDS: f32 = 12.0;

/// The calmest stretch of at most `wanted` frames among `usable` ones, which never crosses a frame that is not usable. None
/// if no frame is usable.
pub(super) fn calmest(
    frames: &[ScannedFrame],
    usable: &[bool],
    wanted: usize,
) -> Option<Range<usize>> {
    let runs = runs(usable);
    let longest = runs.iter().map(Range::len).max()?;
    let len = wanted.min(longest);
    let unrest = unrest(frames);
    let sums = prefix_sums(&unrest.iter().map(|u| u.all).collect::<Vec<f32>>());
    let cost = |start: usize| {
        let ends = unrest[start].at_end + unrest[start + len - 1].at_end;
        (sums[start + len] - sums[start]) + f64::from(ENDS * ends)
    };
    let starts = runs
        .into_iter()
        .filter(|run| run.len() >= len)
        .flat_map(|run| run.start..=run.end - len);
    let best = starts.min_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
    Some(best..best + len)
}

/// Stretches of consecutive usable frames.
pub(super) fn runs(usable: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in (0..usable.len()).filter(|&i| usable[i]) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// How restless a frame is.
#[derive(Clone, Copy, Default)]
struct Unrest {
    all: f32,
    /// As the first or last frame of a stretch.
    at_end: f32,
}

fn unrest(frames: &[ScannedFrame]) -> Vec<Unrest> {
    let mut previous: Option<FaceMeasures> = None;
    let of = |frame: &ScannedFrame| {
        let Some(face) = frame.face else {
            previous = None;
            return Unrest::default();
        };
        let movement = previous.map_or(0.0, |previous| movement(&previous, &face));
        previous = Some(face);
        let mouth = OPENING * face.opening;
        let moving = MOVEMENT * movement;
        Unrest {
            all: moving + TURN * face.turn() + mouth,
            at_end: moving + mouth,
        }
    };
    frames.iter().map(of).collect()
}

/// How far a face moves between two frames, as a share of its extent: position, size and tilt.
fn movement(a: &FaceMeasures, b: &FaceMeasures) -> f32 {
    let shift = (a.centre[0] - b.centre[0]).hypot(a.centre[1] - b.centre[1]);
    let growth = (a.scale - b.scale).abs();
    let turn = ((a.yaw - b.yaw).abs() + (a.roll - b.roll).abs()).to_radians();
    (shift + growth) / b.scale.max(f32::MIN_POSITIVE) + turn
}

fn prefix_sums(values: &[f32]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = values.iter().map(|&value| {
        sum += f64::from(value);
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(opening: f32) -> ScannedFrame {
        ScannedFrame {
            face: Some(FaceMeasures {
                centre: [100.0, 100.0],
                scale: 50.0,
                yaw: 0.0,
                pitch: 0.0,
                roll: 0.0,
                opening,
                bounds: [0.0, 0.0, 200.0, 200.0],
                square: [50.0, 50.0, 100.0],
            }),
            sharpness: 100.0,
            faces: 1,
            is_cut: false,
        }
    }

    #[test]
    fn the_stretch_with_the_mouth_closed_is_taken() {
        let frames: Vec<ScannedFrame> = (0..100)
            .map(|i| face(if (40..70).contains(&i) { 0.0 } else { 0.2 }))
            .collect();
        assert_eq!(calmest(&frames, &[true; 100], 30), Some(40..70));
        // It never crosses a frame that is not usable.
        let usable: Vec<bool> = (0..100).map(|i| i != 50).collect();
        assert_eq!(calmest(&frames, &usable, 30), Some(51..81));
        // If nothing is as long, the longest stretch there is.
        let usable: Vec<bool> = (0..100).map(|i| i % 10 != 0).collect();
        let range = calmest(&frames, &usable, 30).unwrap();
        assert_eq!(range.len(), 9);
        assert!((40..70).contains(&range.start));
        assert_eq!(calmest(&frames, &[false; 100], 30), None);
    }
}
