//! The generator on ONNX Runtime: in parts where its file could be split, else whole.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;
use ort::session::Session;

use super::feature_cache::FeatureCache;
use super::loader::{Loader, join};
use super::network::{InputValues, Network, network_fault};
use super::parts::GeneratorParts;
use super::prepare::PreparedGenerator;
use super::roles::{BYTE_GENERATOR, GENERATOR};
use super::split_generator::SplitGenerator;
use super::sub_model::SubModel;
use crate::audio::window::WINDOW_LEN;
use crate::face::{self, INPUT_LEN, OUTPUT_LEN};
use crate::inference::generator::{Face, Generator};
use crate::inference::threads;

impl Loader<'_> {
    /// Starts `count` generators, with what they share.
    pub(super) fn start_generators(
        &self,
        prepared: &PreparedGenerator,
        count: usize,
    ) -> Result<RunningGenerators> {
        let (path, role, model) = match prepared {
            PreparedGenerator::Split(path, parts) => {
                return self.start_split_generators(path, parts, count);
            }
            PreparedGenerator::Whole(path, model) => (path, &GENERATOR, model),
            PreparedGenerator::Bytes(path, model) => (path, &BYTE_GENERATOR, model),
        };
        let mut left_on_cpu = None;
        let generators = (0..count).map(|turn| {
            let loader = Self {
                hardware: self.hardware.on_gpu_of(turn),
                ..*self
            };
            let (network, placement) = loader.network(path, role, model)?;
            left_on_cpu = placement.left_on_cpu;
            let network = Box::new(network);
            Ok(OnnxGenerator(match prepared {
                PreparedGenerator::Bytes(..) => Backend::Bytes {
                    network,
                    crops: Vec::new(),
                    levels: Vec::new(),
                },
                _ => Backend::Whole {
                    network,
                    input: Vec::new(),
                },
            }))
        });
        Ok(RunningGenerators {
            generators: generators.collect::<Result<_>>()?,
            features: None,
            left_on_cpu,
        })
    }

    /// Starts all sessions at once: each takes a core for a tenth of a second to lay out its weights.
    fn start_split_generators(
        &self,
        path: &Path,
        parts: &GeneratorParts,
        count: usize,
    ) -> Result<RunningGenerators> {
        let joint = SubModel::read(&parts.joint)?;
        let (features, joints) = thread::scope(|scope| {
            let start = || threads::start(scope, || joint.start(self));
            let joints: Vec<_> = (0..count).map(|_| start()).collect();
            let features = FeatureCache::new(parts, self);
            let joints: Result<Vec<Session>> =
                joints.into_iter().map(|thread| join(thread?)).collect();
            Ok::<_, anyhow::Error>((features?, joints?))
        })?;
        let features = Arc::new(Mutex::new(features));
        let generators = joints.into_iter().map(|joint| {
            let split = SplitGenerator::new(Arc::clone(&features), parts.inputs.clone(), joint);
            OnnxGenerator(Backend::Split(path.to_owned(), Box::new(split)))
        });
        Ok(RunningGenerators {
            generators: generators.collect(),
            features: Some(features),
            left_on_cpu: None,
        })
    }
}

/// Generators that work side by side.
pub(super) struct RunningGenerators {
    pub(super) generators: Vec<OnnxGenerator>,
    /// The features that they share, if they run in parts.
    pub(super) features: Option<Arc<Mutex<FeatureCache>>>,
    /// Operators that a GPU leaves to the CPU.
    pub(super) left_on_cpu: Option<String>,
}

/// See [`Generator`].
pub struct OnnxGenerator(Backend);

enum Backend {
    /// One face at a time; the features of their backgrounds are cached.
    Split(PathBuf, Box<SplitGenerator>),
    /// All faces at once.
    Whole {
        network: Box<Network>,
        /// `[n, 6, 320, 320]`.
        input: Vec<f32>,
    },
    /// All faces at once, by a network with bytes in and out.
    Bytes {
        network: Box<Network>,
        /// `[n, 328, 328, 3]`, R G B.
        crops: Vec<u8>,
        /// `[n, 3, 320, 320]`, B G R.
        levels: Vec<u8>,
    },
}

impl Generator for OnnxGenerator {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        match &mut self.0 {
            Backend::Split(path, split) => {
                let windows = audio.chunks_exact(WINDOW_LEN);
                let pictures = output.chunks_exact_mut(OUTPUT_LEN);
                for (n, ((face, window), picture)) in
                    faces.iter().zip(windows).zip(pictures).enumerate()
                {
                    let painted = split.paint(face.crop, window, picture);
                    painted.map_err(|e| network_fault(path, n, &e))?;
                }
                Ok(())
            }
            Backend::Whole { network, input } => {
                input.resize(faces.len() * INPUT_LEN, 0.0);
                for (face, input) in faces.iter().zip(input.chunks_exact_mut(INPUT_LEN)) {
                    face::network_input(face.crop, input);
                }
                let inputs = [InputValues::Floats(input), InputValues::Floats(audio)];
                network.run(faces.len(), &inputs, output)
            }
            Backend::Bytes {
                network,
                crops,
                levels,
            } => {
                crops.clear();
                for face in faces {
                    crops.extend_from_slice(&face.crop.pixels);
                }
                levels.resize(output.len(), 0);
                let inputs = [InputValues::Bytes(crops), InputValues::Floats(audio)];
                network.run(faces.len(), &inputs, levels)?;
                for (value, level) in output.iter_mut().zip(levels) {
                    // The middle of the values that truncate to this level, so that it truncates to it again.
                    *value = (f32::from(*level) + 0.5) / 255.0;
                }
                Ok(())
            }
        }
    }
}
