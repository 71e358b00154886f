//! How a render divides the memory that it may use, and how much the process uses.

use std::fs;

use crate::image::Size;

/// Default memory limit in bytes ...
const DEFAULT_LIMIT: usize = 400_000_000;
/// ... and with a large generator ...
const DEFAULT_LIMIT_LARGE: usize = 900_000_000;
/// ... which is one whose file has at least this many bytes: that of `ada` has 17 million, the full-width one 49.
const LARGE_GENERATOR: u64 = 32_000_000;
/// Bytes per pixel of a frame that the encoder and the frames on their way to it take. Measured with x264 at its default
/// preset and 1280x720, across the start of a second segment, where a new encoder takes over.
const ENCODING_BYTES_PER_PIXEL: usize = 190;
/// Assumed memory use of the warmed-up program where the system does not report it, bytes.
const UNKNOWN_USE: usize = 300_000_000;

/// Memory for caches, bytes. What does not fit is computed again for each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBudget {
    /// For decoded backgrounds.
    pub backgrounds: usize,
    /// For the features that the generator computes from them.
    pub features: usize,
    /// By how much the memory limit is too small for what is in use already.
    pub shortfall: usize,
}

impl MemoryBudget {
    /// What `limit` leaves next to the networks, which have run once, and the encoding of frames of `size`. If the generator
    /// `has_features`, they get four fifths: a byte of them saves more work than a byte of a background.
    pub fn within(limit: usize, size: Size, has_features: bool) -> Self {
        Self::next_to(in_use(), limit, encoding_bytes(size), has_features)
    }

    /// The memory limit if none is given, for a generator whose file has this many bytes.
    pub fn default_limit(generator: u64) -> usize {
        if generator < LARGE_GENERATOR {
            DEFAULT_LIMIT
        } else {
            DEFAULT_LIMIT_LARGE
        }
    }

    /// What `limit` leaves next to `in_use` bytes, and `encoding` bytes for frames on their way.
    pub(crate) fn next_to(
        in_use: usize,
        limit: usize,
        encoding: usize,
        has_features: bool,
    ) -> Self {
        let needed = in_use + encoding;
        let left = limit.saturating_sub(needed);
        let features = if has_features { left / 5 * 4 } else { 0 };
        Self {
            backgrounds: left - features,
            features,
            shortfall: needed.saturating_sub(limit),
        }
    }
}

/// Memory that the encoder of frames of `size`, and the frames on their way to it, take: bytes.
pub(crate) fn encoding_bytes(size: Size) -> usize {
    size.width as usize * size.height as usize * ENCODING_BYTES_PER_PIXEL
}

/// [`encoding_bytes`] where many clips follow each other, which fragments memory. Measured with thirty clips of 1280x720, two at a
/// time: 665 MB instead of 547.
pub(crate) fn encoding_bytes_in_sequence(size: Size) -> usize {
    encoding_bytes(size) / 5 * 7
}

/// Memory that this process uses (its resident set), bytes; an estimate where the system does not report it.
pub(crate) fn in_use() -> usize {
    resident().unwrap_or(UNKNOWN_USE)
}

/// The resident set of this process, bytes.
fn resident() -> Option<usize> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: usize = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(resident * rustix::param::page_size())
}

/// The largest resident set that this process ever had, bytes.
pub(crate) fn peak_use() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
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
        let (mega, encoding) = (1_000_000, encoding_bytes(size));
        let budget = MemoryBudget::next_to(100 * mega, 400 * mega, encoding, true);
        assert_eq!(budget.backgrounds + budget.features, 300 * mega - encoding);
        assert!(budget.features > budget.backgrounds);
        let budget = MemoryBudget::next_to(500 * mega, 900 * mega, encoding, false);
        assert_eq!(
            (budget.backgrounds, budget.features),
            (400 * mega - encoding, 0)
        );
        let budget = MemoryBudget::next_to(500 * mega, 400 * mega, encoding, true);
        assert_eq!((budget.backgrounds, budget.features), (0, 0));
        assert_eq!(budget.shortfall, 100 * mega + encoding);
    }
}
