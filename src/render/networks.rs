//! Loads a plan's networks, and divides the memory that they leave.

use anyhow::Result;

use super::calibration;
use super::memory::MemoryBudget;
use crate::assets;
use crate::inference::onnx::{FeatureLimits, Networks, Runtime, TuneOptions};
use crate::plan::Plan;
use crate::plan::model::ModelFiles;

/// Loads the networks on the device and at the precision that `plan` asks for.
pub(crate) fn load(plan: &Plan, runtime: &Runtime) -> Result<Networks> {
    let cache = assets::cache_folder();
    let tune = TuneOptions {
        precision: plan.precision,
        samples: Some(&|encoder| calibration::take(&plan.backgrounds, &plan.sound, encoder)),
        cache: cache.as_deref(),
    };
    let ModelFiles {
        audio_encoder,
        generator,
        ..
    } = &plan.model;
    Networks::load(runtime, audio_encoder, generator, plan.hardware, tune)
}

/// Runs the networks once, `batch` frames at a time, then divides the memory that they leave, and limits their feature cache
/// to its share.
pub(crate) fn budget_memory(
    plan: &Plan,
    networks: &mut Networks,
    batch: usize,
) -> Result<MemoryBudget> {
    networks.warm_up(batch)?;
    let size = plan.backgrounds.size();
    let file = std::fs::metadata(&plan.model.generator).map_or(0, |file| file.len());
    let limit = plan
        .memory_limit
        .unwrap_or_else(|| MemoryBudget::default_limit(file));
    let memory = MemoryBudget::within(limit, size, networks.has_features());
    networks.features().keep(FeatureLimits {
        bytes: memory.features,
        backgrounds: plan.backgrounds.count(),
    });
    Ok(memory)
}
