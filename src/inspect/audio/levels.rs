//! What the samples of an audio file say: levels, DC offset, clipping.

use anyhow::Result;

use crate::audio::AudioFile;
use crate::cancel::Cancel;

/// Consecutive samples at full scale that are audible as clipping.
pub(super) const CLIPPED_RUN: u64 = 3;
/// Clipped runs that are listed.
const MAX_CLIPPED_RUNS: usize = 1000;

/// Sums over all samples of an audio file.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Samples per channel.
    count: u64,
    /// Greatest absolute sample, 0..1.
    pub(super) peak: f64,
    /// Sum over all channels.
    sum: f64,
    /// Sum of squares of each channel.
    squares: Vec<f64>,
    /// Samples at full scale.
    pub(super) clipped: u64,
    /// Starts of clipped runs, in seconds.
    pub(super) clipped_runs: Vec<f64>,
}

impl Levels {
    /// Reads the whole file; `bits` is the depth of its samples, if the codec has one.
    pub(super) fn of(audio: &AudioFile, bits: Option<u32>, cancel: &Cancel) -> Result<Self> {
        let channels = usize::from(audio.channels);
        // The greatest positive 8-bit sample is 127/128.
        let steps = f64::from(1_u32 << (bits.unwrap_or(16).clamp(8, 16) - 1));
        let full_scale = 1.0 - 1.5 / steps;
        let mut all = Self {
            squares: vec![0.0; channels],
            ..Self::default()
        };
        // Length of the clipped run that each channel is in.
        let mut running = vec![0; channels];
        let mut reader = audio.reader(audio.rate)?;
        let mut samples = Vec::new();
        let mut more = true;
        while more {
            cancel.check()?;
            samples.clear();
            more = reader.read(&mut samples)?;
            for frame in samples.chunks_exact(channels) {
                all.add(frame, full_scale, &mut running, audio.rate);
            }
        }
        Ok(all)
    }

    /// Adds one sample of each channel.
    fn add(&mut self, frame: &[f32], full_scale: f64, running: &mut [u64], rate: u32) {
        let mut sum = 0.0;
        for ((sample, square), run) in frame.iter().zip(&mut self.squares).zip(running) {
            let sample = f64::from(*sample);
            sum += sample;
            *square += sample * sample;
            self.peak = self.peak.max(sample.abs());
            if sample.abs() < full_scale {
                *run = 0;
                continue;
            }
            self.clipped += 1;
            *run += 1;
            if *run == CLIPPED_RUN && self.clipped_runs.len() < MAX_CLIPPED_RUNS {
                let start = (self.count + 1).saturating_sub(CLIPPED_RUN);
                self.clipped_runs.push(start as f64 / f64::from(rate));
            }
        }
        self.count += 1;
        self.sum += sum;
    }

    /// Samples of all channels.
    fn values(&self) -> f64 {
        (self.count * self.squares.len() as u64).max(1) as f64
    }

    /// Mean of all samples, -1..1.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.values()
    }

    /// Root mean square of all samples.
    pub(super) fn rms(&self) -> f64 {
        (self.squares.iter().sum::<f64>() / self.values()).sqrt()
    }

    /// The channels, from 0, that are silent while another one is not.
    pub(super) fn silent_channels(&self) -> impl Iterator<Item = usize> {
        let loudest = self.squares.iter().copied().fold(0.0, f64::max);
        let channels = self.squares.iter().enumerate();
        let silent = channels.filter(move |(_, square)| loudest > 0.0 && *square * 1e5 < loudest);
        silent.map(|(channel, _)| channel)
    }
}
