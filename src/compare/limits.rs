//! The limits that every pair of frames must meet.

use serde::Serialize;

use super::metrics::FrameFigures;

/// Limits for every frame; without any, frames must be identical.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Limits {
    /// Minimum PSNR, in dB.
    pub min_psnr_db: Option<f64>,
    /// Minimum SSIM.
    pub min_ssim: Option<f64>,
    /// Largest allowed difference between two samples, in levels.
    pub max_abs: Option<u16>,
}

impl Limits {
    /// The same limits; if none is set, frames must be identical.
    pub(super) fn or_identical(self) -> Self {
        let is_unset = self == Self::default();
        Self {
            max_abs: if is_unset { Some(0) } else { self.max_abs },
            ..self
        }
    }

    pub(super) fn are_met_by(&self, frame: &FrameFigures) -> bool {
        self.min_psnr_db.is_none_or(|min| frame.psnr() >= min)
            && self.min_ssim.is_none_or(|min| frame.ssim >= min)
            && self.max_abs.is_none_or(|max| frame.max_abs <= max)
    }

    /// What a frame that misses them is: `below 42 dB PSNR or below 0.98 SSIM`.
    pub(super) fn violation(&self) -> String {
        let psnr = self.min_psnr_db.map(|db| format!("below {db} dB PSNR"));
        let ssim = self.min_ssim.map(|min| format!("below {min} SSIM"));
        let max_abs = self.max_abs.map(|max| match max {
            0 => "not identical".into(),
            max => format!("off by more than {max}"),
        });
        let all: Vec<String> = [psnr, ssim, max_abs].into_iter().flatten().collect();
        all.join(" or ")
    }
}
