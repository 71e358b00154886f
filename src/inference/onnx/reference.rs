//! What a rewritten network is verified against: the output of the file's own network.

use anyhow::Result;

use super::network::{InputValues, Network};
use super::split_generator::SplitGenerator;
use crate::audio::window::WINDOW_LEN;
use crate::face::{CROP, INPUT_LEN, OUTPUT_LEN, network_input};
use crate::image::{self, Picture};

/// One random input, and the whole network's output for it.
pub(super) struct Reference {
    pub(super) crop: Picture,
    pub(super) window: Vec<f32>,
    pub(super) picture: Vec<f32>,
}

impl Reference {
    pub(super) fn of(whole: &mut Network) -> Result<Self> {
        let mut noise = Noise(0x2545_f491_4f6c_dd1d);
        let mut crop = Picture::new(CROP, CROP);
        crop.pixels.fill_with(|| (noise.next() >> 56) as u8);
        let mut window = vec![0.0; WINDOW_LEN];
        window.fill_with(|| (noise.next() >> 40) as f32 / (1 << 23) as f32 - 1.0);
        let mut picture = vec![0.0; OUTPUT_LEN];
        run_whole(whole, &crop, &window, &mut picture)?;
        Ok(Self {
            crop,
            window,
            picture,
        })
    }

    /// The largest difference of what `split` paints, in units of the output (0..1); NaN if it paints NaN.
    pub(super) fn max_difference(&self, split: &mut SplitGenerator) -> Result<f32> {
        let mut picture = vec![0.0; OUTPUT_LEN];
        split.paint(&self.crop, &self.window, &mut picture)?;
        let differences = self
            .picture
            .iter()
            .zip(&picture)
            .map(|(a, b)| (a - b).abs());
        // NaN must not pass as no difference.
        Ok(differences.fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max }))
    }
}

/// Paints one face with the whole network. `crop`: 328x328, R G B; `window`: `[16, 512]`; `output`: `[3, 320, 320]`.
pub(super) fn run_whole(
    whole: &mut Network,
    crop: &Picture,
    window: &[f32],
    output: &mut [f32],
) -> Result<()> {
    let mut input = vec![0.0; INPUT_LEN];
    network_input(crop, &mut input);
    whole.run(
        1,
        &[InputValues::Floats(&input), InputValues::Floats(window)],
        output,
    )
}

/// How much a generator of less than full precision may differ from the exact one: at least this PSNR, decibels.
pub(super) const MIN_PSNR_DB: f64 = 40.0;

/// The PSNR of a mean squared difference in levels (0..255), decibels.
pub(super) fn psnr_db(mean_squared_levels: f64) -> f64 {
    image::psnr(mean_squared_levels.max(1e-9), 255.0)
}

/// Mean squared difference of two pictures, in levels (0..255).
pub(super) fn mean_squared_levels(a: &[f32], b: &[f32]) -> f64 {
    let level = |v: f32| f64::from((v * 255.0) as u8);
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (level(*a) - level(*b)).powi(2))
        .sum();
    sum / a.len() as f64
}

/// Decibels as reports show them, with two decimals.
pub(super) fn rounded_db(decibels: f64) -> f64 {
    (decibels * 100.0).round() / 100.0
}

/// Pseudo-random numbers, the same on every run (Marsaglia's xorshift, 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
