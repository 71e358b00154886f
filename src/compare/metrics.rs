//! The figures of the result: of each frame, of each plane, and of all frames together.

use serde::Serialize;

use super::measure::psnr;
use crate::sync::rounded;

/// The figures of one pair of frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FrameFigures {
    /// Frame number, from 0.
    pub frame: usize,
    /// Timestamp in the expected video in seconds, or else in the actual one; none between folders.
    pub seconds: Option<f64>,
    /// Peak signal-to-noise ratio in dB; none (infinite) if the frames are identical.
    pub psnr_db: Option<f64>,
    /// Structural similarity, 1 if the frames are identical.
    pub ssim: f64,
    /// Largest difference between two samples.
    pub max_abs: u16,
    /// Its column and row.
    pub at: [usize; 2],
    /// Whether the frame meets the limits.
    pub passes: bool,
}

impl FrameFigures {
    /// PSNR in dB, infinite if the frames are identical.
    pub(crate) fn psnr(&self) -> f64 {
        self.psnr_db.unwrap_or(f64::INFINITY)
    }
}

/// The figures of all frames together.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OverallFigures {
    /// PSNR of the mean squared error over all frames, in dB; none (infinite) if all are identical.
    pub psnr_db: Option<f64>,
    /// Lowest PSNR of a frame, in dB; none if all are identical.
    pub lowest_psnr_db: Option<f64>,
    /// Mean SSIM.
    pub ssim: f64,
    /// Lowest SSIM of a frame.
    pub lowest_ssim: f64,
    /// Largest difference between two samples in any frame.
    pub max_abs: u16,
    /// Identical frames.
    pub equal: usize,
    /// Frames outside the limits.
    pub failed: usize,
    /// Each plane alone.
    pub planes: Vec<PlaneFigures>,
}

/// The figures of one plane over all frames.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlaneFigures {
    /// `Y`, `U`, `V`, `R`, `G`, `B` or `A`.
    pub plane: char,
    /// PSNR of the mean squared error, in dB; none (infinite) if the plane is identical in all frames.
    pub psnr_db: Option<f64>,
    /// Mean SSIM.
    pub ssim: f64,
}

/// PSNR in dB with three decimals; none if there is no error.
pub(super) fn rounded_psnr(mse: f64, depth: u32) -> Option<f64> {
    (mse > 0.0).then(|| rounded(psnr(mse, depth)))
}

/// SSIM with six decimals, rounded down: 1 only if nothing differs.
pub(super) fn rounded_ssim(ssim: f64) -> f64 {
    (ssim * 1e6).floor() / 1e6
}
