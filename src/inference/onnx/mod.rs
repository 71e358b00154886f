//! The networks on ONNX Runtime.

mod arena;
mod assignment;
mod baseline;
pub(crate) mod cuda;
mod cuda_unavailable;
mod device;
mod generator;
mod gpu;
mod network;
mod operators;
mod parts_cache;
pub(crate) mod probe;
mod split_generator;
mod sub_model;
mod tuner;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use anyhow::Result;
use ort::environment::Environment;
use ort::ep::{CPU, CUDA, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::halving::{BatchHalving, BatchLimit, is_out_of_memory};
use super::precision::Tuning;
use super::{AudioEncoder, Face, Generator};
use crate::audio::mel::BANDS;
use crate::audio::window::{BLOCK_FRAMES, EMBEDDING_LEN, WINDOW_LEN};
use crate::error::Fault;
use crate::face::{CROP, INNER, OUTPUT_LEN};
use crate::image::Picture;
use crate::inference::graph::bytes;
use crate::inference::threads::{GENERATORS_A_GPU, ThreadBudget, give_memory_back};
use assignment::Assignment;
pub use baseline::BaselineGenerator;
pub(crate) use cuda_unavailable::CudaUnavailable;
pub use device::Hardware;
pub(crate) use device::{Device, Gpu, Placement};
pub(crate) use generator::OnnxGenerator;
use generator::RunningGenerators;
pub use generator::TuneOptions;
use network::{InputValues, Network, TensorSpec};
use split_generator::FeatureCache;
pub use split_generator::FeatureLimits;

/// ONNX Runtime's library, loaded. One a process.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    cuda: OnceLock<Result<(), CudaUnavailable>>,
}

impl Runtime {
    /// Loads the shared library at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let fault = || {
            Fault::machine(format!("cannot load ONNX Runtime from `{}`", path.display()))
                .hint("run scripts/demo.sh, which puts the right one in place, or set ORT_DYLIB_PATH to a libonnxruntime.so of version 1.24 or newer")
        };
        // ort hides why the loader failed; the loader itself says it.
        if let Err(error) = ort::util::preload_dylib(path) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return Err(fault()
                .because(cause.unwrap_or_else(|| error.to_string()))
                .into());
        }
        let environment = ort::init_from(path)
            .map_err(|e| fault().because(e))?
            .with_name("lipsync")
            .with_telemetry(false)
            // What matters comes back as an error; the rest would break the progress bar.
            .with_logger(Arc::new(|_, _, _, _, _| ()))
            .build()
            .map_err(|e| fault().because(e))?;
        arena::share(&environment).map_err(|e| fault().because(e))?;
        Ok(Self {
            environment,
            path: path.to_owned(),
            cuda: OnceLock::new(),
        })
    }

    /// The version of the library at `path`, such as 1.24; what cannot be told is `?`.
    pub fn version(path: &Path) -> String {
        let minor = ort::util::probe(path).map(|minor| minor.to_string());
        format!("1.{}", minor.as_deref().unwrap_or("?"))
    }

    /// Of CUDA and the CPU, where this build could run networks; whether the machine has it is another question.
    pub fn providers(&self) -> Vec<&'static str> {
        if CUDA::is_available().unwrap_or(false) {
            vec!["CUDA", "CPU"]
        } else {
            vec!["CPU"]
        }
    }

    /// Loads CUDA's libraries once, or tells what is in the way.
    fn cuda(&self) -> Result<(), CudaUnavailable> {
        self.cuda.get_or_init(|| cuda::prepare(&self.path)).clone()
    }
}

/// Both networks of a model, loaded and checked.
pub struct Networks {
    /// Sound to embeddings.
    pub encoder: OnnxAudioEncoder,
    /// Picture and sound to picture: as many of the same as are to work side by side.
    pub generators: Vec<BatchHalving<OnnxGenerator>>,
    /// What they share, if they run in parts.
    sight: Option<Arc<Mutex<FeatureCache>>>,
    /// How many frames at a time they have the memory for.
    pub batch_limit: BatchLimit,
    /// What was made of the generator.
    pub tuning: Tuning,
    /// Where they run.
    pub placement: Placement,
}

impl Networks {
    /// Loads `audio_encoder` and `generator`.
    pub fn load(
        runtime: &Runtime,
        audio_encoder: &Path,
        generator: &Path,
        hardware: Hardware,
        tune: TuneOptions<'_>,
    ) -> Result<Self> {
        let mut loader = Loader {
            runtime,
            hardware,
            threads: 1,
            memory: Arena::Shared,
        };
        let encoder_bytes = hardware.gpu_bytes.map(|bytes| bytes / ENCODER_PART);
        loader.hardware.gpu_bytes = encoder_bytes;
        // The one is read while the other starts.
        let (bytes, started) = thread::scope(|scope| {
            let bytes = scope.spawn(|| read(generator, &GENERATOR));
            let started = loader.load(audio_encoder, &AUDIO_ENCODER);
            (joined(bytes), started)
        });
        let (encoder, placement) = started?;
        let bytes = bytes?;
        let mut encoder = OnnxAudioEncoder(encoder);
        // What was left open is decided by now, for all of them. The audio encoder has the first GPU.
        let gpus = if placement.on_cpu() {
            loader.hardware.device = Device::Cpu;
            Vec::new()
        } else {
            hardware.wanted_gpus()
        };
        let budget = ThreadBudget::new(hardware.threads, gpus.len());
        loader.threads = budget.threads_each;
        let rest = hardware
            .gpu_bytes
            .zip(encoder_bytes)
            .map(|(all, e)| all - e);
        loader.hardware.gpu_bytes = rest.map(|bytes| bytes / GENERATORS_A_GPU);
        let batch_limit = BatchLimit::default();
        let (made, tuning) = if placement.on_cpu() {
            loader.made(generator, bytes, tune, &mut encoder)?
        } else {
            loader.made_for_gpu(generator, bytes, tune, &mut encoder)
        };
        let RunningGenerators {
            generators,
            sight,
            left_on_cpu,
        } = loader.start_generators(&made, budget.generators)?;
        drop(made);
        // What loading took, up to a hundred MB.
        give_memory_back();
        let generators = generators
            .into_iter()
            .map(|generator| BatchHalving::new(generator, batch_limit.clone()))
            .collect();
        Ok(Self {
            encoder,
            generators,
            sight,
            batch_limit,
            tuning,
            placement: Placement {
                gpus,
                left_on_cpu,
                ..placement
            },
        })
    }

    /// Whether something of each background can be kept.
    pub fn has_features(&self) -> bool {
        self.sight.is_some()
    }

    /// What is kept of backgrounds, apart from the networks that share it.
    pub fn features(&self) -> SharedFeatures {
        SharedFeatures(self.sight.clone())
    }

    /// Lets the generators paint a batch of `batch` black faces each: the first one costs more than the others, as memory
    /// is taken and, on a GPU, kernels are chosen. One that has no memory left beside the others goes.
    pub fn warm_up(&mut self, batch: usize) -> Result<()> {
        // One of them looks at the black face, for all.
        self.features().keep(FeatureLimits {
            bytes: usize::MAX,
            backgrounds: 1,
        });
        let crop = Picture::new(CROP, CROP);
        let black = Face { crop: &crop };
        let black = vec![black; batch];
        let audio = vec![0.0; batch * WINDOW_LEN];
        // All at once, as they will work: then their memory is what they will take.
        let ends: Vec<Result<()>> = thread::scope(|scope| {
            let paint = |generator: &mut BatchHalving<OnnxGenerator>| {
                let mut output = vec![0.0; batch * OUTPUT_LEN];
                generator.generate(&black, &audio, &mut output)
            };
            let threads: Vec<_> = (self.generators.iter_mut())
                .map(|generator| scope.spawn(move || paint(generator)))
                .collect();
            threads.into_iter().map(joined).collect()
        });
        for (turn, end) in ends.into_iter().enumerate() {
            match end {
                Err(error) if turn > 0 && is_out_of_memory(&error) => {
                    self.generators.truncate(turn);
                    break;
                }
                done => done?,
            }
        }
        self.features().keep(FeatureLimits::default());
        Ok(())
    }
}

/// What generators keep of backgrounds, in memory that is shared out while they work.
#[derive(Clone)]
pub struct SharedFeatures(Option<Arc<Mutex<FeatureCache>>>);

impl SharedFeatures {
    fn sight(&self) -> Option<MutexGuard<'_, FeatureCache>> {
        let sight = self.0.as_ref()?;
        Some(sight.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on so much may be kept.
    pub fn keep(&self, keep: FeatureLimits) {
        if let Some(mut sight) = self.sight() {
            sight.keep(keep);
        }
    }

    /// Memory that what is kept takes, bytes.
    pub fn bytes(&self) -> usize {
        self.sight().map_or(0, |sight| sight.kept_bytes())
    }

    /// Lets all that is kept go.
    pub fn forget(&self) {
        if let Some(mut sight) = self.sight() {
            sight.forget();
        }
    }
}

/// Of the GPU memory that the networks may use, the audio encoder gets this part.
const ENCODER_PART: usize = 8;

/// See [`AudioEncoder`].
pub struct OnnxAudioEncoder(Network);

impl AudioEncoder for OnnxAudioEncoder {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        self.0
            .run(count, &[InputValues::Floats(blocks)], embeddings)
    }
}

/// A network's part in a model: what it takes and gives.
struct NetworkRole {
    name: &'static str,
    inputs: &'static [TensorSpec<'static>],
    output: TensorSpec<'static>,
}

const AUDIO_ENCODER: NetworkRole = NetworkRole {
    name: "audio encoder",
    inputs: &[TensorSpec::floats(
        "mel",
        &[1, BANDS as i64, BLOCK_FRAMES as i64],
    )],
    output: TensorSpec::floats("emb", &[EMBEDDING_LEN as i64]),
};

const GENERATOR: NetworkRole = NetworkRole {
    name: "generator",
    inputs: &[
        TensorSpec::floats("input", &[6, INNER as i64, INNER as i64]),
        WINDOWS,
    ],
    output: TensorSpec::floats("output", &[3, INNER as i64, INNER as i64]),
};

/// A generator that takes and gives bytes ([`crate::inference::graph::bytes`]).
const GENERATOR_OF_BYTES: NetworkRole = NetworkRole {
    name: "generator",
    inputs: &[
        TensorSpec::bytes(bytes::CROPS, &[CROP as i64, CROP as i64, 3]),
        WINDOWS,
    ],
    output: TensorSpec::bytes(bytes::PICTURES, &[3, INNER as i64, INNER as i64]),
};

const WINDOWS: TensorSpec<'_> = TensorSpec::floats("audio", &[32, 16, 16]);

/// ONNX Runtime's name for the folder of weights outside the file (onnxruntime_session_options_config_keys.h).
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// How networks are loaded; of several GPUs, on the first.
#[derive(Clone, Copy)]
struct Loader<'a> {
    runtime: &'a Runtime,
    hardware: Hardware,
    /// CPU threads of each network.
    threads: usize,
    /// Where networks on the CPU work.
    memory: Arena,
}

/// Where networks on the CPU allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arena {
    /// In one arena for all of them.
    Shared,
    /// From the system, returned after each run: for networks that are only tried out.
    System,
}

impl Loader<'_> {
    fn load(&self, path: &Path, role: &NetworkRole) -> Result<(Network, Placement)> {
        self.network(path, role, &read(path, role)?)
    }

    /// The network of the file at `path`, which holds `bytes`.
    fn network(
        &self,
        path: &Path,
        role: &NetworkRole,
        bytes: &[u8],
    ) -> Result<(Network, Placement)> {
        let NetworkRole {
            name,
            inputs,
            output,
        } = *role;
        let (session, placement) = self.session(path, bytes, || {
            Fault::failed(format!("cannot load {name} `{}`", path.display()))
        })?;
        let gpu = placement.gpus.first().copied();
        let network = Network::new(path, name, session, inputs, output, gpu)?;
        Ok((network, placement))
    }

    /// Starts the network of the file at `path`, which holds `bytes`.
    fn session(
        &self,
        path: &Path,
        bytes: &[u8],
        fault: impl Fn() -> Fault,
    ) -> Result<(Session, Placement)> {
        let file_fault = |error: &ort::Error| {
            let cause = first_line(error);
            let hint = if cause.contains("External data") {
                "a network's weights are read from its own file or folder, and from nowhere else; export it as one file"
            } else {
                "the file is not an ONNX network, or is damaged; export or copy it again"
            };
            fault().because(cause).hint(hint)
        };
        let on_cpu = || self.start(path, bytes, None).map_err(|e| file_fault(&e));
        let Some(&gpu) = self.hardware.wanted_gpus().first() else {
            return Ok((on_cpu()?, Placement::cpu(None)));
        };
        let started = self.runtime.cuda().and_then(|()| {
            let session = self.start(path, bytes, Some(gpu));
            session.map_err(|e| CudaUnavailable::of(&e.to_string(), cuda::is_there))
        });
        match started {
            Ok(session) => {
                let placement = Placement {
                    gpus: vec![gpu],
                    obstacle: None,
                    left_on_cpu: Assignment::of(&session)?.left_on_cpu(),
                };
                Ok((session, placement))
            }
            Err(obstacle) if self.hardware.device == Device::Auto => {
                Ok((on_cpu()?, Placement::cpu(Some(obstacle))))
            }
            Err(obstacle) => {
                // A file that the CPU cannot run either is what is wrong.
                if obstacle.is_unknown() {
                    on_cpu()?;
                }
                Err(Fault::machine(format!("{gpu} cannot be used"))
                    .hint(format!("{}; or leave --device out", obstacle.remedy()))
                    .because(obstacle)
                    .into())
            }
        }
    }

    fn start(&self, path: &Path, bytes: &[u8], gpu: Option<Gpu>) -> ort::Result<Session> {
        let mut builder = self.builder()?;
        if let Some(gpu) = gpu {
            builder = builder.with_config_entry(assignment::RECORD, "1")?;
            cuda::register(&mut builder, gpu, self.hardware.gpu_bytes)?;
        }
        commit(builder, path, bytes)
    }

    fn builder(&self) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.runtime.environment)?
            .with_intra_threads(self.threads)?
            .with_deterministic_compute(self.hardware.deterministic)?
            // Spinning threads would take the cores from the encoder and the compositor.
            .with_intra_op_spinning(false)?;
        Ok(match self.memory {
            Arena::Shared => builder.with_env_allocators()?,
            Arena::System => {
                let cpu = CPU::default().with_arena_allocator(false).build();
                builder.with_execution_providers([cpu.error_on_failure()])?
            }
        })
    }
}

/// What a thread of the networks came to.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let panicked = |_| Err(Fault::failed("a network's thread panicked").into());
    thread.join().unwrap_or_else(panicked)
}

fn read(path: &Path, role: &NetworkRole) -> Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|e| {
        Fault::failed(format!("cannot read {} `{}`", role.name, path.display()))
            .because(crate::error::plain_io(&e))
    })?)
}

/// Starts the network of the file at `path`, which holds `bytes`.
fn commit(builder: SessionBuilder, path: &Path, bytes: &[u8]) -> ort::Result<Session> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Weights that the file keeps outside itself are read from its own folder and from nowhere else; without this
    // they would be read from the current one.
    let session = builder
        .with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())?
        .commit_from_memory(bytes)?;
    Ok(session)
}

/// ONNX Runtime's messages run over many lines, with source paths of its own build; the first says what is wrong.
fn first_line<T>(error: &ort::Error<T>) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim().trim_end_matches('.').to_owned()
}

/// The runtime of all unit tests: a second one in the process would take the first one's environment with it.
#[cfg(test)]
fn one_runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(&crate::assets::runtime_library().unwrap()).unwrap())
}
