//! Which frames of a video are used at the clip's frame rate, and which to decode together.

use std::ops::RangeInclusive;

use crate::background::video::FrameTable;
use crate::timeline::{FrameIndex, FrameRate};

/// Frames that are faster to decode than to seek over.
const SEEK_THRESHOLD: usize = 32;
/// Containers round timestamps, some to milliseconds, so a duration computed from two of them may be off by 2 ms. Twice
/// that is still less than a frame at 240 frames per second.
pub(super) const ROUNDING_SECONDS: f64 = 2.05e-3;
/// Most backgrounds of a video: 4.6 days at 25 frames per second. More means that the timestamps are damaged.
const MAX_FRAMES: f64 = 1e7;

/// The frames of a video, and the backgrounds sampled from them.
#[derive(Debug)]
pub(super) struct FrameSampling {
    frame_table: FrameTable,
    /// Numbers of the video frames that are used, ascending.
    pub(super) used: Vec<usize>,
    /// For each background, its index in `used`.
    pub(super) sources: Vec<usize>,
}

impl FrameSampling {
    /// Background k is the frame that the video shows at k / `fps` seconds. None if there would be too many.
    pub(super) fn sample(frame_table: FrameTable, fps: FrameRate) -> Option<Self> {
        let duration = frame_table.duration(fps.seconds(FrameIndex(1)));
        let count = ((duration - ROUNDING_SECONDS) * fps.as_f64())
            .ceil()
            .max(1.0);
        if count > MAX_FRAMES {
            return None;
        }
        let (mut used, mut sources) = (Vec::new(), Vec::new());
        let mut number = 0;
        for frame in 0..count as u64 {
            let until =
                frame_table.timestamps[0] + fps.seconds(FrameIndex(frame)) + ROUNDING_SECONDS;
            while frame_table
                .timestamps
                .get(number + 1)
                .is_some_and(|&t| t <= until)
            {
                number += 1;
            }
            if used.last() != Some(&number) {
                used.push(number);
            }
            sources.push(used.len() - 1);
        }
        Some(Self {
            frame_table,
            used,
            sources,
        })
    }

    /// Number of frames in the video.
    pub(super) fn frame_count(&self) -> usize {
        self.frame_table.timestamps.len()
    }

    /// When frame `number` is shown, in seconds from the start of the stream.
    pub(super) fn seconds(&self, number: usize) -> Option<f64> {
        self.frame_table.timestamps.get(number).copied()
    }

    /// The number of the frame with the timestamp `time`, if there is one.
    pub(super) fn number_at(&self, time: f64) -> Option<usize> {
        let earlier = |&listed: &f64| listed < time - 1e-9;
        let number = self.frame_table.timestamps.partition_point(earlier);
        let listed = self.seconds(number)?;
        ((listed - time).abs() < 1e-9).then_some(number)
    }

    /// The indices in `used` to decode, in this order, to get `wanted` and what is probably requested next: at most
    /// `capacity` many. `position` is the video frame that was decoded last.
    pub(super) fn decode_range(
        &self,
        wanted: usize,
        capacity: usize,
        position: Option<usize>,
    ) -> RangeInclusive<usize> {
        let number = self.used[wanted];
        let next = position.map_or(0, |position| position + 1);
        let earliest = (wanted + 1).saturating_sub(capacity);
        let first = if next > number {
            self.backward_start(wanted, earliest)
        } else if self.needs_seek(number, position) {
            wanted
        } else {
            // What is decoded on the way forward is useful on the way back.
            let next_used = self.used.partition_point(|&number| number < next);
            next_used.max(earliest)
        };
        first..=wanted
    }

    /// Where to start when playing backward: the first index from `earliest` on that is at a key frame, so that no
    /// frame is decoded in vain; `earliest` if there is none.
    fn backward_start(&self, wanted: usize, earliest: usize) -> usize {
        let key_frames = &self.frame_table.key_frames;
        let next = key_frames.partition_point(|&key_frame| key_frame < self.used[earliest]);
        match key_frames.get(next) {
            Some(&key_frame) if key_frame <= self.used[wanted] => {
                self.used.partition_point(|&number| number < key_frame)
            }
            _ => earliest,
        }
    }

    /// Whether decoding on from `position` does not reach frame `number` soon.
    pub(super) fn needs_seek(&self, number: usize, position: Option<usize>) -> bool {
        let position = position.unwrap_or(0);
        position > number || self.key_frame_before(number) > position + SEEK_THRESHOLD
    }

    /// Key frames to seek to for frame `number`, best first; if none works, the file is opened again.
    pub(super) fn seek_points(&self, number: usize) -> impl Iterator<Item = usize> + use<> {
        let key_frame = self.key_frame_before(number);
        let earlier = self.key_frame_before(key_frame.saturating_sub(SEEK_THRESHOLD));
        [key_frame, earlier]
            .into_iter()
            .filter(|&key_frame| key_frame > 0)
    }

    /// The last key frame at or before frame `number`.
    fn key_frame_before(&self, number: usize) -> usize {
        let key_frames = &self.frame_table.key_frames;
        let after = key_frames.partition_point(|&key_frame| key_frame <= number);
        key_frames[after.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::order::Order;
    use crate::timeline::BackgroundIndex;
    use proptest::prelude::*;

    fn sampling(seconds: Vec<f64>, gop: usize, fps: FrameRate) -> FrameSampling {
        let key_frames = (0..seconds.len()).step_by(gop).collect();
        FrameSampling::sample(
            FrameTable {
                timestamps: seconds,
                key_frames,
                interlaced: false,
            },
            fps,
        )
        .unwrap()
    }

    fn used(seconds: impl IntoIterator<Item = f64>, fps: FrameRate) -> Vec<usize> {
        let sampling = sampling(seconds.into_iter().collect(), 1, fps);
        let used = |&source: &usize| sampling.used[source];
        sampling.sources.iter().map(used).collect()
    }

    #[test]
    fn a_video_plays_at_its_own_speed() {
        let frames_at = |rate: f64| (0..8).map(move |i| f64::from(i) / rate);
        let fps = FrameRate::TRAINED;
        assert_eq!(used(frames_at(25.0), fps), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(used(frames_at(50.0), fps), [0, 2, 4, 6]);
        assert_eq!(used(frames_at(12.5), fps)[..7], [0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(used(frames_at(30.0), fps), [0, 1, 2, 3, 4, 6, 7]);
        assert_eq!(used([0.0, 0.04, 0.2, 0.24], fps), [0, 1, 1, 1, 1, 2, 3, 3]);
        assert_eq!(used([3.0], fps), [0]);
        assert_eq!(used([0.0, 0.0], fps), [1]);
    }

    #[test]
    fn absurd_timestamps_are_refused() {
        let frame_table = FrameTable {
            timestamps: vec![0.0, 1e12],
            key_frames: vec![0],
            interlaced: false,
        };
        assert!(FrameSampling::sample(frame_table, FrameRate::TRAINED).is_none());
    }

    proptest! {
        /// At the clip's own frame rate, each frame is used once, although containers round timestamps.
        #[test]
        fn the_same_rate_uses_each_frame_once(num in 1_u32..=240, ntsc: bool, count in 1_usize..400, start in 0.0_f64..5.0) {
            let fps = if ntsc { FrameRate::new(num * 1000, 1001) } else { FrameRate::new(num, 1) };
            prop_assume!(fps.is_some());
            let fps = fps.unwrap_or(FrameRate::TRAINED);
            let seconds = (0..count as u64).map(|i| ((start + fps.seconds(FrameIndex(i))) * 1e3).round() / 1e3);
            let all: Vec<usize> = (0..count).collect();
            prop_assert_eq!(used(seconds, fps), all);
        }
    }

    /// How many frames are decoded, and how many are kept at most, for `frame_count` frames of the clip.
    fn cost(
        sampling: &FrameSampling,
        order: Order,
        frame_count: u64,
        capacity: usize,
    ) -> (usize, usize) {
        let (mut position, mut decoded, mut peak) = (None, 0, 0);
        let mut cached = std::collections::BTreeSet::new();
        for frame in 0..frame_count {
            let index = order.background(
                FrameIndex(frame),
                sampling.sources.len(),
                BackgroundIndex(0),
            );
            let wanted = sampling.sources[index.0];
            if cached.contains(&wanted) {
                continue;
            }
            for source in sampling.decode_range(wanted, capacity, position) {
                while cached.len() >= capacity {
                    let _ = if cached.last() > Some(&wanted) {
                        cached.pop_last()
                    } else {
                        cached.pop_first()
                    };
                }
                let number = sampling.used[source];
                if sampling.needs_seek(number, position) {
                    position = sampling
                        .seek_points(number)
                        .next()
                        .map(|key_frame| key_frame - 1);
                }
                decoded += number - position.map_or(0, |position| position + 1) + 1;
                position = Some(number);
                cached.insert(source);
                peak = peak.max(cached.len());
            }
            assert!(cached.contains(&wanted));
        }
        (decoded, peak)
    }

    #[test]
    fn playing_backward_decodes_each_group_once() {
        let times = |count: u32| (0..count).map(|i| f64::from(i) / 25.0).collect();
        for (gop, capacity) in [(1, 10), (12, 30), (50, 64), (250, 300)] {
            let sampling = sampling(times(1000), gop, FrameRate::TRAINED);
            let (decoded, peak) = cost(&sampling, Order::PingPong, 1999, capacity);
            assert!(decoded <= 2000 + gop, "groups of {gop}: {decoded}");
            assert!(peak <= capacity, "groups of {gop}: {peak}");
        }
        // A group that does not fit is decoded once for each part that fits.
        let sampling = sampling(times(1000), 250, FrameRate::TRAINED);
        let (decoded, _) = cost(&sampling, Order::PingPong, 1999, 25);
        assert!(decoded <= 1000 + 4 * 250 * 11, "{decoded}");
    }

    #[test]
    fn what_fits_is_decoded_once() {
        let times = (0..100).map(|i| f64::from(i) / 25.0).collect();
        let sampling = sampling(times, 100, FrameRate::TRAINED);
        for order in [Order::PingPong, Order::Loop, Order::Reference, Order::Hold] {
            assert_eq!(cost(&sampling, order, 1000, 100), (100, 100), "{order:?}");
        }
    }
}
