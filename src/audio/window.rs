//! Which mel frames each frame of the clip needs: 16x80 blocks for the audio encoder, and 640 ms windows of their
//! embeddings for the generator. The contract defines both at 25 frames per second; here they work at any frame rate.

use std::collections::VecDeque;

use super::mel::{BANDS, MelFrame};
use crate::timeline::{FrameIndex, FrameRate};

/// Mel frames per block: 200 ms.
pub(crate) const BLOCK_FRAMES: usize = 16;
/// Values per block, `[80, 16]`: band by band, 16 mel frames each.
pub(crate) const BLOCK_LEN: usize = BANDS * BLOCK_FRAMES;
/// Values per embedding.
pub const EMBEDDING_LEN: usize = 512;
/// Embeddings per window: 640 ms, one every 40 ms.
pub(crate) const WINDOW_ROWS: usize = 16;
/// Values per window, `[16, 512]`, which the generator reads as `[32, 16, 16]`.
pub const WINDOW_LEN: usize = WINDOW_ROWS * EMBEDDING_LEN;
/// Rows of a window before the row of its own frame.
const ROWS_BEFORE: i128 = 8;
/// Mel frames per second.
const MEL_RATE: i128 = 80;
/// Features per second: the frame rate of the training videos.
const FEATURE_RATE: i128 = 25;

/// Shortest audio that is analysed, in samples: shorter audio is padded with zeros to 640 ms.
pub(crate) const MIN_SPEECH_SAMPLES: u64 = 10_240;

/// Blocks that the contract makes of `mel_frames` mel frames (16 or more): `int((T - 16) / 80 * 25) + 2`.
pub(crate) fn block_count(mel_frames: u64) -> u64 {
    (mel_frames - BLOCK_FRAMES as u64) * FEATURE_RATE as u64 / MEL_RATE as u64 + 2
}

/// A position in the contract's list of features (one every 40 ms; the first and the last embedding are repeated).
///
/// At 25 frames per second, positions are whole numbers. At other frame rates they may lie between two features; such a
/// position gets a block of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeaturePosition {
    /// `numerator / denominator` features from the start of the list.
    numerator: i128,
    denominator: i128,
}

impl FeaturePosition {
    /// The number of the feature at this position, if it is a whole number.
    pub fn feature_index(self) -> Option<u64> {
        (self.numerator % self.denominator == 0).then(|| (self.numerator / self.denominator) as u64)
    }
}

/// Which blocks are in the windows of a clip.
#[derive(Debug, Clone, Copy)]
pub struct WindowLayout {
    fps: FrameRate,
    mel_frames: u64,
}

impl WindowLayout {
    /// For a clip of `mel_frames` mel frames (16 or more).
    pub fn new(fps: FrameRate, mel_frames: u64) -> Self {
        Self { fps, mel_frames }
    }

    /// The position in the feature list of a row (0..16) of `frame`'s window: row 8 is at `25 t` for the frame's time
    /// `t`, the others are 1 apart. None before the start and after the end of the list, where the row is zeros.
    pub fn position(&self, frame: FrameIndex, row: usize) -> Option<FeaturePosition> {
        let denominator = i128::from(self.fps.num);
        let own = FEATURE_RATE * i128::from(frame.0) * i128::from(self.fps.den);
        let numerator = own + (row as i128 - ROWS_BEFORE) * denominator;
        let features = i128::from(block_count(self.mel_frames)) + 2;
        (0..features * denominator)
            .contains(&numerator)
            .then_some(FeaturePosition {
                numerator,
                denominator,
            })
    }

    /// First mel frame of the block at `position`: `floor(80 t)` for the block's time `t`, clamped to the clip.
    pub fn block_start(&self, position: FeaturePosition) -> u64 {
        let FeaturePosition {
            numerator,
            denominator,
        } = position;
        let start = (MEL_RATE * (numerator - denominator)).div_euclid(FEATURE_RATE * denominator);
        start.clamp(0, i128::from(self.mel_frames) - BLOCK_FRAMES as i128) as u64
    }

    /// The first mel frame of the block of each row of a frame's window.
    pub fn block_starts(&self, frame: FrameIndex) -> [Option<u64>; WINDOW_ROWS] {
        std::array::from_fn(|row| {
            self.position(frame, row)
                .map(|position| self.block_start(position))
        })
    }
}

/// Length of a [`BlockGroup`] in mel frames, as an exact fraction: 0.64 s, so that it has 16 blocks at 25 frames per
/// second.
const GROUP_LENGTH: (u64, u64) = (256, 5);
/// Mel frames by which a block may start before or after a frame whose window it is in: 0.5 s. The contract has at most
/// 0.36 s, and 80 ms more at the ends of the list.
const MAX_OFFSET: u64 = 40;

/// Blocks that are always encoded in one batch, whatever part of a clip is rendered: the result for a block may depend
/// on the other blocks in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockGroup(u64);

impl BlockGroup {
    /// The group of the block that starts at mel frame `start`.
    pub(crate) fn containing(start: u64) -> Self {
        Self(start * GROUP_LENGTH.1 / GROUP_LENGTH.0)
    }

    /// First mel frame at which a block of the group may start.
    pub(crate) fn start(self) -> u64 {
        (self.0 * GROUP_LENGTH.0).div_ceil(GROUP_LENGTH.1)
    }

    /// Writes the first mel frame of each of its blocks to `out`, in ascending order: all blocks that the clip's
    /// windows need.
    pub(crate) fn block_starts(self, layout: &WindowLayout, out: &mut Vec<u64>) {
        let (start, end) = (self.start(), Self(self.0 + 1).start());
        let fps = layout.fps;
        let (num, den) = (u128::from(fps.num), MEL_RATE as u128 * u128::from(fps.den));
        let first = u128::from(start.saturating_sub(MAX_OFFSET)) * num / den;
        let last = (u128::from(end + MAX_OFFSET) * num).div_ceil(den);
        out.clear();
        for frame in first as u64..=last as u64 {
            let starts = layout.block_starts(FrameIndex(frame));
            out.extend(
                starts
                    .into_iter()
                    .flatten()
                    .filter(|at| (start..end).contains(at)),
            );
        }
        out.sort_unstable();
        out.dedup();
    }
}

/// The latest mel frames, from which blocks are copied.
#[derive(Debug)]
pub(crate) struct MelQueue {
    /// Mel frames from `first` on.
    frames: VecDeque<MelFrame>,
    first: u64,
}

impl MelQueue {
    /// For the mel frames from `first` on.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self {
            frames: VecDeque::new(),
            first,
        }
    }

    /// Appends the next mel frame.
    #[expect(
        clippy::large_types_passed_by_value,
        reason = "it is moved into the queue"
    )]
    pub(crate) fn push(&mut self, frame: MelFrame) {
        self.frames.push_back(frame);
    }

    /// Appends the block that starts at mel frame `start`, `[80, 16]`, to `out`. Returns false if it is not complete
    /// yet.
    pub(crate) fn append_block(&self, start: u64, out: &mut Vec<f32>) -> bool {
        let Some(from) = start.checked_sub(self.first).map(|from| from as usize) else {
            return false;
        };
        if self.frames.len() < from + BLOCK_FRAMES {
            return false;
        }
        for band in 0..BANDS {
            let frames = self.frames.range(from..from + BLOCK_FRAMES);
            out.extend(frames.map(|frame| frame[band]));
        }
        true
    }

    /// Drops the mel frames before `start`.
    pub(crate) fn drop_before(&mut self, start: u64) {
        let count = (start.saturating_sub(self.first) as usize).min(self.frames.len());
        self.frames.drain(..count);
        self.first += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The contract's feature list, each feature as the first mel frame of its block.
    fn feature_list(mel_frames: u64) -> Vec<u64> {
        let blocks = block_count(mel_frames);
        let start = |j: u64| (j * 16 / 5).min(mel_frames - 16);
        let all = (0..blocks).map(start);
        [start(0)]
            .into_iter()
            .chain(all)
            .chain([start(blocks - 1)])
            .collect()
    }

    proptest! {
        /// At 25 frames per second the windows are those of the contract, also for frames beyond the list.
        #[test]
        fn windows_are_the_contracts(mel_frames in 52_u64..2000, frame in 0_u64..700) {
            let features = feature_list(mel_frames);
            let windows = WindowLayout::new(FrameRate::TRAINED, mel_frames);
            let expected: Vec<Option<u64>> = (0..16)
                .map(|row| (frame + row).checked_sub(8).and_then(|i| features.get(i as usize).copied()))
                .collect();
            prop_assert_eq!(windows.block_starts(FrameIndex(frame)).to_vec(), expected);
        }

        /// At every frame rate, the frame at time t gets the mouth of time t: a frame at a time that 25 frames per
        /// second also have gets their window; the own row of other frames lies within one mel frame of their time.
        #[test]
        fn other_frame_rates_use_the_audio_of_the_same_time(
            rate in prop::sample::select(vec![(24, 1), (30, 1), (30_000, 1001), (50, 1), (60, 1), (60_000, 1001)]),
            frame in 0_u64..80_000,
        ) {
            let fps = FrameRate { num: rate.0, den: rate.1 };
            let hour = WindowLayout::new(fps, 80 * 3700);
            let starts = hour.block_starts(FrameIndex(frame));
            let at_25 = 25 * frame * u64::from(fps.den);
            if at_25 % u64::from(fps.num) == 0 {
                let same = WindowLayout::new(FrameRate::TRAINED, 80 * 3700).block_starts(FrameIndex(at_25 / u64::from(fps.num)));
                prop_assert_eq!(starts, same);
            }
            // Row 9 is the block that starts at the frame's own time.
            let seconds = fps.seconds(FrameIndex(frame));
            let start = starts[9].unwrap() as f64 / 80.0;
            prop_assert!((0.0..1.0 / 80.0 + 1e-9).contains(&(seconds - start)), "{} for {}", start, seconds);
        }

        /// Whatever frame is read first, its blocks are encoded in the same batches.
        #[test]
        fn groups_hold_all_blocks_of_their_frames(
            fps in prop::sample::select(vec![(1, 1), (24, 1), (25, 1), (30_000, 1001), (60, 1), (240, 1)]),
            mel_frames in 52_u64..2000,
            frame in 0_u64..700,
        ) {
            let fps = FrameRate { num: fps.0, den: fps.1 };
            let windows = WindowLayout::new(fps, mel_frames);
            let mut blocks = Vec::new();
            for start in windows.block_starts(FrameIndex(frame)).into_iter().flatten() {
                BlockGroup::containing(start).block_starts(&windows, &mut blocks);
                prop_assert!(blocks.contains(&start), "{} is not in {:?}", start, blocks);
                prop_assert!(blocks.iter().all(|&at| BlockGroup::containing(at) == BlockGroup::containing(start)));
                prop_assert!(BlockGroup::containing(start).start() <= start);
                prop_assert!(fps != FrameRate::TRAINED || blocks.len() <= 17, "{:?}", blocks);
            }
        }

        /// Blocks are complete, and only returned once they have arrived.
        #[test]
        fn blocks_are_copied_from_where_asked(start in 0_u64..40, arrived in 0_u64..60) {
            let mut queue = MelQueue::starting_at(0);
            (0..arrived).for_each(|t| queue.push([t as f32; BANDS]));
            queue.drop_before(start / 2);
            let mut out = Vec::new();
            prop_assert_eq!(queue.append_block(start, &mut out), arrived >= start + 16);
            for band in out.chunks(BLOCK_FRAMES) {
                prop_assert!(band.iter().enumerate().all(|(k, v)| *v == (start + k as u64) as f32));
            }
        }
    }
}
