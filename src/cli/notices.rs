//! Messages about loaded networks, which `render` and `batch` share.

use super::ui::Ui;
use crate::inference::onnx::Placement;
use crate::inference::precision::{Precision, Tuning};

/// Prints where the networks run and why, and how the generator was optimized. `requested` is the precision that the user
/// asked for.
pub(super) fn networks(placement: &Placement, tuning: &Tuning, requested: Precision, ui: &Ui) {
    optimizations(tuning, requested, ui);
    let device = placement.device();
    match placement.reason() {
        Some(reason) => ui.say(&format!("networks run on {device}: {reason}")),
        None => ui.say(&format!("networks run on {device}")),
    }
    if let Some(left) = &placement.left_on_cpu {
        ui.warn(&format!(
            "{device} leaves part of the generator to the CPU: {left}"
        ));
    }
}

/// Bytes by which the memory use of equal runs differs.
const MEMORY_NOISE: usize = 10_000_000;

/// Warns if the memory limit is `shortfall` bytes too small to cache anything.
pub(super) fn memory_shortfall(shortfall: usize, ui: &Ui) {
    if let Some(warning) = shortfall_warning(shortfall) {
        ui.warn(&warning);
    }
}

fn shortfall_warning(shortfall: usize) -> Option<String> {
    (shortfall >= MEMORY_NOISE).then(|| {
        format!(
            "the memory limit is {:.2} GB below what the networks and the encoder need: no backgrounds are cached",
            shortfall as f64 / 1e9
        )
    })
}

/// How the generator was optimized; a precision that was asked for but not reached is a warning.
fn optimizations(tuning: &Tuning, requested: Precision, ui: &Ui) {
    let psnr = tuning
        .psnr_db
        .map(|db| format!(", PSNR {db:.1} dB against exact"));
    let precision = &tuning.precision;
    ui.detail(&format!(
        "precision {precision}{}",
        psnr.unwrap_or_default()
    ));
    for what in &tuning.rewritings {
        ui.detail(&format!("generator: {what}"));
    }
    for why in &tuning.dropped {
        let was_requested = requested == Precision::Int8 && why.starts_with("int8")
            || requested == Precision::Fp16 && why.starts_with("fp16");
        if was_requested {
            ui.warn(&format!(
                "the generator falls back to full precision: {why}"
            ));
        } else {
            ui.detail(&format!("generator: not used: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortfall_warning;

    #[test]
    fn a_warning_about_memory_names_an_amount() {
        for nothing in [0, 1, 4_999_999, 9_999_999] {
            assert_eq!(shortfall_warning(nothing), None);
        }
        let warning = shortfall_warning(10_000_000).unwrap();
        assert!(warning.starts_with("the memory limit is 0.01 GB below"));
    }
}
