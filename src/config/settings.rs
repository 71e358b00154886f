//! Settings that `lipsync.yaml` and jobs files share.

use anyhow::Result;

use super::yaml::{Located, Section};
use crate::timeline::FrameRate;

impl Section<'_> {
    /// Frames per second.
    pub(crate) fn frame_rate(&self, key: &str) -> Result<Option<Located<FrameRate>>> {
        let expected = "1 to 240 frames per second (25, 29.97 or 30000/1001)";
        self.value(key, expected, |text| text.parse().ok())
    }

    /// A constant rate factor; the codec may accept less.
    pub(crate) fn crf(&self, key: &str) -> Result<Option<Located<u32>>> {
        self.number(key, "a whole number from 0 to 63", 0..=63)
    }

    /// A finite number above 0; `expected` names its unit.
    pub(crate) fn positive(&self, key: &str, expected: &str) -> Result<Option<Located<f64>>> {
        self.number(key, expected, f64::MIN_POSITIVE..=f64::MAX)
    }
}
