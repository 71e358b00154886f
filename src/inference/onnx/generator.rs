//! The generator on ONNX Runtime: in parts where that could be made of its file, else as it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;
use ort::session::Session;

use super::network::{InputValues, Network, failure};
use super::parts_cache::{CacheKey, PartsCache};
use super::split_generator::{FeatureCache, GeneratorParts, Names, SplitGenerator};
use super::sub_model::SubModel;
use super::tuner::Tuner;
use super::{Arena, GENERATOR, GENERATOR_OF_BYTES, Loader, OnnxAudioEncoder, Runtime, joined};
use crate::audio::window::WINDOW_LEN;
use crate::face::{self, INPUT_LEN, OUTPUT_LEN};
use crate::inference::kernel::{InstructionSet, int8};
use crate::inference::precision::{CalibrationSamples, Precision, Tuning};
use crate::inference::{Face, Generator};

/// Takes samples of a presenter, of which the audio encoder hears the speech.
pub(crate) type Sampler<'a> = &'a dyn Fn(&mut OnnxAudioEncoder) -> Result<CalibrationSamples>;

/// What may be made of the generator's file.
#[derive(Clone, Copy)]
pub struct TuneOptions<'a> {
    /// How exactly it is to be computed.
    pub precision: Precision,
    /// What networks of less than full precision are fitted to and measured on; without it, all is exact.
    pub samples: Option<Sampler<'a>>,
    /// The folder for what can be made again; nothing is stored without it.
    pub cache: Option<&'a Path>,
}

impl TuneOptions<'_> {
    /// Exact.
    pub const EXACT: Self = Self {
        precision: Precision::Exact,
        samples: None,
        cache: None,
    };
}

/// What generators are started from.
pub(super) enum PreparedGenerator {
    SplitGenerator(PathBuf, GeneratorParts),
    /// The file's model, or what was made of it.
    Whole(PathBuf, Vec<u8>),
    /// The same, but one that takes and gives bytes.
    OfBytes(PathBuf, Vec<u8>),
}

impl Loader<'_> {
    /// Checks the file at `path`, which holds `bytes`, and makes of it what `tune` asks for, or takes that from the user's
    /// cache.
    pub(super) fn made(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        tune: TuneOptions<'_>,
        encoder: &mut OnnxAudioEncoder,
    ) -> Result<(PreparedGenerator, Tuning)> {
        let samples = match tune.samples {
            Some(sampler) if tune.precision != Precision::Exact => sampler(encoder)?,
            _ => CalibrationSamples::default(),
        };
        let store = tune.cache.map(|folder| PartsCache(folder.join("networks")));
        let key = CacheKey::new(&[
            &bytes,
            Runtime::version(&self.runtime.path).as_bytes(),
            format!("{:?}", tune.precision).as_bytes(),
            &samples.digest(),
            // What is made for one kind of processor may be of no use on another that shares the cache.
            format!(
                "{:?} {:?}",
                InstructionSet::best(),
                int8::InstructionSet::best()
            )
            .as_bytes(),
        ]);
        let known = store.as_ref().and_then(|store| store.get(&key));
        let (parts, tuning) = if let Some(known) = known {
            known
        } else {
            // What is tried out on the way must not take memory from what is kept of backgrounds later.
            let loader = Self {
                memory: Arena::System,
                ..*self
            };
            let (whole, _) = loader.network(path, &GENERATOR, &bytes)?;
            let [picture, sound] = whole.input_names();
            let tuner = Tuner {
                loader: &loader,
                path,
                names: Names { picture, sound },
            };
            let made = tuner.tune(whole, &bytes, tune.precision, &samples);
            if let Some(store) = store {
                // Without it, the next run makes it again.
                let _ = store.put(&key, &made);
            }
            made
        };
        let made = match parts {
            Some(parts) => PreparedGenerator::SplitGenerator(path.to_owned(), parts),
            None => PreparedGenerator::Whole(path.to_owned(), bytes),
        };
        Ok((made, tuning))
    }

    /// Starts `count` generators, with what they share.
    pub(super) fn start_generators(
        &self,
        made: &PreparedGenerator,
        count: usize,
    ) -> Result<RunningGenerators> {
        let (path, role, model) = match made {
            PreparedGenerator::SplitGenerator(path, parts) => {
                return self.start_in_parts(path, parts, count);
            }
            PreparedGenerator::Whole(path, model) => (path, &GENERATOR, model),
            PreparedGenerator::OfBytes(path, model) => (path, &GENERATOR_OF_BYTES, model),
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
            Ok(OnnxGenerator(match made {
                PreparedGenerator::OfBytes(..) => Backend::OfBytes {
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
            sight: None,
            left_on_cpu,
        })
    }

    /// All sessions at once: each takes a core a tenth of a second to lay out its weights.
    fn start_in_parts(
        &self,
        path: &Path,
        parts: &GeneratorParts,
        count: usize,
    ) -> Result<RunningGenerators> {
        let joint = SubModel::read(&parts.joint)?;
        let (sight, joints) = thread::scope(|scope| {
            let start = || scope.spawn(|| joint.start(self));
            let joints: Vec<_> = (0..count).map(|_| start()).collect();
            let sight = FeatureCache::new(parts, self);
            let joints: Result<Vec<Session>> = joints.into_iter().map(joined).collect();
            Ok::<_, anyhow::Error>((sight?, joints?))
        })?;
        let sight = Arc::new(Mutex::new(sight));
        let generators = joints.into_iter().map(|joint| {
            let parts = SplitGenerator::new(Arc::clone(&sight), parts.names.clone(), joint);
            OnnxGenerator(Backend::SplitGenerator(path.to_owned(), Box::new(parts)))
        });
        Ok(RunningGenerators {
            generators: generators.collect(),
            sight: Some(sight),
            left_on_cpu: None,
        })
    }
}

/// Generators that are ready to work side by side.
pub(super) struct RunningGenerators {
    pub(super) generators: Vec<OnnxGenerator>,
    /// What they share, if they run in parts.
    pub(super) sight: Option<Arc<Mutex<FeatureCache>>>,
    /// Which operators a GPU leaves to the CPU.
    pub(super) left_on_cpu: Option<String>,
}

/// See [`Generator`].
pub struct OnnxGenerator(Backend);

enum Backend {
    /// Faces one by one; what depends on their backgrounds alone is remembered.
    SplitGenerator(PathBuf, Box<SplitGenerator>),
    /// All at a time.
    Whole {
        network: Box<Network>,
        /// `[n, 6, 320, 320]`.
        input: Vec<f32>,
    },
    /// All at a time, by a network that takes and gives bytes.
    OfBytes {
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
            Backend::SplitGenerator(path, parts) => {
                let windows = audio.chunks_exact(WINDOW_LEN);
                let pictures = output.chunks_exact_mut(OUTPUT_LEN);
                for ((face, window), picture) in faces.iter().zip(windows).zip(pictures) {
                    let painted = parts.paint(face.crop, window, picture);
                    painted.map_err(|e| failure(path, &e))?;
                }
                Ok(())
            }
            Backend::Whole { network, input } => {
                input.resize(faces.len() * INPUT_LEN, 0.0);
                for (face, input) in faces.iter().zip(input.chunks_exact_mut(INPUT_LEN)) {
                    face::network_input(face.crop, input);
                }
                let given = [InputValues::Floats(input), InputValues::Floats(audio)];
                network.run(faces.len(), &given, output)
            }
            Backend::OfBytes {
                network,
                crops,
                levels,
            } => {
                crops.clear();
                for face in faces {
                    crops.extend_from_slice(&face.crop.pixels);
                }
                levels.resize(output.len(), 0);
                let given = [InputValues::Bytes(crops), InputValues::Floats(audio)];
                network.run(faces.len(), &given, levels)?;
                for (value, level) in output.iter_mut().zip(levels) {
                    // The middle of what was truncated to this level: truncated again, it is the level.
                    *value = (f32::from(*level) + 0.5) / 255.0;
                }
                Ok(())
            }
        }
    }
}
