//! Sample-rate conversion by rubato's FFT resampler, streamed, aligned and of exact length.

use anyhow::Result;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::timeline::gcd;

/// Minimum length of the filter, in input samples.
const MIN_FILTER_LEN: usize = 512;

/// Samples at `to` Hz that last as long as `frames` samples at `from` Hz, rounded up.
pub(super) fn resampled_len(frames: u64, from: u32, to: u32) -> u64 {
    (frames * u64::from(to)).div_ceil(u64::from(from))
}

/// Converts interleaved samples from one rate to another, in pieces of any size.
///
/// Output sample `i` is the signal at `i / to` seconds: the filter's delay is removed.
pub(super) struct Resampler {
    inner: Fft<f32>,
    from: u32,
    to: u32,
    channels: usize,
    /// Interleaved input that does not fill a chunk yet.
    pending: Vec<f32>,
    chunk_out: Vec<f32>,
    /// Output samples per channel still to drop: the filter's delay.
    delay_left: usize,
    frames_in: u64,
    frames_out: u64,
}

impl Resampler {
    /// Plans the conversion; rates in Hz.
    pub(super) fn new(from: u32, to: u32, channels: usize) -> Result<Self> {
        // A chunk is a whole number of periods of the two rates. An even chunk puts the filter's centre on a sample; an
        // odd one would shift the signal by half a sample.
        let period = from as usize / gcd(from, to) as usize;
        let chunk = 2 * period * MIN_FILTER_LEN.div_ceil(2 * period);
        let inner = Fft::new_custom(
            from as usize,
            to as usize,
            chunk,
            1,
            channels,
            WindowFunction::BlackmanHarris2,
            FixedSync::Input,
        )?;
        Ok(Self {
            delay_left: inner.output_delay(),
            chunk_out: vec![0.0; inner.output_frames_max() * channels],
            inner,
            from,
            to,
            channels,
            pending: Vec::new(),
            frames_in: 0,
            frames_out: 0,
        })
    }

    /// Takes the next interleaved samples and appends the output that is ready to `out`.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.frames_in += (samples.len() / self.channels) as u64;
        self.pending.extend_from_slice(samples);
        let mut done = 0;
        loop {
            let need = self.inner.input_frames_next() * self.channels;
            if self.pending.len() - done < need {
                break;
            }
            self.convert(done, need / self.channels, u64::MAX, out)?;
            done += need;
        }
        self.pending.drain(..done);
        Ok(())
    }

    /// Appends the rest, so that the whole output is as long as the input: `ceil(frames * to / from)` samples.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let total = resampled_len(self.frames_in, self.from, self.to);
        let mut left = self.pending.len() / self.channels;
        while self.frames_out < total {
            self.convert(0, left, total, out)?;
            self.pending.clear();
            left = 0;
        }
        Ok(())
    }

    /// Converts `frames` pending samples from `start` on (silence fills the chunk) and appends the result, up to
    /// `total` output samples since the beginning.
    fn convert(
        &mut self,
        start: usize,
        frames: usize,
        total: u64,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let piece = &self.pending[start..start + frames * self.channels];
        let input = InterleavedSlice::new(piece, self.channels, frames)?;
        let capacity = self.chunk_out.len() / self.channels;
        let mut output = InterleavedSlice::new_mut(&mut self.chunk_out, self.channels, capacity)?;
        let partial = Indexing::new().partial_len(frames);
        let (_, produced) = self
            .inner
            .process_into_buffer(&input, &mut output, Some(&partial))?;
        let skip = produced.min(self.delay_left);
        self.delay_left -= skip;
        let count = ((produced - skip) as u64).min(total - self.frames_out) as usize;
        self.frames_out += count as u64;
        out.extend_from_slice(
            &self.chunk_out[skip * self.channels..(skip + count) * self.channels],
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// The output is the same however the input is split, and has the exact length.
        #[test]
        fn pieces_do_not_matter(
            cuts in prop::collection::vec(1_usize..3000, 1..6),
            from in prop::sample::select(vec![8_000_u32, 11_025, 44_100, 48_000]),
            channels in 1_usize..3,
        ) {
            let frames: usize = cuts.iter().sum();
            let input: Vec<f32> = (0..frames * channels).map(|i| ((i * 37 % 101) as f32 - 50.0) / 60.0).collect();
            let run = |cuts: &[usize]| {
                let mut resampler = Resampler::new(from, 16_000, channels).unwrap();
                let (mut out, mut at) = (Vec::new(), 0);
                for cut in cuts {
                    resampler.push(&input[at * channels..(at + cut) * channels], &mut out).unwrap();
                    at += cut;
                }
                resampler.finish(&mut out).unwrap();
                out
            };
            let pieces = run(&cuts);
            prop_assert_eq!(pieces.len() as u64, resampled_len(frames as u64, from, 16_000) * channels as u64);
            prop_assert_eq!(pieces, run(&[frames]));
        }
    }
}
