//! Long clips cut into parts that are rendered apart and joined without encoding again.
//!
//! Every [`SEGMENT`] frames, a clip's video encoder starts anew, in whole renders as well: nothing that it learnt goes over
//! such a border, so that frames and packets of a part are those of the whole clip.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::Fault;

/// Frames from one border to the next, and from a key frame to the next at most: x264's own `keyint`.
pub(crate) const SEGMENT: u64 = 250;

/// One of the parts that a clip is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Part {
    /// Its frames of a clip of `frames` frames: whole segments, but for the clip's end. The parts of a clip follow each other
    /// without a gap, and differ by a segment at most.
    pub fn frames(self, frames: u64) -> Result<Range<u64>, Fault> {
        let segments = frames.div_ceil(SEGMENT);
        if self.of > segments {
            return Err(Fault::usage(format!(
                "--part {self} cuts too small: a clip of {frames} frames has {segments} segments of {SEGMENT} frames"
            ))
            .hint(format!("cut it into {segments} parts at most")));
        }
        // In 128 bits, as both numbers are the user's.
        let border = |part: u64| {
            let segment = u128::from(part) * u128::from(segments) / u128::from(self.of);
            (segment as u64 * SEGMENT).min(frames)
        };
        Ok(border(self.index)..border(self.index + 1))
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
            .ok_or_else(|| {
                "expected K/N, the number of a part, from 0, and how many there are: 0/4 to 3/4"
                    .into()
            })
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
        fn parts_are_complete_disjoint_alike_and_begin_at_borders(
            frames in 1_u64..10_000_000,
            wanted in 1_u64..5000,
        ) {
            let of = wanted.min(frames.div_ceil(SEGMENT));
            let parts: Vec<_> = (0..of)
                .map(|index| Part { index, of }.frames(frames).unwrap())
                .collect();
            prop_assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, frames));
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            let segments = parts.iter().map(|part| (part.end - part.start).div_ceil(SEGMENT));
            let (least, most) = (segments.clone().min().unwrap(), segments.max().unwrap());
            prop_assert!(least >= 1 && most - least <= 1, "{} to {} segments", least, most);
            prop_assert!(parts.iter().all(|part| part.start % SEGMENT == 0));
        }
    }

    #[test]
    fn a_part_is_written_from_0() {
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
