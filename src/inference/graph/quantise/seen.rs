//! What samples showed of a network's tensors, and the bytes that follow from it.

use std::collections::HashMap;

use crate::inference::kernel::int8::Affine;

/// How far a channel may go beyond what samples showed of it, in its range ..
const HEADROOM: f32 = 2.0;
/// .. but at least it gets this part of the range of its tensor.
const LEAST_PART: f32 = 0.5;

/// What samples showed of a network's tensors.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// For `[1, channels, height, width]`.
    tensors: HashMap<String, Seen>,
}

/// What was seen of a tensor's channels.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The least and the greatest value, with zero.
    ranges: Vec<(f32, f32)>,
    /// The mean, summed up over the samples.
    means: Vec<f64>,
    samples: usize,
}

impl Statistics {
    /// Takes in a tensor of one sample.
    pub(crate) fn add(&mut self, name: &str, shape: &[i64], values: &[f32]) {
        let &[1, channels, height, width] = shape else {
            return;
        };
        let seen = self.tensors.entry(name.to_owned()).or_default();
        seen.ranges.resize(channels as usize, (0.0, 0.0));
        seen.means.resize(channels as usize, 0.0);
        seen.samples += 1;
        let pixels = (height * width).max(1) as usize;
        let channels = seen.ranges.iter_mut().zip(&mut seen.means);
        for ((range, mean), plane) in channels.zip(values.chunks_exact(pixels)) {
            for &value in plane {
                *range = (range.0.min(value), range.1.max(value));
            }
            *mean += plane.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels as f64;
        }
    }

    pub(super) fn get(&self, name: &str, channels: usize) -> Option<&Seen> {
        let seen = self.tensors.get(name)?;
        (seen.ranges.len() == channels).then_some(seen)
    }
}

impl Seen {
    /// Bytes for its channels.
    pub(super) fn bytes(&self) -> Bytes {
        let all = (self.ranges.iter()).fold((0.0_f32, 0.0_f32), |all, one| {
            (all.0.min(one.0), all.1.max(one.1))
        });
        let widened = |one: f32, all: f32| {
            let wide = (one * HEADROOM).abs().max(all.abs() * LEAST_PART);
            wide.min(all.abs())
        };
        let byte = |&(low, high): &(f32, f32)| {
            let (low, high) = (widened(low, all.0), widened(high, all.1));
            let scale = ((low + high) / 255.0).max(1e-8);
            (scale, (low / scale).round().min(255.0) as u8)
        };
        let (scales, zeros) = self.ranges.iter().map(byte).unzip();
        Bytes { scales, zeros }
    }

    pub(super) fn mean(&self, channel: usize) -> f64 {
        self.means[channel] / self.samples as f64
    }

    pub(super) fn means(&self) -> Vec<f64> {
        (0..self.means.len())
            .map(|channel| self.mean(channel))
            .collect()
    }
}

/// What bytes stand for, channel by channel: `scale * (byte - zero)`.
#[derive(Debug, Clone, Default)]
pub(super) struct Bytes {
    pub(super) scales: Vec<f32>,
    pub(super) zeros: Vec<u8>,
}

impl Bytes {
    pub(super) fn channels(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn followed_by(mut self, other: &Self) -> Self {
        self.scales.extend(&other.scales);
        self.zeros.extend(&other.zeros);
        self
    }

    /// How real numbers become bytes.
    pub(super) fn affine(&self) -> Affine {
        Affine {
            factor: self.scales.iter().map(|scale| 1.0 / scale).collect(),
            offset: self.zeros.iter().map(|&zero| f32::from(zero)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_gets_room_beyond_what_was_seen_but_not_beyond_its_tensor() {
        let mut seen = Statistics::default();
        // Two samples of three channels of two pixels.
        seen.add("x", &[1, 3, 1, 2], &[0.0, 3.0, 0.5, 1.0, -2.0, 10.0]);
        seen.add("x", &[1, 3, 1, 2], &[0.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let seen = seen.get("x", 3).unwrap();
        assert_eq!(seen.means(), [1.75, 0.375, 2.0]);
        let bytes = seen.bytes();
        // -1..8: twice what was seen above, half of the tensor's below; -1..5: half of it on both sides; -2..10: all of it.
        let ranges = [(1.0, 8.0), (1.0, 5.0), (2.0, 10.0)];
        for (channel, (low, high)) in ranges.into_iter().enumerate() {
            let scale = (low + high) / 255.0_f32;
            assert!((bytes.scales[channel] - scale).abs() < 1e-6, "{bytes:?}");
            assert_eq!(f32::from(bytes.zeros[channel]), (low / scale).round());
        }
    }

    #[test]
    fn other_shapes_are_not_known() {
        let mut seen = Statistics::default();
        seen.add("x", &[1, 3], &[0.0; 3]);
        seen.add("y", &[1, 3, 1, 1], &[0.0; 3]);
        assert!(seen.get("x", 3).is_none() && seen.get("y", 2).is_none());
    }
}
