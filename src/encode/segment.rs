//! Long clips are divided into parts, which are rendered separately and joined without encoding again.
//!
//! A part consists of whole segments. Every [`SEGMENT_FRAMES`] frames, the video encoder restarts, also in undivided
//! renders: it carries no state across the boundary, so frames and packets of a part are those of the whole clip.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::Fault;

/// Frames per segment, and thus the longest distance between key frames: x264's default `keyint`.
pub(crate) const SEGMENT_FRAMES: u64 = 250;

/// One of the parts of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Part {
    /// Its frames of a clip of `frames` frames: whole segments, except at the clip's end. Parts follow each other without a
    /// gap, and their lengths differ by one segment at most.
    pub fn frames(self, frames: u64) -> Result<Range<u64>, Fault> {
        let segments = frames.div_ceil(SEGMENT_FRAMES);
        if self.of > segments {
            let (counted, hint) = if segments == 1 {
                ("1 segment".into(), "render it without --part".into())
            } else {
                let hint = format!("use {segments} parts at most");
                (format!("{segments} segments"), hint)
            };
            return Err(Fault::usage(format!(
                "--part {self} is too small: a clip of {frames} frames has {counted} of {SEGMENT_FRAMES} frames"
            ))
            .hint(hint));
        }
        // In 128 bits: the user may choose any numbers.
        let boundary = |part: u64| {
            let segment = u128::from(part) * u128::from(segments) / u128::from(self.of);
            (segment as u64 * SEGMENT_FRAMES).min(frames)
        };
        Ok(boundary(self.index)..boundary(self.index + 1))
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(index, of)| index.parse().ok().zip(of.parse().ok()));
        numbers
            .filter(|(index, of)| index < of)
            .map(|(index, of)| Self { index, of })
            .ok_or_else(|| "expected K/N with K from 0 to N - 1, such as 0/4".into())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_complete_disjoint_even_and_begin_with_a_segment(
            frames in 1_u64..10_000_000,
            wanted in 1_u64..5000,
        ) {
            let of = wanted.min(frames.div_ceil(SEGMENT_FRAMES));
            let parts: Vec<_> = (0..of)
                .map(|index| Part { index, of }.frames(frames).unwrap())
                .collect();
            prop_assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, frames));
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            let segments = parts.iter().map(|part| (part.end - part.start).div_ceil(SEGMENT_FRAMES));
            let (least, most) = (segments.clone().min().unwrap(), segments.max().unwrap());
            prop_assert!(least >= 1 && most - least <= 1, "{} to {} segments", least, most);
            prop_assert!(parts.iter().all(|part| part.start % SEGMENT_FRAMES == 0));
        }
    }

    #[test]
    fn parts_count_from_0() {
        assert_eq!("3/4".parse(), Ok(Part { index: 3, of: 4 }));
        for wrong in ["4/4", "0/0", "-1/2", "1", "1/2/3", "a/b", ""] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
        assert!(
            Part {
                index: 0,
                of: u64::MAX
            }
            .frames(u64::MAX)
            .is_err()
        );
    }
}
