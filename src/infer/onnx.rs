//! The networks on ONNX Runtime.

pub mod probe;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::memory::Allocator;
use ort::session::builder::SessionBuilder;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::{AudioEncoder, Generator};
use crate::error::Fault;
use crate::face::INNER;
use crate::mel::BANDS;
use crate::window::{BLOCK_FRAMES, EMBEDDING_LEN};

/// Where the networks are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// CUDA where it can be used, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA or an error: on the device of this number, or on [`Hardware::gpu`].
    Cuda(Option<i32>),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse::<u16>().ok())
                .map(|n| Self::Cuda(Some(i32::from(n))))
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into()),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(id)) => write!(f, "cuda:{id}"),
        }
    }
}

/// What the networks may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// CPU or GPU.
    pub device: Device,
    /// Number of the GPU where the device leaves it open.
    pub gpu: i32,
    /// Memory for each network on the GPU, bytes; all of it if none.
    pub gpu_bytes: Option<usize>,
    /// CPU threads.
    pub threads: usize,
    /// Whether results must be the same to the bit on every run.
    pub deterministic: bool,
}

impl Hardware {
    /// The CPU with so many threads.
    pub fn cpu(threads: usize) -> Self {
        Self {
            device: Device::Cpu,
            gpu: 0,
            gpu_bytes: None,
            threads,
            deterministic: false,
        }
    }
}

/// Where the networks really run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `CPU`, `CUDA:0`, ..
    pub device: String,
    /// Why not somewhere better, if that was left open.
    pub reason: Option<String>,
}

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
    /// Picture and sound to picture.
    pub generator: OnnxGenerator,
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
        let loader = Loader { runtime, hardware };
        let (encoder, _) = loader.load(
            audio_encoder,
            AUDIO_ENCODER.name,
            AUDIO_ENCODER.inputs,
            AUDIO_ENCODER.output,
        )?;
        let (generator, placement) = loader.load(
            generator,
            GENERATOR.name,
            GENERATOR.inputs,
            GENERATOR.output,
        )?;
        Ok(Self {
            encoder: OnnxAudioEncoder(encoder),
            generator: OnnxGenerator(generator),
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
pub struct OnnxGenerator(Network);

impl Generator for OnnxGenerator {
    fn generate(
        &mut self,
        count: usize,
        input: &[f32],
        audio: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        self.0.run(count, &[input, audio], output)
    }
}

/// A tensor that a network takes or gives: its usual name, and its shape without the batch.
type Slot<'a> = (&'a str, &'a [i64]);

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
}

impl Loader<'_> {
    fn load(
        &self,
        path: &Path,
        role: &str,
        inputs: &[Slot<'_>],
        output: Slot<'_>,
    ) -> Result<(Network, Placement)> {
        let bytes = std::fs::read(path).map_err(|e| {
            Fault::failed(format!("cannot read {role} `{}`", path.display()))
                .because(crate::error::plain_io(&e))
        })?;
        let (session, placement) = self.session(path, &bytes, || {
            Fault::failed(format!("cannot load {role} `{}`", path.display()))
        })?;
        Ok((
            Network::new(path, role, session, inputs, output)?,
            placement,
        ))
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
            .with_intra_threads(hardware.threads)
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

/// What ONNX Runtime and CUDA say where there is not enough memory.
const OUT_OF_MEMORY: [&str; 4] = [
    "Failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
];

/// A session with its tensors' names, and memory for one batch size at a time.
struct Network {
    path: PathBuf,
    session: Session,
    inputs: Vec<Port>,
    output: Port,
    /// The batch size the file insists on.
    fixed_batch: Option<usize>,
    bound: Option<Bound>,
}

/// A tensor of the file: its name there, and its shape without the batch.
struct Port {
    name: String,
    shape: Vec<i64>,
}

impl Port {
    fn len(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    fn tensor(&self, batch: usize) -> Result<Tensor<f32>> {
        let shape: Vec<i64> = std::iter::once(batch as i64)
            .chain(self.shape.iter().copied())
            .collect();
        Ok(Tensor::new(&Allocator::default(), shape)?)
    }
}

/// Memory that stays between runs.
struct Bound {
    batch: usize,
    inputs: Vec<Tensor<f32>>,
    binding: IoBinding,
}

impl Network {
    fn new(
        path: &Path,
        role: &str,
        session: Session,
        inputs: &[Slot<'_>],
        output: Slot<'_>,
    ) -> Result<Self> {
        let mut free: Vec<&Outlet> = session.inputs().iter().collect();
        let found: Option<Vec<Port>> = inputs.iter().map(|slot| choose(&mut free, slot)).collect();
        let found_output = choose(&mut session.outputs().iter().collect(), &output);
        let (Some(ports), Some(output_port), true) = (found, found_output, free.is_empty()) else {
            return Err(Fault::failed(format!("`{}` cannot serve as {role}", path.display()))
                .because(format!(
                    "expected {} -> {}",
                    inputs.iter().map(describe_slot).collect::<Vec<_>>().join(", "),
                    describe_slot(&output)
                ))
                .hint(format!(
                    "the file has {} -> {}; give a model of the 328 family (README, \"Models\")",
                    describe_outlets(session.inputs()),
                    describe_outlets(session.outputs())
                ))
                .into());
        };
        let batches = session
            .inputs()
            .iter()
            .filter_map(|outlet| dimensions(outlet)?.first().copied());
        let fixed_batch = batches.max().filter(|&n| n > 0).map(|n| n as usize);
        Ok(Self {
            path: path.to_owned(),
            session,
            inputs: ports,
            output: output_port,
            fixed_batch,
            bound: None,
        })
    }

    /// Runs `count` items; where the file has a fixed batch, in pieces of it, the last one filled with zeros.
    fn run(&mut self, count: usize, inputs: &[&[f32]], output: &mut [f32]) -> Result<()> {
        let batch = self.fixed_batch.unwrap_or(count);
        for start in (0..count).step_by(batch) {
            self.run_piece(batch, start..count.min(start + batch), inputs, output)
                .map_err(|e| self.failed(&e))?;
        }
        Ok(())
    }

    /// What a run's error means to the user.
    fn failed(&self, error: &anyhow::Error) -> Fault {
        let message = format!("network `{}` failed", self.path.display());
        let text = error.to_string();
        let cause = text.lines().next().unwrap_or_default().trim().to_owned();
        if OUT_OF_MEMORY.iter().any(|words| text.contains(words)) {
            Fault::machine(message)
                .because(cause)
                .hint("there is not enough memory: try --batch 1, or close what else uses it")
        } else {
            Fault::failed(message).because(cause)
        }
    }

    fn run_piece(
        &mut self,
        batch: usize,
        items: std::ops::Range<usize>,
        inputs: &[&[f32]],
        output: &mut [f32],
    ) -> Result<()> {
        let mut bound = match self.bound.take() {
            Some(bound) if bound.batch == batch => bound,
            _ => self.bind(batch)?,
        };
        for ((port, tensor), data) in self.inputs.iter().zip(&mut bound.inputs).zip(inputs) {
            let data = &data[items.start * port.len()..items.end * port.len()];
            let (filled, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
            filled.copy_from_slice(data);
            rest.fill(0.0);
            // A CUDA session copies its input at this moment.
            bound.binding.bind_input(&port.name, tensor)?;
        }
        let outputs = self.session.run_binding(&bound.binding)?;
        let (_, values) = outputs[self.output.name.as_str()].try_extract_tensor::<f32>()?;
        let target = &mut output[items.start * self.output.len()..items.end * self.output.len()];
        target.copy_from_slice(&values[..target.len()]);
        drop(outputs);
        self.bound = Some(bound);
        Ok(())
    }

    fn bind(&self, batch: usize) -> Result<Bound> {
        let mut binding = self.session.create_binding()?;
        binding.bind_output(&self.output.name, self.output.tensor(batch)?)?;
        Ok(Bound {
            batch,
            inputs: self
                .inputs
                .iter()
                .map(|port| port.tensor(batch))
                .collect::<Result<_>>()?,
            binding,
        })
    }
}

/// Takes the outlet with the slot's shape out of those still free: the one of the usual name if it fits, else the first
/// that does.
fn choose(free: &mut Vec<&Outlet>, slot: &Slot<'_>) -> Option<Port> {
    let fits = |outlet: &Outlet| shape_fits(outlet, slot.1);
    let at = free
        .iter()
        .position(|o| o.name() == slot.0 && fits(o))
        .or_else(|| free.iter().position(|o| fits(o)))?;
    Some(Port {
        name: free.remove(at).name().to_owned(),
        shape: slot.1.to_vec(),
    })
}

fn shape_fits(outlet: &Outlet, wanted: &[i64]) -> bool {
    let is_f32 = matches!(
        outlet.dtype(),
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            ..
        }
    );
    is_f32
        && dimensions(outlet).is_some_and(|dims| {
            dims.len() == wanted.len() + 1
                && dims[1..]
                    .iter()
                    .zip(wanted)
                    .all(|(have, want)| *have == -1 || have == want)
        })
}

/// The outlet's shape with its batch axis, -1 where free.
fn dimensions(outlet: &Outlet) -> Option<Vec<i64>> {
    match outlet.dtype() {
        ValueType::Tensor { shape, .. } => Some(shape.to_vec()),
        _ => None,
    }
}

fn describe_slot((name, shape): &Slot<'_>) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("{name} float32 [N, {}]", dims.join(", "))
}

fn describe_outlets(outlets: &[Outlet]) -> String {
    let one = |outlet: &Outlet| match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let dims: Vec<String> = shape
                .iter()
                .map(|d| if *d < 0 { "N".into() } else { d.to_string() })
                .collect();
            format!(
                "{} {} [{}]",
                outlet.name(),
                ty.to_string().to_lowercase(),
                dims.join(", ")
            )
        }
        other => format!("{} {other}", outlet.name()),
    };
    outlets.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// ONNX Runtime's messages run over many lines, with source paths of its own build; the first says what is wrong.
fn first_line<T>(error: &ort::Error<T>) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim().trim_end_matches('.').to_owned()
}
