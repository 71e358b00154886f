//! 16 kHz samples -> mel frames, streamed.
//!
//! The numbers are those the networks were trained with (SyncTalk_2D's audio front end, which is Wav2Lip's):
//! pre-emphasis 0.97 over the whole audio, centred STFT with zero padding, Slaney mel filters on the magnitude,
//! decibels, then clipped to -4..4.

use std::collections::VecDeque;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Sample rate of the audio that the networks take, Hz.
pub const SPEECH_RATE: u32 = 16_000;
/// Mel bands per frame.
pub const BANDS: usize = 80;
/// Samples from one mel frame to the next: 80 mel frames per second.
pub const HOP: usize = 200;
/// Samples per window, and the length of the FFT.
const WINDOW: usize = 800;
/// Frequency bins of the FFT: 0, 20, .. 8000 Hz.
const BINS: usize = WINDOW / 2 + 1;
/// Lower edge of the lowest band, Hz.
const MIN_HZ: f64 = 55.0;
/// Upper edge of the highest band, Hz.
const MAX_HZ: f64 = 7600.0;
const PRE_EMPHASIS: f64 = 0.97;
/// Decibels per unit of a mel frame's values.
pub(crate) const DB_PER_UNIT: f64 = 100.0 / 8.0;

/// One mel frame: 80 bands from low to high, -4..4.
pub(crate) type MelFrame = [f32; BANDS];

/// When the mel frame `frame` is, in seconds of audio.
pub(super) fn seconds_of(frame: u64) -> f64 {
    frame as f64 * HOP as f64 / f64::from(SPEECH_RATE)
}

/// Mel frames of `samples` samples at 16 kHz.
pub fn frame_count(samples: u64) -> u64 {
    1 + samples / HOP as u64
}

/// Turns samples into mel frames as they arrive; frame `t` is centred on sample `200 t`.
pub struct MelSpectrogram {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
    /// Pre-emphasised samples from the start of the current window on, including the zeros before the first sample.
    pending: VecDeque<f64>,
    previous: f64,
    /// Frames to skip before the first that is wanted.
    frames_to_skip: u64,
    frames_left: u64,
    // f64, because the empty bins of a pure tone lie below 1e-5, where the rounding of f32 would show as decibels.
    time: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl MelSpectrogram {
    /// For `samples` samples at 16 kHz.
    pub fn new(samples: u64) -> Self {
        Self::starting_at(0, samples)
    }

    /// Like [`MelSpectrogram::new`], but skips the frames before number `first` without computing them.
    pub fn starting_at(first: u64, samples: u64) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let angle = std::f64::consts::TAU / WINDOW as f64;
        Self {
            window: (0..WINDOW)
                .map(|i| 0.5 - 0.5 * (angle * i as f64).cos())
                .collect(),
            bands: slaney_bands(),
            pending: std::iter::repeat_n(0.0, WINDOW / 2).collect(),
            previous: 0.0,
            frames_to_skip: first,
            frames_left: frame_count(samples),
            time: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Takes the next samples (-1..1) and passes each finished mel frame to `emit`.
    pub fn push(&mut self, samples: &[f32], mut emit: impl FnMut(MelFrame)) {
        for &sample in samples {
            let sample = f64::from(sample);
            self.pending
                .push_back(sample - PRE_EMPHASIS * self.previous);
            self.previous = sample;
            self.emit_ready(&mut emit);
        }
    }

    /// Emits the frames whose windows extend past the end.
    pub fn finish(&mut self, mut emit: impl FnMut(MelFrame)) {
        for _ in 0..WINDOW / 2 {
            self.pending.push_back(0.0);
            self.emit_ready(&mut emit);
        }
    }

    fn emit_ready(&mut self, emit: &mut impl FnMut(MelFrame)) {
        if self.pending.len() == WINDOW && self.frames_left > 0 {
            self.frames_left -= 1;
            match self.frames_to_skip.checked_sub(1) {
                Some(frames_to_skip) => self.frames_to_skip = frames_to_skip,
                None => emit(self.frame()),
            }
            self.pending.drain(..HOP);
        }
    }

    fn frame(&mut self) -> MelFrame {
        for ((t, w), s) in self.time.iter_mut().zip(&self.window).zip(&self.pending) {
            *t = w * s;
        }
        let done =
            self.fft
                .process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch);
        debug_assert!(done.is_ok(), "the buffers have the plan's lengths");
        std::array::from_fn(|b| {
            let band = &self.bands[b];
            let bins = &self.spectrum[band.first..];
            let magnitude: f64 = band
                .weights
                .iter()
                .zip(bins)
                .map(|(w, x)| w * x.norm())
                .sum();
            let level = 20.0 * magnitude.max(1e-5).log10() - 20.0;
            ((level + 100.0) / DB_PER_UNIT - 4.0).clamp(-4.0, 4.0) as f32
        })
    }
}

/// A triangular filter: weights of the FFT's bins from `first` on.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

/// Slaney's mel scale: linear to 1000 Hz, logarithmic above (M. Slaney, Auditory Toolbox, 1998).
fn mel_to_hz(mel: f64) -> f64 {
    const HZ_PER_MEL: f64 = 200.0 / 3.0;
    let knee = 1000.0 / HZ_PER_MEL;
    if mel < knee {
        mel * HZ_PER_MEL
    } else {
        1000.0 * ((6.4_f64.ln() / 27.0) * (mel - knee)).exp()
    }
}

fn hz_to_mel(hz: f64) -> f64 {
    const HZ_PER_MEL: f64 = 200.0 / 3.0;
    if hz < 1000.0 {
        hz / HZ_PER_MEL
    } else {
        1000.0 / HZ_PER_MEL + (hz / 1000.0).ln() * 27.0 / 6.4_f64.ln()
    }
}

/// The position of a frequency among the bands: 0 at the lower edge of the lowest, 80 at the upper edge of the highest.
pub(crate) fn hz_to_band(hz: f64) -> f64 {
    let (low, high) = (hz_to_mel(MIN_HZ), hz_to_mel(MAX_HZ));
    (hz_to_mel(hz) - low) / (high - low) * BANDS as f64
}

/// 80 triangles of equal area, evenly spaced in mels.
fn slaney_bands() -> Vec<Band> {
    let (low, high) = (hz_to_mel(MIN_HZ), hz_to_mel(MAX_HZ));
    let edge = |i: usize| mel_to_hz(low + (high - low) * i as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|b| {
            let (left, centre, right) = (edge(b), edge(b + 1), edge(b + 2));
            let weight = |bin: usize| {
                let hz = bin as f64 * f64::from(SPEECH_RATE) / WINDOW as f64;
                let up = (hz - left) / (centre - left);
                let down = (right - hz) / (right - centre);
                // The training code stores its filters in single precision.
                f64::from((up.min(down).max(0.0) * 2.0 / (right - left)) as f32)
            };
            let first = (0..BINS).find(|&i| weight(i) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|&w| w > 0.0).collect();
            Band { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mel(samples: &[f32], chunk_len: usize) -> Vec<MelFrame> {
        let mut out = Vec::new();
        let mut spectrogram = MelSpectrogram::new(samples.len() as u64);
        for chunk in samples.chunks(chunk_len) {
            spectrogram.push(chunk, |f| out.push(f));
        }
        spectrogram.finish(|f| out.push(f));
        out
    }

    #[test]
    fn frames_do_not_depend_on_chunk_size() {
        let samples: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
        let whole = mel(&samples, 5000);
        assert_eq!(whole.len() as u64, frame_count(5000));
        assert_eq!(whole, mel(&samples, 1));
        assert_eq!(whole, mel(&samples, 777));
    }

    #[test]
    fn skipping_frames_does_not_change_later_ones() {
        let samples: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
        let mut late = Vec::new();
        let mut spectrogram = MelSpectrogram::starting_at(7, 5000);
        spectrogram.push(&samples, |f| late.push(f));
        spectrogram.finish(|f| late.push(f));
        assert_eq!(late, mel(&samples, 5000)[7..]);
    }

    #[test]
    fn every_length_gives_the_expected_count() {
        for n in [1, 199, 200, 201, 399, 400, 10_240, 12_345] {
            assert_eq!(
                mel(&vec![0.1; n], 512).len() as u64,
                frame_count(n as u64),
                "{n} samples"
            );
        }
    }

    #[test]
    fn silence_is_the_floor() {
        assert!(mel(&[0.0; 2000], 2000).iter().flatten().all(|&v| v == -4.0));
    }
}
