//! What is made of a generator's file for a GPU: the same in half precision, where it is asked for and near enough, and
//! with bytes going in and coming out.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ort::session::builder::GraphOptimizationLevel;
use prost::Message as _;

use super::generator::{PreparedGenerator, TuneOptions};
use super::network::InputValues;
use super::tuner::{NEAR, Reference, psnr_db, run_whole};
use super::{GENERATOR, GENERATOR_OF_BYTES, Loader, OnnxAudioEncoder, commit};
use crate::face::OUTPUT_LEN;
use crate::inference::graph::bytes::take_and_give_bytes;
use crate::inference::graph::half::halve;
use crate::inference::graph::proto::Model;
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};

impl Loader<'_> {
    /// What generators on a GPU are started from.
    pub(super) fn made_for_gpu(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> (PreparedGenerator, Tuning) {
        let (model, mut tuning) = match tune.precision {
            Precision::Exact => (bytes, Tuning::exact()),
            Precision::Int8 => (bytes, Tuning::none("int8: the networks run on a GPU")),
            Precision::Auto | Precision::Fp16 => match self.half(path, &bytes, tune, encoder) {
                Ok((model, psnr)) if psnr >= NEAR || tune.precision == Precision::Fp16 => {
                    let tuning = Tuning {
                        precision: "fp16".into(),
                        psnr_db: Some((psnr * 100.0).round() / 100.0),
                        rewritings: vec!["half precision".into()],
                        dropped: Vec::new(),
                    };
                    (model, tuning)
                }
                Ok((_, psnr)) => {
                    let why = format!("fp16: {psnr:.1} dB from exact");
                    (bytes, Tuning::none(&why))
                }
                Err(error) => (bytes, Tuning::none(&format!("fp16: {error:#}"))),
            },
        };
        let what = "bytes in and out";
        match self.of_bytes(path, &model) {
            Ok(of_bytes) => {
                tuning.rewritings.push(what.into());
                (
                    PreparedGenerator::OfBytes(path.to_owned(), of_bytes),
                    tuning,
                )
            }
            Err(error) => {
                tuning.dropped.push(format!("{what}: {error:#}"));
                (PreparedGenerator::Whole(path.to_owned(), model), tuning)
            }
        }
    }

    /// The network `model` as one that takes and gives bytes, proved against it where both run.
    fn of_bytes(&self, path: &Path, model: &[u8]) -> Result<Vec<u8>> {
        let (mut whole, _) = self.network(path, &GENERATOR, model)?;
        let proof = Reference::of(&mut whole)?;
        let numbers = proof.picture.iter().all(|value| value.is_finite());
        ensure!(numbers, "it gives infinities or NaN, which bytes cannot");
        let [picture, _] = whole.input_names();
        drop(whole);
        let mut folded = self.folded_for_any_batch(path, model)?;
        take_and_give_bytes(&mut folded, &picture)?;
        let of_bytes = folded.encode_to_vec();
        let (mut network, _) = self.network(path, &GENERATOR_OF_BYTES, &of_bytes)?;
        let mut levels = vec![0_u8; OUTPUT_LEN];
        let given = [
            InputValues::Bytes(&proof.crop.pixels),
            InputValues::Floats(&proof.window),
        ];
        network.run(1, &given, &mut levels)?;
        let pairs = proof.picture.iter().zip(&levels);
        let far = pairs.map(|(value, level)| ((value * 255.0) as u8).abs_diff(*level));
        let far = far.max().unwrap_or_default();
        ensure!(far <= 1, "differs by {far} levels (at most 1)");
        Ok(of_bytes)
    }

    /// The network of the file at `path` in half precision, and how near it comes to the file's, decibels.
    fn half(
        &self,
        path: &Path,
        bytes: &[u8],
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(Vec<u8>, f64)> {
        let take = tune.samples.context("nothing to measure it on")?;
        let samples = take(encoder)?;
        let half = self.halved(path, bytes)?;
        let psnr = self.nearness(path, [bytes, &half], &samples)?;
        Ok((half, psnr))
    }

    /// The network in half precision.
    fn halved(&self, path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut model = self.folded_for_any_batch(path, bytes)?;
        halve(&mut model)?;
        Ok(model.encode_to_vec())
    }

    /// The network as ONNX Runtime writes it for any batch.
    fn folded_for_any_batch(&self, path: &Path, bytes: &[u8]) -> Result<Model> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("folded.onnx");
        let builder = (self.builder()?)
            .with_optimization_level(GraphOptimizationLevel::Level1)
            .map_err(ort::Error::<()>::from)?
            .with_optimized_model_path(&file)
            .map_err(ort::Error::<()>::from)?;
        commit(builder, path, bytes)?;
        Model::parse(&std::fs::read(&file)?)
    }

    /// How near the second network's pictures come to the first one's, over all samples.
    fn nearness(
        &self,
        path: &Path,
        networks: [&[u8]; 2],
        samples: &CalibrationSamples,
    ) -> Result<f64> {
        ensure!(!samples.crops.is_empty(), "nothing to measure it on");
        let [exact, other] = networks.map(|bytes| self.network(path, &GENERATOR, bytes));
        let ((mut exact, _), (mut other, _)) = (exact?, other?);
        let mut pictures = [vec![0.0; OUTPUT_LEN], vec![0.0; OUTPUT_LEN]];
        let mut squares = 0.0;
        for (crop, window) in samples.crops.iter().zip(&samples.windows) {
            run_whole(&mut exact, crop, window, &mut pictures[0])?;
            run_whole(&mut other, crop, window, &mut pictures[1])?;
            squares += super::tuner::squared_levels(&pictures[0], &pictures[1]);
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
    use crate::inference::graph::proto::Tensor;
    use crate::inference::onnx::{Arena, Hardware, one_runtime};
    use crate::inference::{Face, Generator as _};

    const NETWORKS: [&str; 2] = [
        "models/ada/generator.onnx",
        "tests/golden/models/tiny_generator.onnx",
    ];

    fn loader() -> Loader<'static> {
        Loader {
            runtime: one_runtime(),
            hardware: Hardware::cpu(1),
            threads: 1,
            memory: Arena::Shared,
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

    /// The same code as on a GPU, on the CPU.
    #[test]
    fn bytes_in_and_out_give_the_same_levels() {
        let loader = loader();
        let crops: Vec<Picture> = (0..3).map(crop).collect();
        let faces: Vec<Face<'_>> = crops.iter().map(|crop| Face { crop }).collect();
        for path in NETWORKS {
            let path = Path::new(path);
            let bytes = std::fs::read(path).unwrap();
            let of_bytes =
                PreparedGenerator::OfBytes(path.into(), loader.of_bytes(path, &bytes).unwrap());
            let mut pictures =
                [of_bytes, PreparedGenerator::Whole(path.into(), bytes)].map(|made| {
                    let mut started = loader.start_generators(&made, 1).unwrap();
                    let mut output = vec![f32::NAN; faces.len() * OUTPUT_LEN];
                    let generator = &mut started.generators[0];
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
            let [of_bytes, whole] = &pictures;
            let furthest = of_bytes.iter().zip(whole).map(|(a, b)| (a - b).abs());
            assert!(furthest.fold(0.0, f32::max) <= 0.501 / 255.0);
        }
    }

    #[test]
    fn a_network_that_gives_no_numbers_keeps_its_floats() {
        let path = Path::new("tests/golden/models/tiny_generator.onnx");
        let mut model = Model::parse(&std::fs::read(path).unwrap()).unwrap();
        for tensor in &mut model.graph_mut().unwrap().constants {
            if let Some(values) = tensor.values().filter(|_| tensor.dims.len() == 4) {
                let nothing = vec![f32::NAN; values.len()];
                *tensor = Tensor::of_floats(&tensor.name, &tensor.dims, &nothing);
            }
        }
        let error = loader().of_bytes(path, &model.encode_to_vec()).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error:#}");
    }

    /// ONNX Runtime computes f16 on the CPU, too, slowly.
    #[test]
    fn half_precision_is_near_and_is_not_the_same() {
        let loader = loader();
        let samples = CalibrationSamples {
            crops: vec![crop(0)],
            windows: vec![windows(1)],
        };
        for path in NETWORKS {
            let path = Path::new(path);
            let bytes = std::fs::read(path).unwrap();
            let half = loader.halved(path, &bytes).unwrap();
            loader.of_bytes(path, &half).unwrap();
            let psnr = loader.nearness(path, [&bytes, &half], &samples).unwrap();
            assert!(
                (NEAR..80.0).contains(&psnr),
                "{}: {psnr} dB",
                path.display()
            );
        }
    }
}
