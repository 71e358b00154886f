//! Precisions, calibration samples, and what was done to reach a precision.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The precision that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32, as the network is stored
    #[default]
    Exact,
    /// the fastest that stays within 40 dB of exact, measured on this presenter
    Auto,
    /// 8-bit integers where the network tolerates them (CPUs with VNNI)
    Int8,
    /// half precision (GPUs)
    Fp16,
}

/// How the generator was rewritten, for the report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// `exact`, `int8` or `fp16`.
    pub precision: String,
    /// Peak signal-to-noise ratio of the generator's pictures against exact ones, decibels; none if exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr_db: Option<f64>,
    /// The rewritings in use.
    pub rewritings: Vec<String>,
    /// The rewritings that were tried or asked for and are not in use, and why.
    pub dropped: Vec<String>,
}

impl Tuning {
    /// The exact network.
    pub(crate) fn exact() -> Self {
        Self {
            precision: "exact".into(),
            ..Self::default()
        }
    }

    /// The unchanged network, and why it was not rewritten.
    pub(crate) fn none(why: &str) -> Self {
        Self {
            precision: "exact".into(),
            dropped: vec![why.to_string()],
            ..Self::default()
        }
    }
}

/// Samples of a presenter, with which int8 networks are calibrated and their PSNR is measured.
#[derive(Debug, Default)]
pub struct CalibrationSamples {
    /// Crops of the backgrounds, 328x328, R G B.
    pub crops: Vec<crate::image::Picture>,
    /// Audio windows `[16, 512]`, one for each crop.
    pub windows: Vec<Vec<f32>>,
}

impl CalibrationSamples {
    /// A digest of all samples.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut hash = Xxh3::new();
        for crop in &self.crops {
            hash.update(&crop.pixels);
        }
        for value in self.windows.iter().flatten() {
            hash.update(&value.to_le_bytes());
        }
        hash.digest128().to_le_bytes()
    }
}
