//! Which pictures of a video are shown at the clip's rate, and which are worth decoding together.

use std::ops::RangeInclusive;

use crate::background::video::Timeline;
use crate::timeline::{FrameIndex, FrameRate};

/// Pictures that are sooner decoded than jumped over.
const SOONER_DECODED: usize = 32;
/// Containers round times, some to milliseconds: the first and the last of two pictures put the end off by 2 ms.
/// Twice that is still less than a frame at 240 a second.
pub(super) const ROUNDING_SECONDS: f64 = 2.05e-3;
/// Most background pictures of a video: 4.6 days at 25 a second. More comes from damaged times.
const MAX_PICTURES: f64 = 1e7;

/// A video's pictures in time, and the background pictures made of them.
#[derive(Debug)]
pub(super) struct Sequence {
    timeline: Timeline,
    /// Numbers of the video's pictures that are shown at all, rising.
    pub(super) shown: Vec<usize>,
    /// For each background picture, its place in `shown`.
    pub(super) places: Vec<usize>,
}

impl Sequence {
    /// Background picture k is the one that the video shows at k / `fps` seconds. None if there would be too many.
    pub(super) fn sample(timeline: Timeline, fps: FrameRate) -> Option<Self> {
        let lasts = timeline.lasts(fps.seconds(FrameIndex(1)));
        let count = ((lasts - ROUNDING_SECONDS) * fps.as_f64()).ceil().max(1.0);
        if count > MAX_PICTURES {
            return None;
        }
        let (mut shown, mut places) = (Vec::new(), Vec::new());
        let mut number = 0;
        for frame in 0..count as u64 {
            let until = timeline.seconds[0] + fps.seconds(FrameIndex(frame)) + ROUNDING_SECONDS;
            while timeline
                .seconds
                .get(number + 1)
                .is_some_and(|&t| t <= until)
            {
                number += 1;
            }
            if shown.last() != Some(&number) {
                shown.push(number);
            }
            places.push(shown.len() - 1);
        }
        Some(Self {
            timeline,
            shown,
            places,
        })
    }

    /// Pictures in the video itself.
    pub(super) fn frames(&self) -> usize {
        self.timeline.seconds.len()
    }

    /// When picture `number` is shown, in seconds from the stream's start.
    pub(super) fn seconds(&self, number: usize) -> Option<f64> {
        self.timeline.seconds.get(number).copied()
    }

    /// The number of the picture that is shown at `time`, if one is listed there.
    pub(super) fn number_at(&self, time: f64) -> Option<usize> {
        let earlier = |&listed: &f64| listed < time - 1e-9;
        let number = self.timeline.seconds.partition_point(earlier);
        let listed = self.seconds(number)?;
        ((listed - time).abs() < 1e-9).then_some(number)
    }

    /// The places to decode, in this order, to have `wanted` and what is likely asked for next, at most `room` many; `at`
    /// is the picture that was decoded last.
    pub(super) fn run_to(
        &self,
        wanted: usize,
        room: usize,
        at: Option<usize>,
    ) -> RangeInclusive<usize> {
        let number = self.shown[wanted];
        let next = at.map_or(0, |at| at + 1);
        let earliest = (wanted + 1).saturating_sub(room);
        let first = if next > number {
            self.start_of_run(wanted, earliest)
        } else if self.is_far(number, at) {
            wanted
        } else {
            // What is passed over going forward serves the way back.
            let passed = self.shown.partition_point(|&number| number < next);
            passed.max(earliest)
        };
        first..=wanted
    }

    /// Going backward: the first place from `earliest` on whose decoding decodes nothing that is not wanted; `earliest`
    /// if there is none.
    fn start_of_run(&self, wanted: usize, earliest: usize) -> usize {
        let keys = &self.timeline.keys;
        let next = keys.partition_point(|&key| key < self.shown[earliest]);
        match keys.get(next) {
            Some(&key) if key <= self.shown[wanted] => {
                self.shown.partition_point(|&number| number < key)
            }
            _ => earliest,
        }
    }

    /// Whether reading on from `at` does not lead to picture `number` soon.
    pub(super) fn is_far(&self, number: usize, at: Option<usize>) -> bool {
        let at = at.unwrap_or(0);
        at > number || self.key_before(number) > at + SOONER_DECODED
    }

    /// Where to try to start reading for picture `number`, best first; opening the file again comes after these.
    pub(super) fn starts(&self, number: usize) -> impl Iterator<Item = usize> + use<> {
        let key = self.key_before(number);
        let earlier = self.key_before(key.saturating_sub(SOONER_DECODED));
        [key, earlier].into_iter().filter(|&key| key > 0)
    }

    fn key_before(&self, number: usize) -> usize {
        let keys = &self.timeline.keys;
        let after = keys.partition_point(|&key| key <= number);
        keys[after.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::order::Order;
    use crate::timeline::BackgroundIndex;
    use proptest::prelude::*;

    fn sequence(seconds: Vec<f64>, gop: usize, fps: FrameRate) -> Sequence {
        let keys = (0..seconds.len()).step_by(gop).collect();
        Sequence::sample(Timeline { seconds, keys }, fps).unwrap()
    }

    fn shown(seconds: impl IntoIterator<Item = f64>, fps: FrameRate) -> Vec<usize> {
        let sequence = sequence(seconds.into_iter().collect(), 1, fps);
        let shown = |&place: &usize| sequence.shown[place];
        sequence.places.iter().map(shown).collect()
    }

    #[test]
    fn a_video_plays_at_its_own_speed() {
        let at = |rate: f64| (0..8).map(move |i| f64::from(i) / rate);
        let fps = FrameRate::TRAINED;
        assert_eq!(shown(at(25.0), fps), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(shown(at(50.0), fps), [0, 2, 4, 6]);
        assert_eq!(shown(at(12.5), fps)[..7], [0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(shown(at(30.0), fps), [0, 1, 2, 3, 4, 6, 7]);
        assert_eq!(shown([0.0, 0.04, 0.2, 0.24], fps), [0, 1, 1, 1, 1, 2, 3, 3]);
        assert_eq!(shown([3.0], fps), [0]);
        assert_eq!(shown([0.0, 0.0], fps), [1]);
    }

    #[test]
    fn times_beyond_all_reason_are_refused() {
        let timeline = Timeline {
            seconds: vec![0.0, 1e12],
            keys: vec![0],
        };
        assert!(Sequence::sample(timeline, FrameRate::TRAINED).is_none());
    }

    proptest! {
        /// At the clip's own rate, each picture is shown once, although containers round the times.
        #[test]
        fn the_clips_rate_shows_each_once(num in 1_u32..=240, ntsc: bool, count in 1_usize..400, start in 0.0_f64..5.0) {
            let fps = if ntsc { FrameRate::new(num * 1000, 1001) } else { FrameRate::new(num, 1) };
            prop_assume!(fps.is_some());
            let fps = fps.unwrap_or(FrameRate::TRAINED);
            let seconds = (0..count as u64).map(|i| ((start + fps.seconds(FrameIndex(i))) * 1e3).round() / 1e3);
            let all: Vec<usize> = (0..count).collect();
            prop_assert_eq!(shown(seconds, fps), all);
        }
    }

    /// Pictures decoded, and most pictures kept, for `frames` of the clip.
    fn cost(sequence: &Sequence, order: Order, frames: u64, room: usize) -> (usize, usize) {
        let (mut at, mut decoded, mut most) = (None, 0, 0);
        let mut kept = std::collections::BTreeSet::new();
        for frame in 0..frames {
            let index =
                order.background(FrameIndex(frame), sequence.places.len(), BackgroundIndex(0));
            let wanted = sequence.places[index.0];
            if kept.contains(&wanted) {
                continue;
            }
            for place in sequence.run_to(wanted, room, at) {
                while kept.len() >= room {
                    let _ = if kept.last() > Some(&wanted) {
                        kept.pop_last()
                    } else {
                        kept.pop_first()
                    };
                }
                let number = sequence.shown[place];
                if sequence.is_far(number, at) {
                    at = sequence.starts(number).next().map(|key| key - 1);
                }
                decoded += number - at.map_or(0, |at| at + 1) + 1;
                at = Some(number);
                kept.insert(place);
                most = most.max(kept.len());
            }
            assert!(kept.contains(&wanted));
        }
        (decoded, most)
    }

    #[test]
    fn going_backward_decodes_each_group_once() {
        let times = |count: u32| (0..count).map(|i| f64::from(i) / 25.0).collect();
        for (gop, room) in [(1, 10), (12, 30), (50, 64), (250, 300)] {
            let sequence = sequence(times(1000), gop, FrameRate::TRAINED);
            let (decoded, most) = cost(&sequence, Order::PingPong, 1999, room);
            assert!(decoded <= 2000 + gop, "groups of {gop}: {decoded}");
            assert!(most <= room, "groups of {gop}: {most}");
        }
        // A group that does not fit is decoded once for each part that does.
        let sequence = sequence(times(1000), 250, FrameRate::TRAINED);
        let (decoded, _) = cost(&sequence, Order::PingPong, 1999, 25);
        assert!(decoded <= 1000 + 4 * 250 * 11, "{decoded}");
    }

    #[test]
    fn what_fits_is_decoded_once() {
        let times = (0..100).map(|i| f64::from(i) / 25.0).collect();
        let sequence = sequence(times, 100, FrameRate::TRAINED);
        for order in [Order::PingPong, Order::Loop, Order::Reference, Order::Hold] {
            assert_eq!(cost(&sequence, order, 1000, 100), (100, 100), "{order:?}");
        }
    }
}
