//! 16 kHz samples -> mel frames, streamed.
//!
//! The numbers are those the networks were trained with (SyncTalk_2D's audio front end, which is Wav2Lip's):
//! pre-emphasis 0.97 over the whole sound, centred STFT with zero padding, Slaney mel filters on the magnitude,
//! decibels, then clipped to -4..4.

use std::collections::VecDeque;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Samples a second that the networks hear.
pub const SPEECH_RATE: u32 = 16_000;
/// Mel bands in a frame.
pub const BANDS: usize = 80;
/// Samples from one mel frame to the next: 80 mel frames a second.
pub const HOP: usize = 200;
/// Samples under one window, and the FFT's length.
const WINDOW: usize = 800;
/// Frequencies of the FFT: 0, 20, .. 8000 Hz.
const BINS: usize = WINDOW / 2 + 1;
/// Lower edge of the lowest band, Hz.
const LOWEST: f64 = 55.0;
/// Upper edge of the highest band, Hz.
const HIGHEST: f64 = 7600.0;
const PRE_EMPHASIS: f64 = 0.97;
/// Decibels that a step of 1 in a mel frame stands for.
pub(crate) const DECIBELS: f64 = 100.0 / 8.0;

/// One mel frame: 80 bands from low to high, -4..4.
pub(crate) type MelFrame = [f32; BANDS];

/// Mel frames of a sound of `samples` samples at 16 kHz.
pub fn frame_count(samples: u64) -> u64 {
    1 + samples / HOP as u64
}

/// Turns samples into mel frames as they arrive; frame `t` is centred on sample `200 t`.
pub struct MelSpectrogram {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
    /// Pre-emphasised samples from the current window's first on, zeros before the sound's start included.
    waiting: VecDeque<f64>,
    previous: f64,
    /// Frames that are passed over before the first is wanted.
    unwanted: u64,
    frames_left: u64,
    // In f64: a pure tone's empty bins lie below 1e-5, where f32's rounding would show as decibels.
    time: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl MelSpectrogram {
    /// For a sound of `samples` samples at 16 kHz.
    pub fn new(samples: u64) -> Self {
        Self::from(0, samples)
    }

    /// As [`MelSpectrogram::new`], without the frames before number `first`: they are not worked out.
    pub fn from(first: u64, samples: u64) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let turn = std::f64::consts::TAU / WINDOW as f64;
        Self {
            window: (0..WINDOW)
                .map(|i| 0.5 - 0.5 * (turn * i as f64).cos())
                .collect(),
            bands: slaney_bands(),
            waiting: std::iter::repeat_n(0.0, WINDOW / 2).collect(),
            previous: 0.0,
            unwanted: first,
            frames_left: frame_count(samples),
            time: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Takes the next samples (-1..1) and hands each finished mel frame to `emit`.
    pub fn push(&mut self, samples: &[f32], mut emit: impl FnMut(MelFrame)) {
        for &sample in samples {
            let sample = f64::from(sample);
            self.waiting
                .push_back(sample - PRE_EMPHASIS * self.previous);
            self.previous = sample;
            self.emit_ready(&mut emit);
        }
    }

    /// Emits the frames whose windows reach past the sound's end.
    pub fn finish(&mut self, mut emit: impl FnMut(MelFrame)) {
        for _ in 0..WINDOW / 2 {
            self.waiting.push_back(0.0);
            self.emit_ready(&mut emit);
        }
    }

    fn emit_ready(&mut self, emit: &mut impl FnMut(MelFrame)) {
        if self.waiting.len() == WINDOW && self.frames_left > 0 {
            self.frames_left -= 1;
            match self.unwanted.checked_sub(1) {
                Some(unwanted) => self.unwanted = unwanted,
                None => emit(self.frame()),
            }
            self.waiting.drain(..HOP);
        }
    }

    fn frame(&mut self) -> MelFrame {
        for ((t, w), s) in self.time.iter_mut().zip(&self.window).zip(&self.waiting) {
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
            ((level + 100.0) / DECIBELS - 4.0).clamp(-4.0, 4.0) as f32
        })
    }
}

/// A triangular filter: weights of the FFT's bins from `first` on.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

/// Slaney's mel scale: linear to 1000 Hz, logarithmic above (M. Slaney, Auditory Toolbox, 1998).
fn hz_of_mel(mel: f64) -> f64 {
    const HZ_A_MEL: f64 = 200.0 / 3.0;
    let knee = 1000.0 / HZ_A_MEL;
    if mel < knee {
        mel * HZ_A_MEL
    } else {
        1000.0 * ((6.4_f64.ln() / 27.0) * (mel - knee)).exp()
    }
}

fn mel_of_hz(hz: f64) -> f64 {
    const HZ_A_MEL: f64 = 200.0 / 3.0;
    if hz < 1000.0 {
        hz / HZ_A_MEL
    } else {
        1000.0 / HZ_A_MEL + (hz / 1000.0).ln() * 27.0 / 6.4_f64.ln()
    }
}

/// Where a frequency lies among the bands: 0 at the lower edge of the lowest, 80 at the upper edge of the highest.
pub(crate) fn band_of_hz(hz: f64) -> f64 {
    let (low, high) = (mel_of_hz(LOWEST), mel_of_hz(HIGHEST));
    (mel_of_hz(hz) - low) / (high - low) * BANDS as f64
}

/// 80 triangles of equal area, evenly spaced in mels.
fn slaney_bands() -> Vec<Band> {
    let (low, high) = (mel_of_hz(LOWEST), mel_of_hz(HIGHEST));
    let edge = |i: usize| hz_of_mel(low + (high - low) * i as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|b| {
            let (left, centre, right) = (edge(b), edge(b + 1), edge(b + 2));
            let weight = |bin: usize| {
                let hz = bin as f64 * f64::from(SPEECH_RATE) / WINDOW as f64;
                let up = (hz - left) / (centre - left);
                let down = (right - hz) / (right - centre);
                // The training code keeps its filters in single precision.
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

    fn mel(samples: &[f32], piece: usize) -> Vec<MelFrame> {
        let mut out = Vec::new();
        let mut spectrogram = MelSpectrogram::new(samples.len() as u64);
        for piece in samples.chunks(piece) {
            spectrogram.push(piece, |f| out.push(f));
        }
        spectrogram.finish(|f| out.push(f));
        out
    }

    #[test]
    fn frames_do_not_depend_on_the_pieces() {
        let samples: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
        let whole = mel(&samples, 5000);
        assert_eq!(whole.len() as u64, frame_count(5000));
        assert_eq!(whole, mel(&samples, 1));
        assert_eq!(whole, mel(&samples, 777));
    }

    #[test]
    fn later_frames_are_the_same_without_those_before() {
        let samples: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.1).sin() * 0.3).collect();
        let mut late = Vec::new();
        let mut spectrogram = MelSpectrogram::from(7, 5000);
        spectrogram.push(&samples, |f| late.push(f));
        spectrogram.finish(|f| late.push(f));
        assert_eq!(late, mel(&samples, 5000)[7..]);
    }

    #[test]
    fn every_length_gives_its_count() {
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
