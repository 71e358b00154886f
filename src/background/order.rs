//! Which background each frame of the clip shows.

use crate::timeline::{BackgroundIndex, FrameIndex};

/// The order in which backgrounds are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// 0 1 .. n-1 n-2 .. 1 0 1: forward and backward, each end shown once
    PingPong,
    /// forward and backward like the reference renderer, starting at 1
    Reference,
    /// 0 1 .. n-1 0 1: starts over
    Loop,
    /// 0 1 .. n-1 n-1: stays on the last frame
    Hold,
}

impl Order {
    /// The background of `frame`, out of `count` (at least 1), if the first one shown is number `start`.
    pub fn background(
        self,
        frame: FrameIndex,
        count: usize,
        start: BackgroundIndex,
    ) -> BackgroundIndex {
        let (last, step) = (count as u64 - 1, frame.0 + start.0 as u64);
        let ping_pong = |step: u64| {
            if last == 0 {
                return 0;
            }
            let at = step % (2 * last);
            at.min(2 * last - at)
        };
        let index = match self {
            Self::PingPong => ping_pong(step),
            Self::Reference => ping_pong(step + 1),
            Self::Loop => step % (last + 1),
            Self::Hold => step.min(last),
        };
        BackgroundIndex(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(order: Order, count: usize, start: usize, frames: u64) -> Vec<usize> {
        (0..frames)
            .map(|i| {
                order
                    .background(FrameIndex(i), count, BackgroundIndex(start))
                    .0
            })
            .collect()
    }

    #[test]
    fn orders_are_what_the_help_says() {
        assert_eq!(first(Order::PingPong, 4, 0, 9), [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(first(Order::PingPong, 4, 2, 4), [2, 3, 2, 1]);
        assert_eq!(first(Order::Loop, 3, 0, 5), [0, 1, 2, 0, 1]);
        assert_eq!(first(Order::Hold, 3, 0, 5), [0, 1, 2, 2, 2]);
        assert_eq!(first(Order::Reference, 3, 0, 5), [1, 2, 1, 0, 1]);
    }

    proptest! {
        /// Only `Loop` jumps; every order stays within the folder, and one picture is enough.
        #[test]
        fn no_order_leaves_the_folder(count in 1_usize..9, start in 0_usize..9) {
            let start = start % count;
            for order in [Order::PingPong, Order::Reference, Order::Loop, Order::Hold] {
                let shown = first(order, count, start, 50);
                prop_assert!(shown.iter().all(|&i| i < count));
                if order != Order::Loop {
                    prop_assert!(shown.windows(2).all(|w| w[0].abs_diff(w[1]) <= 1));
                }
            }
        }
    }
}
