//! Ranges and means of a network's tensors over the calibration samples, and the byte scales that follow from them.

use std::collections::HashMap;

use crate::inference::kernel::int8::Affine;

/// A channel gets its range in the samples times this, ..
const HEADROOM: f32 = 2.0;
/// .. or its tensor's range times this, whichever is larger.
const MIN_SHARE: f32 = 0.5;

/// Statistics of a network's tensors.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Of shape `[1, channels, height, width]`.
    tensors: HashMap<String, ChannelStatistics>,
}

/// Statistics of a tensor, channel by channel.
#[derive(Debug, Default)]
pub(super) struct ChannelStatistics {
    /// The smallest and the largest value, at least 0..0.
    ranges: Vec<(f32, f32)>,
    /// The sum of the samples' means.
    mean_sums: Vec<f64>,
    samples: usize,
}

impl Statistics {
    /// Adds a tensor of one sample; other shapes than `[1, channels, height, width]` are left out.
    pub(crate) fn add(&mut self, name: &str, shape: &[i64], values: &[f32]) {
        let &[1, channels, height, width] = shape else {
            return;
        };
        let tensor = self.tensors.entry(name.to_owned()).or_default();
        tensor.ranges.resize(channels as usize, (0.0, 0.0));
        tensor.mean_sums.resize(channels as usize, 0.0);
        tensor.samples += 1;
        let pixels = (height * width).max(1) as usize;
        let channels = tensor.ranges.iter_mut().zip(&mut tensor.mean_sums);
        for ((range, mean), plane) in channels.zip(values.chunks_exact(pixels)) {
            for &value in plane {
                *range = (range.0.min(value), range.1.max(value));
            }
            *mean += plane.iter().map(|&v| f64::from(v)).sum::<f64>() / pixels as f64;
        }
    }

    /// The statistics of a tensor with this number of channels.
    pub(super) fn get(&self, name: &str, channels: usize) -> Option<&ChannelStatistics> {
        let tensor = self.tensors.get(name)?;
        (tensor.ranges.len() == channels).then_some(tensor)
    }
}

impl ChannelStatistics {
    /// Scales that hold the widened ranges.
    pub(super) fn byte_scales(&self) -> ByteScales {
        let all = (self.ranges.iter()).fold((0.0_f32, 0.0_f32), |all, one| {
            (all.0.min(one.0), all.1.max(one.1))
        });
        let widened = |one: f32, all: f32| {
            let wide = (one * HEADROOM).abs().max(all.abs() * MIN_SHARE);
            wide.min(all.abs())
        };
        let scale_and_zero_point = |&(low, high): &(f32, f32)| {
            let (low, high) = (widened(low, all.0), widened(high, all.1));
            let scale = ((low + high) / 255.0).max(1e-8);
            (scale, (low / scale).round().min(255.0) as u8)
        };
        let (scales, zero_points) = self.ranges.iter().map(scale_and_zero_point).unzip();
        ByteScales {
            scales,
            zero_points,
        }
    }

    pub(super) fn mean(&self, channel: usize) -> f64 {
        self.mean_sums[channel] / self.samples as f64
    }

    pub(super) fn means(&self) -> Vec<f64> {
        (0..self.mean_sums.len())
            .map(|channel| self.mean(channel))
            .collect()
    }
}

/// What bytes stand for, channel by channel: `scale * (byte - zero_point)`.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteScales {
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<u8>,
}

impl ByteScales {
    pub(super) fn channels(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn followed_by(mut self, other: &Self) -> Self {
        self.scales.extend(&other.scales);
        self.zero_points.extend(&other.zero_points);
        self
    }

    /// How f32 values become bytes.
    pub(super) fn affine(&self) -> Affine {
        Affine {
            factor: self.scales.iter().map(|scale| 1.0 / scale).collect(),
            offset: self
                .zero_points
                .iter()
                .map(|&zero| f32::from(zero))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_gets_headroom_but_not_beyond_its_tensor() {
        let mut statistics = Statistics::default();
        // Two samples of three channels of two pixels.
        statistics.add("x", &[1, 3, 1, 2], &[0.0, 3.0, 0.5, 1.0, -2.0, 10.0]);
        statistics.add("x", &[1, 3, 1, 2], &[0.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let statistics = statistics.get("x", 3).unwrap();
        assert_eq!(statistics.means(), [1.75, 0.375, 2.0]);
        let bytes = statistics.byte_scales();
        // -1..8: twice its own range above, half of the tensor's below; -1..5: half of the tensor's on both sides; -2..10: the
        // tensor's.
        let ranges = [(1.0, 8.0), (1.0, 5.0), (2.0, 10.0)];
        for (channel, (low, high)) in ranges.into_iter().enumerate() {
            let scale = (low + high) / 255.0_f32;
            assert!((bytes.scales[channel] - scale).abs() < 1e-6, "{bytes:?}");
            assert_eq!(f32::from(bytes.zero_points[channel]), (low / scale).round());
        }
    }

    #[test]
    fn other_shapes_are_left_out() {
        let mut statistics = Statistics::default();
        statistics.add("x", &[1, 3], &[0.0; 3]);
        statistics.add("y", &[1, 3, 1, 1], &[0.0; 3]);
        assert!(statistics.get("x", 3).is_none() && statistics.get("y", 2).is_none());
    }
}
