//! Which mel frames each frame of the clip is made from: 16x80 blocks for the audio encoder, 640 ms windows of their
//! embeddings for the generator. The contract is written for 25 frames a second; here it holds at any rate.

use std::collections::VecDeque;

use super::mel::{BANDS, MelFrame};
use crate::timeline::{FrameIndex, FrameRate};

/// Mel frames in a block: 200 ms.
pub(crate) const BLOCK_FRAMES: usize = 16;
/// Values in a block, `[80, 16]`: band by band, each band's 16 moments in order.
pub(crate) const BLOCK_LEN: usize = BANDS * BLOCK_FRAMES;
/// Values in an embedding.
pub const EMBEDDING_LEN: usize = 512;
/// Embeddings in a window: 640 ms, one each 40 ms.
pub(crate) const WINDOW_ROWS: usize = 16;
/// Values in a window, `[16, 512]`, which the generator reads as `[32, 16, 16]`.
pub const WINDOW_LEN: usize = WINDOW_ROWS * EMBEDDING_LEN;
/// Rows of a window before its own frame's row.
const ROWS_BEFORE: i128 = 8;
/// Mel frames a second.
const MEL_RATE: i128 = 80;
/// Features a second: the rate of the training videos.
const FEATURE_RATE: i128 = 25;

/// Samples that are analysed at least; shorter sounds are padded with zeros to 640 ms.
pub(crate) const SHORTEST_SPEECH: u64 = 10_240;

/// Blocks that the contract cuts from `mel_frames` mel frames (16 or more): `int((T - 16) / 80 * 25) + 2`.
pub(crate) fn block_count(mel_frames: u64) -> u64 {
    (mel_frames - BLOCK_FRAMES as u64) * FEATURE_RATE as u64 / MEL_RATE as u64 + 2
}

/// A place in the contract's list of features (one each 40 ms; the first and the last embedding stand in it twice).
///
/// At 25 frames a second places are whole numbers; at other rates they lie between, where a block of their own is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `parts / per` features from the list's start.
    parts: i128,
    per: i128,
}

impl Place {
    /// The feature's number, if the place is one of the contract's.
    pub fn feature(self) -> Option<u64> {
        (self.parts % self.per == 0).then(|| (self.parts / self.per) as u64)
    }
}

/// The windows of a clip.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    fps: FrameRate,
    mel_frames: u64,
}

impl Windows {
    /// For a clip of `mel_frames` mel frames (16 or more).
    pub fn new(fps: FrameRate, mel_frames: u64) -> Self {
        Self { fps, mel_frames }
    }

    /// Where the row (0..16) of the window round `frame` stands in the feature list: row 8 at `25 t` for the frame's time
    /// `t`, the others 1 apart. None where the list has not begun or has ended: the row is zeros.
    pub fn place(&self, frame: FrameIndex, row: usize) -> Option<Place> {
        let per = i128::from(self.fps.num);
        let own = FEATURE_RATE * i128::from(frame.0) * i128::from(self.fps.den);
        let parts = own + (row as i128 - ROWS_BEFORE) * per;
        let features = i128::from(block_count(self.mel_frames)) + 2;
        (0..features * per)
            .contains(&parts)
            .then_some(Place { parts, per })
    }

    /// First mel frame of the block at `place`: `floor(80 t)` for the block's time `t`, kept within the clip.
    pub fn block_start(&self, place: Place) -> u64 {
        let Place { parts, per } = place;
        let start = (MEL_RATE * (parts - per)).div_euclid(FEATURE_RATE * per);
        start.clamp(0, i128::from(self.mel_frames) - BLOCK_FRAMES as i128) as u64
    }

    /// The first mel frames of the blocks under a frame's window, row by row.
    pub fn block_starts(&self, frame: FrameIndex) -> [Option<u64>; WINDOW_ROWS] {
        std::array::from_fn(|row| self.place(frame, row).map(|place| self.block_start(place)))
    }
}

/// Mel frames, as an exact fraction, in which the blocks start that are encoded together: 0.64 s, so that they are 16 at 25
/// frames a second.
const UNIT: (u64, u64) = (256, 5);
/// Mel frames by which a block may start before or after the frame whose window it is in: 0.5 s, where the contract has 0.36
/// s at most and 80 ms that its ends are off.
const REACH: u64 = 40;

/// Blocks that are encoded together, whatever part of a clip is rendered: networks may give others in other company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit(u64);

impl Unit {
    /// The one in which the block from mel frame `start` on is.
    pub(crate) fn of(start: u64) -> Self {
        Self(start * UNIT.1 / UNIT.0)
    }

    /// First mel frame of the first block that it may have.
    pub(crate) fn start(self) -> u64 {
        (self.0 * UNIT.0).div_ceil(UNIT.1)
    }

    /// Puts the first mel frames of its blocks into `out`, in rising order: all that the clip's windows have.
    pub(crate) fn blocks(self, windows: &Windows, out: &mut Vec<u64>) {
        let (start, end) = (self.start(), Self(self.0 + 1).start());
        let fps = windows.fps;
        let (num, den) = (u128::from(fps.num), MEL_RATE as u128 * u128::from(fps.den));
        let first = u128::from(start.saturating_sub(REACH)) * num / den;
        let last = (u128::from(end + REACH) * num).div_ceil(den);
        out.clear();
        for frame in first as u64..=last as u64 {
            let starts = windows.block_starts(FrameIndex(frame));
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

/// The latest mel frames, from which blocks are cut.
#[derive(Debug)]
pub(crate) struct BlockCutter {
    /// Mel frames from `first` on.
    waiting: VecDeque<MelFrame>,
    first: u64,
}

impl BlockCutter {
    /// For the mel frames from `first` on.
    pub(crate) fn from(first: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            first,
        }
    }

    /// Takes the next mel frame.
    #[expect(clippy::large_types_passed_by_value, reason = "moved into the queue")]
    pub(crate) fn push(&mut self, frame: MelFrame) {
        self.waiting.push_back(frame);
    }

    /// Appends the block that starts at mel frame `start`, `[80, 16]`, to `out`, if it has arrived in full.
    pub(crate) fn cut(&self, start: u64, out: &mut Vec<f32>) -> bool {
        let Some(from) = start.checked_sub(self.first).map(|from| from as usize) else {
            return false;
        };
        if self.waiting.len() < from + BLOCK_FRAMES {
            return false;
        }
        for band in 0..BANDS {
            let moments = self.waiting.range(from..from + BLOCK_FRAMES);
            out.extend(moments.map(|frame| frame[band]));
        }
        true
    }

    /// Forgets the mel frames before `start`.
    pub(crate) fn forget_before(&mut self, start: u64) {
        let gone = (start.saturating_sub(self.first) as usize).min(self.waiting.len());
        self.waiting.drain(..gone);
        self.first += gone as u64;
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
        /// At 25 frames a second the windows are the contract's, for frames beyond the list too.
        #[test]
        fn windows_are_the_contracts(mel_frames in 52_u64..2000, frame in 0_u64..700) {
            let features = feature_list(mel_frames);
            let windows = Windows::new(FrameRate::TRAINED, mel_frames);
            let expected: Vec<Option<u64>> = (0..16)
                .map(|row| (frame + row).checked_sub(8).and_then(|i| features.get(i as usize).copied()))
                .collect();
            prop_assert_eq!(windows.block_starts(FrameIndex(frame)).to_vec(), expected);
        }

        /// At every rate the frame at time t gets the mouth of time t: where a frame falls on a time that 25 frames a
        /// second have, it gets their window; elsewhere its own row lies within a mel frame of its time.
        #[test]
        fn other_rates_hear_the_same_moment(
            rate in prop::sample::select(vec![(24, 1), (30, 1), (30_000, 1001), (50, 1), (60, 1), (60_000, 1001)]),
            frame in 0_u64..80_000,
        ) {
            let fps = FrameRate { num: rate.0, den: rate.1 };
            let hour = Windows::new(fps, 80 * 3700);
            let starts = hour.block_starts(FrameIndex(frame));
            let at_25 = 25 * frame * u64::from(fps.den);
            if at_25 % u64::from(fps.num) == 0 {
                let same = Windows::new(FrameRate::TRAINED, 80 * 3700).block_starts(FrameIndex(at_25 / u64::from(fps.num)));
                prop_assert_eq!(starts, same);
            }
            // Row 9 is the block that starts at the frame's own time.
            let seconds = fps.seconds(FrameIndex(frame));
            let start = starts[9].unwrap() as f64 / 80.0;
            prop_assert!((0.0..1.0 / 80.0 + 1e-9).contains(&(seconds - start)), "{} for {}", start, seconds);
        }

        /// Whatever frame is asked for first, its blocks are encoded in the same company.
        #[test]
        fn units_hold_all_blocks_of_their_frames(
            fps in prop::sample::select(vec![(1, 1), (24, 1), (25, 1), (30_000, 1001), (60, 1), (240, 1)]),
            mel_frames in 52_u64..2000,
            frame in 0_u64..700,
        ) {
            let fps = FrameRate { num: fps.0, den: fps.1 };
            let windows = Windows::new(fps, mel_frames);
            let mut blocks = Vec::new();
            for start in windows.block_starts(FrameIndex(frame)).into_iter().flatten() {
                Unit::of(start).blocks(&windows, &mut blocks);
                prop_assert!(blocks.contains(&start), "{} is not in {:?}", start, blocks);
                prop_assert!(blocks.iter().all(|&at| Unit::of(at) == Unit::of(start)));
                prop_assert!(Unit::of(start).start() <= start);
                prop_assert!(fps != FrameRate::TRAINED || blocks.len() <= 17, "{:?}", blocks);
            }
        }

        /// Blocks come out whole and only once they have arrived.
        #[test]
        fn blocks_are_cut_where_asked(start in 0_u64..40, arrived in 0_u64..60) {
            let mut cutter = BlockCutter::from(0);
            (0..arrived).for_each(|t| cutter.push([t as f32; BANDS]));
            cutter.forget_before(start / 2);
            let mut out = Vec::new();
            prop_assert_eq!(cutter.cut(start, &mut out), arrived >= start + 16);
            for band in out.chunks(BLOCK_FRAMES) {
                prop_assert!(band.iter().enumerate().all(|(k, v)| *v == (start + k as u64) as f32));
            }
        }
    }
}
