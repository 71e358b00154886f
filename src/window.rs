//! Mel frames -> 16x80 blocks for the audio encoder; embeddings -> 640 ms windows for the generator. Streamed.

use std::collections::VecDeque;

use crate::frame::FrameIndex;
use crate::mel::{BANDS, MelFrame};

/// Mel frames in a block: 200 ms.
pub const BLOCK_FRAMES: usize = 16;
/// Values in a block, `[80, 16]`: band by band, each band's 16 moments in order.
pub const BLOCK_LEN: usize = BANDS * BLOCK_FRAMES;
/// Values in an embedding.
pub const EMBEDDING_LEN: usize = 512;
/// Embeddings in a window: 640 ms at 25 a second.
pub const WINDOW_ROWS: usize = 16;
/// Values in a window, `[16, 512]`, which the generator reads as `[32, 16, 16]`.
pub const WINDOW_LEN: usize = WINDOW_ROWS * EMBEDDING_LEN;
/// Rows of a window before its own frame's row.
const ROWS_BEFORE: u64 = 8;
/// Mel frames a second.
const MEL_RATE: u64 = 80;
/// Blocks (and embeddings) a second: the rate of the training videos.
const BLOCK_RATE: u64 = 25;

/// Samples that are analysed at least; shorter sounds are padded with zeros to 640 ms.
pub const SHORTEST_SPEECH: u64 = 10_240;

/// Blocks cut from `mel_frames` mel frames (16 or more): `int((T - 16) / 80 * 25) + 2`.
pub fn block_count(mel_frames: u64) -> u64 {
    (mel_frames - BLOCK_FRAMES as u64) * BLOCK_RATE / MEL_RATE + 2
}

/// First mel frame of block `index`: `floor(80 index / 25)`, or where the last whole block starts.
pub fn block_start(index: u64, mel_frames: u64) -> u64 {
    (MEL_RATE * index / BLOCK_RATE).min(mel_frames - BLOCK_FRAMES as u64)
}

/// Cuts blocks out of mel frames as they arrive, on the whole clip's grid.
pub struct BlockCutter {
    mel_frames: u64,
    next: u64,
    /// Mel frames from `first` on.
    waiting: VecDeque<MelFrame>,
    first: u64,
}

impl BlockCutter {
    /// For a clip of `mel_frames` mel frames (16 or more).
    pub fn new(mel_frames: u64) -> Self {
        Self {
            mel_frames,
            next: 0,
            waiting: VecDeque::new(),
            first: 0,
        }
    }

    /// Takes the next mel frame.
    pub fn push(&mut self, frame: MelFrame) {
        self.waiting.push_back(frame);
    }

    /// Appends the next block, `[80, 16]`, to `out`, if its mel frames are there and it is not past the last one.
    pub fn pop(&mut self, out: &mut Vec<f32>) -> bool {
        if self.next == block_count(self.mel_frames) {
            return false;
        }
        let start = block_start(self.next, self.mel_frames);
        if self.first + (self.waiting.len() as u64) < start + BLOCK_FRAMES as u64 {
            return false;
        }
        self.waiting.drain(..(start - self.first) as usize);
        self.first = start;
        for band in 0..BANDS {
            out.extend(
                self.waiting
                    .iter()
                    .take(BLOCK_FRAMES)
                    .map(|frame| frame[band]),
            );
        }
        self.next += 1;
        true
    }
}

/// How often the embedding of block `index`, out of `blocks`, stands in the feature list: the first and the last one are
/// there once more.
pub fn feature_copies(index: u64, blocks: u64) -> usize {
    1 + usize::from(index == 0) + usize::from(index + 1 == blocks)
}

/// Lays features out as windows, as they arrive: frame `i`'s window holds features `i - 8 ..= i + 7`, zeros where there is
/// none.
pub struct WindowLayout {
    features: u64,
    /// Features from `first` on.
    waiting: VecDeque<Box<[f32]>>,
    first: u64,
}

impl WindowLayout {
    /// For a clip of so many features: its blocks and two more.
    pub fn new(features: u64) -> Self {
        Self {
            features,
            waiting: VecDeque::new(),
            first: 0,
        }
    }

    /// Takes the next feature, `[512]`.
    pub fn push(&mut self, feature: &[f32]) {
        self.waiting.push_back(feature.into());
    }

    /// Whether all features of the frame's window have arrived.
    pub fn is_ready(&self, frame: FrameIndex) -> bool {
        let end = (frame.0 + WINDOW_ROWS as u64 - ROWS_BEFORE).min(self.features);
        self.first + self.waiting.len() as u64 >= end
    }

    /// Writes the frame's window, `[16, 512]`, and forgets what earlier frames alone needed.
    ///
    /// Frames are asked for in rising order, each once it [is ready](Self::is_ready).
    pub fn window(&mut self, frame: FrameIndex, out: &mut [f32]) {
        let start = frame.0.saturating_sub(ROWS_BEFORE);
        let gone = (start.saturating_sub(self.first) as usize).min(self.waiting.len());
        self.waiting.drain(..gone);
        self.first += gone as u64;
        for (row, values) in out.chunks_exact_mut(EMBEDDING_LEN).enumerate() {
            let feature = (frame.0 + row as u64)
                .checked_sub(ROWS_BEFORE + self.first)
                .and_then(|i| self.waiting.get(i as usize));
            match feature {
                Some(feature) => values.copy_from_slice(feature),
                None => values.fill(0.0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The whole-list formula of the contract.
    fn expected_window(features: &[f32], frame: u64) -> Vec<f32> {
        (0..16)
            .map(|k| (frame + k).checked_sub(8))
            .map(|i| {
                i.and_then(|i| features.get(i as usize))
                    .copied()
                    .unwrap_or(0.0)
            })
            .collect()
    }

    proptest! {
        /// Every block lies inside the mel frames, and as many come out as `block_count` says.
        #[test]
        fn blocks_are_all_cut(mel_frames in 52_u64..2000) {
            let mut cutter = BlockCutter::new(mel_frames);
            let mut starts = Vec::new();
            let mut out = Vec::new();
            for t in 0..mel_frames {
                cutter.push([t as f32; BANDS]);
                while cutter.pop(&mut out) {
                    prop_assert_eq!(out.len(), BLOCK_LEN);
                    prop_assert!(out.chunks(BLOCK_FRAMES).all(|band| band.windows(2).all(|w| w[1] == w[0] + 1.0)));
                    starts.push(out[0] as u64);
                    out.clear();
                }
            }
            prop_assert_eq!(starts.len() as u64, block_count(mel_frames));
            for (j, &start) in starts.iter().enumerate() {
                prop_assert_eq!(start, (j as u64 * 16 / 5).min(mel_frames - 16));
            }
        }

        /// Streaming gives the contract's windows, for frames beyond the list too, and keeps only what is needed.
        #[test]
        fn windows_equal_the_whole_list(blocks in 1_u64..60, extra in 0_u64..12) {
            let features: Vec<f32> = (0..blocks)
                .flat_map(|j| vec![(j + 1) as f32; feature_copies(j, blocks)])
                .collect();
            prop_assert_eq!(features.len() as u64, blocks + 2);
            let mut layout = WindowLayout::new(blocks + 2);
            let mut arrived = 0;
            let mut out = vec![f32::NAN; WINDOW_LEN];
            for frame in 0..blocks + 2 + extra {
                while !layout.is_ready(FrameIndex(frame)) {
                    layout.push(&[features[arrived]; EMBEDDING_LEN]);
                    arrived += 1;
                }
                layout.window(FrameIndex(frame), &mut out);
                let got: Vec<f32> = out.chunks(EMBEDDING_LEN).map(|row| row[0]).collect();
                prop_assert_eq!(got, expected_window(&features, frame));
                prop_assert!(layout.waiting.len() <= WINDOW_ROWS);
            }
        }
    }
}
