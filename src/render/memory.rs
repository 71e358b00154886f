//! How a render shares out the memory that it may use.

use std::fs;

use crate::image::Size;

/// Memory to stay within if nothing else is asked for, bytes ..
const SMALL: usize = 400_000_000;
/// .. and with a large generator ..
const LARGE: usize = 900_000_000;
/// .. which is one whose file has so many bytes: that of `ada` has 17 million, the full-width one 49.
const LARGE_FILE: u64 = 32_000_000;
/// Bytes for each pixel of a frame that the encoder, and frames on their way to it, take: measured with x264 at its usual
/// preset, and 1280x720, over the beginning of a second segment, where a new encoder takes over.
const ENCODING: usize = 190;
/// What the program is taken to hold once it is warm, where the system does not tell.
const UNKNOWN: usize = 300_000_000;

/// Memory for what is made of each background once and kept, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// For decoded backgrounds.
    pub backgrounds: usize,
    /// For what the generator makes of them.
    pub features: usize,
    /// How much less than what is held already the limit is.
    pub lacking: usize,
}

impl MemoryBudget {
    /// What `limit` leaves beside the networks, which have run once, and the encoding of frames of `size`. The generator's
    /// features get four fifths if it `has_features`: a byte of them saves more work than one of a background.
    pub fn within(limit: usize, size: Size, has_features: bool) -> Self {
        Self::beside(held(), limit, encoding(size), has_features)
    }

    /// The memory to stay within if nothing else is asked for, for a generator whose file has so many bytes.
    pub fn usual_limit(generator: u64) -> usize {
        if generator < LARGE_FILE { SMALL } else { LARGE }
    }

    /// What `limit` leaves beside `held` bytes and `encoding` ones for frames on their way.
    pub(crate) fn beside(held: usize, limit: usize, encoding: usize, has_features: bool) -> Self {
        let working = held + encoding;
        let left = limit.saturating_sub(working);
        let features = if has_features { left / 5 * 4 } else { 0 };
        Self {
            backgrounds: left - features,
            features,
            lacking: working.saturating_sub(limit),
        }
    }
}

/// Memory that the encoder of frames of `size`, and frames on their way to it, take: bytes.
pub(crate) fn encoding(size: Size) -> usize {
    size.width as usize * size.height as usize * ENCODING
}

/// The same where many clips follow each other: what one leaves behind fits the next one badly. Measured with thirty clips of
/// 1280x720, two at a time, which took 665 MB instead of 547.
pub(crate) fn encoding_in_turns(size: Size) -> usize {
    encoding(size) / 5 * 7
}

/// Memory that this process holds, bytes.
pub(crate) fn held() -> usize {
    held_now().unwrap_or(UNKNOWN)
}

/// Memory that this process holds, bytes, where the system tells it.
fn held_now() -> Option<usize> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: usize = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(resident * rustix::param::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_within_the_limit() {
        let size = Size {
            width: 1280,
            height: 720,
        };
        let (mega, encoding) = (1_000_000, encoding(size));
        let room = MemoryBudget::beside(100 * mega, 400 * mega, encoding, true);
        assert_eq!(room.backgrounds + room.features, 300 * mega - encoding);
        assert!(room.features > room.backgrounds);
        let room = MemoryBudget::beside(500 * mega, 900 * mega, encoding, false);
        assert_eq!(
            (room.backgrounds, room.features),
            (400 * mega - encoding, 0)
        );
        let room = MemoryBudget::beside(500 * mega, 400 * mega, encoding, true);
        assert_eq!((room.backgrounds, room.features), (0, 0));
        assert_eq!(room.lacking, 100 * mega + encoding);
    }
}
