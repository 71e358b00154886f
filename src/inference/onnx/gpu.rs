//! Prepares a generator for a GPU: in half precision, where it is asked for and near enough, and with bytes in and out.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;

use super::audio_encoder::OnnxAudioEncoder;
use super::loader::Loader;
use super::network::InputValues;
use super::ort_message::reason;
use super::prepare::{PreparedGenerator, TuneOptions};
use super::reference::{
    MIN_PSNR_DB, Reference, mean_squared_levels, psnr_db, rounded_db, run_whole,
};
use super::roles::{BYTE_GENERATOR, GENERATOR};
use crate::face::OUTPUT_LEN;
use crate::inference::graph::byte_io::use_bytes;
use crate::inference::graph::half::to_half_precision;
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};

impl Loader<'_> {
    /// Rewrites the file at `path`, which holds `bytes`, as `tune` asks.
    pub(super) fn prepare_for_gpu(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> (PreparedGenerator, Tuning) {
        let (model, mut tuning) = match tune.precision {
            Precision::Exact => (bytes, Tuning::exact()),
            Precision::Int8 => (bytes, Tuning::none("int8: the networks run on a GPU")),
            Precision::Auto | Precision::Fp16 => {
                match self.measured_half(path, &bytes, tune, encoder) {
                    Ok((model, psnr))
                        if psnr >= MIN_PSNR_DB || tune.precision == Precision::Fp16 =>
                    {
                        let tuning = Tuning {
                            precision: "fp16".into(),
                            psnr_db: Some(rounded_db(psnr)),
                            rewritings: vec!["half precision".into()],
                            dropped: Vec::new(),
                        };
                        (model, tuning)
                    }
                    Ok((_, psnr)) => {
                        let why = format!(
                            "fp16: its PSNR against exact pictures is {psnr:.1} dB (at least {MIN_PSNR_DB:.0} dB)"
                        );
                        (bytes, Tuning::none(&why))
                    }
                    Err(error) => (bytes, Tuning::none(&format!("fp16: {}", reason(&error)))),
                }
            }
        };
        let what = "bytes in and out";
        match self.with_bytes(path, &model) {
            Ok(with_bytes) => {
                tuning.rewritings.push(what.into());
                let prepared = PreparedGenerator::Bytes(path.to_owned(), with_bytes);
                (prepared, tuning)
            }
            Err(error) => {
                tuning.dropped.push(format!("{what}: {}", reason(&error)));
                (PreparedGenerator::Whole(path.to_owned(), model), tuning)
            }
        }
    }

    /// The network `model` with bytes in and out, verified against it.
    fn with_bytes(&self, path: &Path, model: &[u8]) -> Result<Vec<u8>> {
        let (mut whole, _) = self.network(path, &GENERATOR, model)?;
        let reference = Reference::of(&mut whole)?;
        let is_finite = reference.picture.iter().all(|value| value.is_finite());
        ensure!(
            is_finite,
            "it gives infinities or NaN, which bytes cannot hold"
        );
        let [picture, _] = whole.input_names();
        drop(whole);
        let mut folded = self.folded(model, &[])?;
        use_bytes(&mut folded, &picture)?;
        let with_bytes = folded.encode_to_vec();
        let (mut network, _) = self.network(path, &BYTE_GENERATOR, &with_bytes)?;
        let mut levels = vec![0_u8; OUTPUT_LEN];
        let inputs = [
            InputValues::Bytes(&reference.crop.pixels),
            InputValues::Floats(&reference.window),
        ];
        network.run(1, &inputs, &mut levels)?;
        let pairs = reference.picture.iter().zip(&levels);
        let differences = pairs.map(|(value, level)| ((value * 255.0) as u8).abs_diff(*level));
        let max = differences.max().unwrap_or_default();
        ensure!(max <= 1, "differs by {max} levels (at most 1)");
        Ok(with_bytes)
    }

    /// The network in half precision, and its PSNR against the file's, decibels.
    fn measured_half(
        &self,
        path: &Path,
        bytes: &[u8],
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(Vec<u8>, f64)> {
        let take_samples = tune
            .samples
            .context("there are no samples to measure it on")?;
        let samples = take_samples(encoder)?;
        let half = self.half(bytes)?;
        let psnr = self.psnr(path, [bytes, &half], &samples)?;
        Ok((half, psnr))
    }

    /// The network in half precision.
    fn half(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut model = self.folded(bytes, &[])?;
        to_half_precision(&mut model)?;
        Ok(model.encode_to_vec())
    }

    /// The PSNR of the second network's pictures against the first one's, over all samples, decibels.
    fn psnr(&self, path: &Path, networks: [&[u8]; 2], samples: &CalibrationSamples) -> Result<f64> {
        ensure!(
            !samples.crops.is_empty(),
            "there are no samples to measure it on"
        );
        let [exact, other] = networks.map(|bytes| self.network(path, &GENERATOR, bytes));
        let ((mut exact, _), (mut other, _)) = (exact?, other?);
        let mut pictures = [vec![0.0; OUTPUT_LEN], vec![0.0; OUTPUT_LEN]];
        let mut squares = 0.0;
        for (crop, window) in samples.crops.iter().zip(&samples.windows) {
            run_whole(&mut exact, crop, window, &mut pictures[0])?;
            run_whole(&mut other, crop, window, &mut pictures[1])?;
            squares += mean_squared_levels(&pictures[0], &pictures[1]);
        }
        Ok(psnr_db(squares / samples.crops.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::window::WINDOW_LEN;
    use crate::face::CROP;
    use crate::image::Picture;
    use crate::inference::generator::{Face, Generator as _};
    use crate::inference::graph::proto::{Model, Tensor};
    use crate::inference::onnx::device::Hardware;
    use crate::inference::onnx::loader::Arena;
    use crate::inference::onnx::runtime::Runtime;

    const NETWORKS: [&str; 2] = [
        "models/ada/generator.onnx",
        "tests/golden/models/tiny_generator.onnx",
    ];

    fn loader() -> Loader<'static> {
        Loader {
            runtime: Runtime::for_tests(),
            hardware: Hardware::cpu(1),
            threads: 1,
            arena: Arena::Shared,
        }
    }

    fn crop(seed: usize) -> Picture {
        let mut crop = Picture::new(CROP, CROP);
        for (at, byte) in crop.pixels.iter_mut().enumerate() {
            *byte = ((at + seed) * 7 % 251) as u8;
        }
        crop
    }

    fn windows(count: usize) -> Vec<f32> {
        let values = 0..count * WINDOW_LEN;
        values.map(|at| (at as f32).sin()).collect()
    }

    /// On the CPU, the same code as on a GPU.
    #[test]
    fn bytes_in_and_out_give_the_same_levels() {
        let loader = loader();
        let crops: Vec<Picture> = (0..3).map(crop).collect();
        let faces: Vec<Face<'_>> = crops.iter().map(|crop| Face { crop }).collect();
        for path in NETWORKS {
            let path = Path::new(path);
            let bytes = std::fs::read(path).unwrap();
            let with_bytes =
                PreparedGenerator::Bytes(path.into(), loader.with_bytes(path, &bytes).unwrap());
            let mut pictures =
                [with_bytes, PreparedGenerator::Whole(path.into(), bytes)].map(|prepared| {
                    let mut running = loader.start_generators(&prepared, 1).unwrap();
                    let mut output = vec![f32::NAN; faces.len() * OUTPUT_LEN];
                    let generator = &mut running.generators[0];
                    generator
                        .generate(&faces, &windows(faces.len()), &mut output)
                        .unwrap();
                    output
                });
            let levels = pictures.each_mut().map(|picture| {
                let levels = picture.iter().map(|value| (value * 255.0) as u8);
                levels.collect::<Vec<u8>>()
            });
            assert!(levels[0] == levels[1], "{}", path.display());
            let [with_bytes, whole] = &pictures;
            let differences = with_bytes.iter().zip(whole).map(|(a, b)| (a - b).abs());
            assert!(differences.fold(0.0, f32::max) <= 0.501 / 255.0);
        }
    }

    #[test]
    fn a_network_that_gives_nan_keeps_its_floats() {
        let path = Path::new("tests/golden/models/tiny_generator.onnx");
        let mut model = Model::parse(&std::fs::read(path).unwrap()).unwrap();
        for tensor in &mut model.graph_mut().unwrap().initializers {
            if let Some(values) = tensor.float_values().filter(|_| tensor.dims.len() == 4) {
                let nan = vec![f32::NAN; values.len()];
                *tensor = Tensor::of_floats(&tensor.name, &tensor.dims, &nan);
            }
        }
        let error = loader()
            .with_bytes(path, &model.encode_to_vec())
            .unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error:#}");
    }

    /// ONNX Runtime computes f16 on the CPU too, slowly.
    #[test]
    fn half_precision_is_near_but_not_the_same() {
        let loader = loader();
        let samples = CalibrationSamples {
            crops: vec![crop(0)],
            windows: vec![windows(1)],
        };
        for path in NETWORKS {
            let path = Path::new(path);
            let bytes = std::fs::read(path).unwrap();
            let half = loader.half(&bytes).unwrap();
            loader.with_bytes(path, &half).unwrap();
            let psnr = loader.psnr(path, [&bytes, &half], &samples).unwrap();
            assert!(
                (MIN_PSNR_DB..80.0).contains(&psnr),
                "{}: {psnr} dB",
                path.display()
            );
        }
    }
}
