//! The lag between mouth and audio in each clip.

use anyhow::Result;
use serde::Serialize;

use super::input::Input;
use crate::cancel::Cancel;
use crate::sync::{Look, Loudness, Motion, Sync, View};

/// The lag between mouth and audio of both clips.
#[derive(Debug, Serialize)]
pub(crate) struct LipSync {
    /// Of the expected clip; none without audio or without motion.
    pub expected: Option<Sync>,
    /// Of the actual clip.
    pub actual: Option<Sync>,
    /// Milliseconds by which the actual clip's lag is greater; none if either is not reliable.
    pub apart_ms: Option<f64>,
}

impl LipSync {
    /// Measures both clips. `views` says where the mouth is looked for in each; the frames come with their timestamps in
    /// seconds.
    pub(super) fn of(
        inputs: &[Input; 2],
        views: [Option<View>; 2],
        frames: [Vec<(f64, Look)>; 2],
        warnings: &mut Vec<String>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let ([expected, actual], [expected_view, actual_view]) = (inputs, views);
        let [expected_frames, actual_frames] = frames;
        let expected = measure(expected, expected_view, expected_frames, warnings, cancel)?;
        let actual = measure(actual, actual_view, actual_frames, warnings, cancel)?;
        let reliable = |sync: &Option<Sync>| Some(sync.as_ref().filter(|s| s.is_sure)?.lag_ms);
        let lags = reliable(&expected).zip(reliable(&actual));
        Ok(Self {
            apart_ms: lags.map(|(expected, actual)| actual - expected),
            expected,
            actual,
        })
    }
}

fn measure(
    input: &Input,
    view: Option<View>,
    frames: Vec<(f64, Look)>,
    warnings: &mut Vec<String>,
    cancel: &Cancel,
) -> Result<Option<Sync>> {
    let Some((view, audio)) = view.zip(input.audio()) else {
        return Ok(None);
    };
    let delay = input.video_delay();
    let mut motion = Motion::new(input.size, view);
    for (seconds, frame) in frames {
        motion.push(seconds + delay, frame);
    }
    let shown = input.path.display();
    warnings.extend(motion.doubt().map(|doubt| format!("`{shown}`: {doubt}")));
    let loudness = Loudness::of(audio, cancel)?;
    Ok(Sync::of(&motion, &loudness))
}
