//! What is made of a generator's file for a GPU: the same in half precision, where it is asked for and near enough.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ort::session::builder::GraphOptimizationLevel;
use prost::Message as _;

use super::generator::{Made, Tune};
use super::tuned::{NEAR, psnr_db, run_whole};
use super::{GENERATOR, Loader, OnnxAudioEncoder, commit};
use crate::face::OUTPUT_LEN;
use crate::graph::half::halve;
use crate::graph::proto::Model;
use crate::infer::precision::{Precision, Samples, Tuning};

impl Loader<'_> {
    /// What generators on a GPU are started from.
    pub(super) fn made_for_gpu(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        tune: Tune<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> (Made, Tuning) {
        let made = |model, tuning| (Made::Whole(path.to_owned(), model), tuning);
        match tune.precision {
            Precision::Exact => made(bytes, Tuning::exact()),
            Precision::Int8 => made(bytes, Tuning::none("int8: the networks run on a GPU")),
            Precision::Auto | Precision::Fp16 => match self.half(path, &bytes, tune, encoder) {
                Ok((model, psnr)) if psnr >= NEAR || tune.precision == Precision::Fp16 => {
                    let tuning = Tuning {
                        precision: "fp16".into(),
                        psnr_db: Some((psnr * 100.0).round() / 100.0),
                        rewritings: vec!["half precision".into()],
                        dropped: Vec::new(),
                    };
                    made(model, tuning)
                }
                Ok((_, psnr)) => {
                    let why = format!("fp16: {psnr:.1} dB from exact");
                    made(bytes, Tuning::none(&why))
                }
                Err(error) => made(bytes, Tuning::none(&format!("fp16: {error:#}"))),
            },
        }
    }

    /// The network of the file at `path` in half precision, and how near it comes to the file's, decibels.
    fn half(
        &self,
        path: &Path,
        bytes: &[u8],
        tune: Tune<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(Vec<u8>, f64)> {
        let take = tune.samples.context("nothing to measure it on")?;
        let samples = take(encoder)?;
        let half = self.halved(path, bytes)?;
        let psnr = self.nearness(path, [bytes, &half], &samples)?;
        Ok((half, psnr))
    }

    /// The network as ONNX Runtime writes it for any batch, in half precision.
    fn halved(&self, path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("folded.onnx");
        let builder = (self.builder()?)
            .with_optimization_level(GraphOptimizationLevel::Level1)
            .map_err(ort::Error::<()>::from)?
            .with_optimized_model_path(&file)
            .map_err(ort::Error::<()>::from)?;
        commit(builder, path, bytes)?;
        let mut model = Model::parse(&std::fs::read(&file)?)?;
        halve(&mut model)?;
        Ok(model.encode_to_vec())
    }

    /// How near the second network's pictures come to the first one's, over all samples.
    fn nearness(&self, path: &Path, networks: [&[u8]; 2], samples: &Samples) -> Result<f64> {
        ensure!(!samples.crops.is_empty(), "nothing to measure it on");
        let [exact, other] = networks.map(|bytes| self.network(path, &GENERATOR, bytes));
        let ((mut exact, _), (mut other, _)) = (exact?, other?);
        let mut pictures = [vec![0.0; OUTPUT_LEN], vec![0.0; OUTPUT_LEN]];
        let mut squares = 0.0;
        for (crop, window) in samples.crops.iter().zip(&samples.windows) {
            run_whole(&mut exact, crop, window, &mut pictures[0])?;
            run_whole(&mut other, crop, window, &mut pictures[1])?;
            squares += super::tuned::squared_levels(&pictures[0], &pictures[1]);
        }
        Ok(psnr_db(squares / samples.crops.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::CROP;
    use crate::frame::Picture;
    use crate::infer::onnx::{Hardware, one_runtime};
    use crate::window::WINDOW_LEN;

    /// ONNX Runtime computes f16 on the CPU, too, slowly.
    #[test]
    fn half_precision_is_near_and_is_not_the_same() {
        let loader = Loader {
            runtime: one_runtime(),
            hardware: Hardware::cpu(1),
            threads: 1,
        };
        let mut crop = Picture::new(CROP, CROP);
        for (at, byte) in crop.pixels.iter_mut().enumerate() {
            *byte = (at * 7 % 251) as u8;
        }
        let samples = Samples {
            crops: vec![crop],
            windows: vec![(0..WINDOW_LEN).map(|at| (at as f32).sin()).collect()],
        };
        for path in [
            "models/ada/generator.onnx",
            "tests/golden/models/tiny_generator.onnx",
        ] {
            let path = Path::new(path);
            let bytes = std::fs::read(path).unwrap();
            let half = loader.halved(path, &bytes).unwrap();
            let psnr = loader.nearness(path, [&bytes, &half], &samples).unwrap();
            assert!(
                (NEAR..80.0).contains(&psnr),
                "{}: {psnr} dB",
                path.display()
            );
        }
    }
}
