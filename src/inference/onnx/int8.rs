//! Quantizes a generator's parts with calibration samples, and measures how near the result comes to the exact network.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use prost::Message as _;

use super::generator_file::{GeneratorFile, fuse_parts};
use super::parts::GeneratorParts;
use super::reference::{MIN_PSNR_DB, mean_squared_levels, psnr_db};
use crate::face::{INPUT_LEN, OUTPUT_LEN, network_input};
use crate::image::Picture;
use crate::inference::graph::edit::Shapes;
use crate::inference::graph::quantize::{self, Statistics, quantize};
use crate::inference::graph::split::SplitGraph;
use crate::inference::precision::{CalibrationSamples, Precision};

/// A crop and an audio window.
type Sample<'a> = (&'a Picture, &'a [f32]);

/// What is quantized, and with which samples.
pub(super) struct Calibration<'a> {
    pub(super) file: &'a GeneratorFile<'a>,
    pub(super) split: &'a SplitGraph,
    pub(super) shapes: &'a Shapes,
    pub(super) samples: &'a CalibrationSamples,
}

/// Quantized parts.
pub(super) struct Int8Parts {
    pub(super) parts: GeneratorParts,
    /// PSNR of their pictures against those of the exact parts, decibels.
    pub(super) psnr_db: f64,
    /// How many of their blocks are computed in eight bits.
    pub(super) blocks: usize,
}

impl Calibration<'_> {
    /// The fastest parts whose PSNR suffices. If there are none, the parts with the highest PSNR if int8 was asked for by
    /// name, else an error that says how near they came.
    pub(super) fn quantize(
        &self,
        exact: &GeneratorParts,
        precision: Precision,
    ) -> Result<Int8Parts> {
        let windows = self.samples.windows.iter().map(Vec::as_slice);
        let samples: Vec<Sample<'_>> = self.samples.crops.iter().zip(windows).collect();
        ensure!(samples.len() >= 2, "there are too few calibration samples");
        // Every other sample calibrates, the others measure.
        let calibrating = samples.iter().step_by(2).copied();
        let measuring: Vec<Sample<'_>> = samples.iter().skip(1).step_by(2).copied().collect();
        let statistics = self.statistics(calibrating)?;
        let mut exact_pictures = Vec::new();
        self.paint(exact, &measuring, |picture| {
            exact_pictures.push(picture.to_vec());
        })?;
        let mut best: Option<Int8Parts> = None;
        for area in quantize::areas(self.split, self.shapes)? {
            let quantized = quantize(self.split, self.shapes, &statistics, area)?;
            let blocks = quantize::count_blocks(&quantized.joint)?;
            if blocks == 0 {
                continue;
            }
            let fused = fuse_parts(&quantized, self.shapes).map(|(fused, _)| fused);
            let parts = self.file.parts(fused.as_ref().unwrap_or(&quantized));
            let mut exact_pictures = exact_pictures.iter();
            let mut squares = 0.0;
            self.paint(&parts, &measuring, |picture| {
                let exact = exact_pictures.next();
                squares += exact.map_or(0.0, |exact| mean_squared_levels(picture, exact));
            })?;
            let psnr_db = psnr_db(squares / measuring.len() as f64);
            if best.as_ref().is_none_or(|best| best.psnr_db < psnr_db) {
                best = Some(Int8Parts {
                    parts,
                    psnr_db,
                    blocks,
                });
            }
            if psnr_db >= MIN_PSNR_DB {
                break;
            }
        }
        let best = best.context("no block of it can be quantized")?;
        ensure!(
            best.psnr_db >= MIN_PSNR_DB || precision == Precision::Int8,
            "its PSNR against exact pictures is {:.1} dB (at least {MIN_PSNR_DB:.0} dB)",
            best.psnr_db
        );
        Ok(best)
    }

    /// Calls `each` with the pictures that `parts` paint of `samples`, one after the other.
    fn paint(
        &self,
        parts: &GeneratorParts,
        samples: &[Sample<'_>],
        mut each: impl FnMut(&[f32]),
    ) -> Result<()> {
        let mut generator = self.file.start(parts)?;
        let mut picture = vec![0.0; OUTPUT_LEN];
        for (crop, window) in samples {
            generator.paint(crop, window, &mut picture)?;
            each(&picture);
        }
        Ok(())
    }

    /// Statistics of the joint part's tensors over `samples`.
    fn statistics<'s>(&self, samples: impl Iterator<Item = Sample<'s>>) -> Result<Statistics> {
        let (file, split) = (self.file, self.split);
        let inner = quantize::observed(split.joint.graph()?, self.shapes);
        let joint_inputs = split.joint.graph()?.input_names();
        let mut joint = file.observing_session(&split.joint, &inner)?;
        let image = split.image.encode_to_vec();
        let mut image = file.loader.start(&image, None)?;
        let mut statistics = Statistics::default();
        let mut input = vec![0.0; INPUT_LEN];
        for (crop, window) in samples {
            network_input(crop, &mut input);
            let picture = TensorRef::from_array_view(([1_i64, 6, 320, 320], input.as_slice()))?;
            let features = image.run(vec![(file.inputs.picture.as_str(), picture)])?;
            let mut values: HashMap<&str, (Vec<i64>, &[f32])> = HashMap::new();
            for name in features.keys() {
                let (shape, feature) = features[name].try_extract_tensor::<f32>()?;
                values.insert(name, (shape.to_vec(), feature));
            }
            values.insert(&file.inputs.audio, (vec![1, 32, 16, 16], window));
            values.insert(&file.inputs.picture, (vec![1, 6, 320, 320], &input));
            values.retain(|name, _| joint_inputs.contains(name));
            run_and_add(&mut joint, &values, &mut statistics)?;
        }
        Ok(statistics)
    }
}

/// Runs `session` on `inputs`, and adds these and its outputs to `statistics`.
fn run_and_add(
    session: &mut Session,
    inputs: &HashMap<&str, (Vec<i64>, &[f32])>,
    statistics: &mut Statistics,
) -> Result<()> {
    let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
    for (name, (shape, input)) in inputs {
        statistics.add(name, shape, input);
        let tensor = TensorRef::from_array_view((shape.clone(), *input))?;
        values.push((name, tensor.into()));
    }
    for (name, value) in &session.run(values)? {
        let (shape, output) = value.try_extract_tensor::<f32>()?;
        statistics.add(name, shape, output);
    }
    Ok(())
}
