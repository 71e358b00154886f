//! The networks on ONNX Runtime.

mod device;
mod network;
mod plain;
pub mod probe;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::{AudioEncoder, Face, Generator};
use crate::budget::Budget;
use crate::error::Fault;
use crate::face::{self, INNER, INPUT_LEN};
use crate::mel::BANDS;
use crate::window::{BLOCK_FRAMES, EMBEDDING_LEN};
pub use device::{Device, Hardware, Placement};
use network::{Network, Slot};
pub use plain::PlainGenerator;

/// ONNX Runtime's library, loaded. One a process.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
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
        Ok(Self { environment })
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
}

/// Both networks of a model, loaded and checked.
pub struct Networks {
    /// Sound to embeddings.
    pub encoder: OnnxAudioEncoder,
    /// Picture and sound to picture: as many of the same as are to work side by side.
    pub generators: Vec<OnnxGenerator>,
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
    ) -> Result<Self> {
        let mut loader = Loader {
            runtime,
            hardware,
            threads: 1,
        };
        let (encoder, placement) = loader.load(audio_encoder, &AUDIO_ENCODER)?;
        let budget = Budget::new(hardware.threads, placement.on_cpu());
        loader.threads = budget.threads_each;
        let generators = (0..budget.generators)
            .map(|_| {
                let (network, _) = loader.load(generator, &GENERATOR)?;
                Ok(OnnxGenerator {
                    network,
                    input: Vec::new(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            encoder: OnnxAudioEncoder(encoder),
            generators,
            placement,
        })
    }
}

/// See [`AudioEncoder`].
pub struct OnnxAudioEncoder(Network);

impl AudioEncoder for OnnxAudioEncoder {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        self.0.run(count, &[blocks], embeddings)
    }
}

/// See [`Generator`].
pub struct OnnxGenerator {
    network: Network,
    /// `[n, 6, 320, 320]`.
    input: Vec<f32>,
}

impl Generator for OnnxGenerator {
    fn generate(&mut self, faces: &[Face<'_>], audio: &[f32], output: &mut [f32]) -> Result<()> {
        self.input.resize(faces.len() * INPUT_LEN, 0.0);
        for (face, input) in faces.iter().zip(self.input.chunks_exact_mut(INPUT_LEN)) {
            face::network_input(face.crop, input);
        }
        self.network.run(faces.len(), &[&self.input, audio], output)
    }
}

/// A network's part in a model: what it takes and gives.
struct Role {
    name: &'static str,
    inputs: &'static [Slot<'static>],
    output: Slot<'static>,
}

const AUDIO_ENCODER: Role = Role {
    name: "audio encoder",
    inputs: &[("mel", &[1, BANDS as i64, BLOCK_FRAMES as i64])],
    output: ("emb", &[EMBEDDING_LEN as i64]),
};

const GENERATOR: Role = Role {
    name: "generator",
    inputs: &[
        ("input", &[6, INNER as i64, INNER as i64]),
        ("audio", &[32, 16, 16]),
    ],
    output: ("output", &[3, INNER as i64, INNER as i64]),
};

/// ONNX Runtime's name for the folder of weights outside the file (onnxruntime_session_options_config_keys.h).
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// How networks are loaded.
struct Loader<'a> {
    runtime: &'a Runtime,
    hardware: Hardware,
    /// CPU threads of each network.
    threads: usize,
}

impl Loader<'_> {
    fn load(&self, path: &Path, role: &Role) -> Result<(Network, Placement)> {
        let Role {
            name,
            inputs,
            output,
        } = *role;
        let bytes = std::fs::read(path).map_err(|e| {
            Fault::failed(format!("cannot read {name} `{}`", path.display()))
                .because(crate::error::plain_io(&e))
        })?;
        let (session, placement) = self.session(path, &bytes, || {
            Fault::failed(format!("cannot load {name} `{}`", path.display()))
        })?;
        let network = Network::new(path, name, session, inputs, output)?;
        Ok((network, placement))
    }

    /// Starts the network of the file at `path`, which holds `bytes`.
    fn session(
        &self,
        path: &Path,
        bytes: &[u8],
        fault: impl Fn() -> Fault,
    ) -> Result<(Session, Placement)> {
        let (builder, placement) = self.builder()?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Weights that the file keeps outside itself are read from its own folder and from nowhere else; without this
        // they would be read from the current one.
        let session = builder
            .with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())
            .map_err(ort::Error::<()>::from)?
            .commit_from_memory(bytes)
            .map_err(|e| {
                let cause = first_line(&e);
                let hint = if cause.contains("External data") {
                    "a network's weights are read from its own file or folder, and from nowhere else; export it as one file"
                } else {
                    "the file is not an ONNX network, or is damaged; export or copy it again"
                };
                fault().because(cause).hint(hint)
            })?;
        Ok((session, placement))
    }

    fn builder(&self) -> Result<(SessionBuilder, Placement)> {
        let hardware = self.hardware;
        let mut builder = Session::builder(&self.runtime.environment)?
            .with_intra_threads(self.threads)
            .map_err(ort::Error::<()>::from)?
            .with_deterministic_compute(hardware.deterministic)
            .map_err(ort::Error::<()>::from)?
            // Spinning threads would take the cores from the encoder and the compositor.
            .with_intra_op_spinning(false)
            .map_err(ort::Error::<()>::from)?;
        let cuda = match hardware.device {
            Device::Cpu => None,
            Device::Auto | Device::Cuda(None) => Some(hardware.gpu),
            Device::Cuda(Some(id)) => Some(id),
        };
        let mut placement = Placement {
            device: "CPU".into(),
            reason: None,
        };
        if let Some(id) = cuda {
            let mut cuda = CUDA::default().with_device_id(id);
            if let Some(bytes) = hardware.gpu_bytes {
                cuda = cuda.with_memory_limit(bytes);
            }
            match cuda.register(&mut builder) {
                Ok(()) => placement.device = format!("CUDA:{id}"),
                Err(error) if hardware.device == Device::Auto => {
                    placement.reason = Some(format!("CUDA cannot be used: {}", first_line(&error)));
                }
                Err(error) => {
                    return Err(Fault::machine(format!("CUDA device {id} cannot be used"))
                        .because(first_line(&error))
                        .hint("set ORT_DYLIB_PATH to an ONNX Runtime with CUDA (Python package onnxruntime-gpu), check the driver with nvidia-smi, or leave --device out")
                        .into());
                }
            }
        }
        Ok((builder, placement))
    }
}

/// ONNX Runtime's messages run over many lines, with source paths of its own build; the first says what is wrong.
fn first_line<T>(error: &ort::Error<T>) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim().trim_end_matches('.').to_owned()
}
