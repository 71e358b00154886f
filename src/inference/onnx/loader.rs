//! Starts sessions: a network's file on the CPU or a GPU.

use std::path::Path;
use std::thread::ScopedJoinHandle;

use anyhow::Result;
use ort::ep::CPU;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::assignment::{self, Assignment};
use super::cuda;
use super::cuda_unavailable::CudaUnavailable;
use super::device::{Device, Gpu, Hardware, Placement};
use super::network::Network;
use super::roles::NetworkRole;
use super::runtime::Runtime;
use crate::error::Fault;
use crate::inference::graph::proto::Model;

/// ONNX Runtime's key for the folder of weights outside the file (onnxruntime_session_options_config_keys.h).
pub(super) const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// How networks are loaded. Where there are several GPUs, on the first.
#[derive(Clone, Copy)]
pub(super) struct Loader<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) hardware: Hardware,
    /// CPU threads of each network.
    pub(super) threads: usize,
    pub(super) arena: Arena,
}

/// Where networks on the CPU allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arena {
    /// In one arena for all of them.
    Shared,
    /// From the system, to which memory returns after each run: for networks that are only tried out.
    System,
}

impl Loader<'_> {
    /// The network of the file at `path`.
    pub(super) fn load(&self, path: &Path, role: &NetworkRole) -> Result<(Network, Placement)> {
        self.network(path, role, &read(path, role)?)
    }

    /// The network of the file at `path`, which holds `bytes`.
    pub(super) fn network(
        &self,
        path: &Path,
        role: &NetworkRole,
        bytes: &[u8],
    ) -> Result<(Network, Placement)> {
        let (session, placement) = self.session(path, bytes, || {
            Fault::failed(format!("cannot load {} `{}`", role.name, path.display()))
        })?;
        let gpu = placement.gpus.first().copied();
        let network = Network::new(path, role, session, gpu)?;
        Ok((network, placement))
    }

    /// A session of the file at `path`, which holds `bytes`, and where it runs.
    pub(super) fn session(
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
        let started = self.runtime.load_cuda().and_then(|()| {
            let session = self.start(path, bytes, Some(gpu));
            session.map_err(|e| CudaUnavailable::of(&e.to_string(), cuda::can_load))
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
            Err(unavailable) if self.hardware.device == Device::Auto => {
                Ok((on_cpu()?, Placement::cpu(Some(unavailable))))
            }
            Err(unavailable) => {
                // If the CPU cannot run the file either, the file is the problem.
                if unavailable.is_unknown() {
                    on_cpu()?;
                }
                Err(Fault::machine(format!("{gpu} cannot be used"))
                    .hint(format!("{}; or omit --device", unavailable.remedy()))
                    .because(unavailable)
                    .into())
            }
        }
    }

    /// A session of the file at `path`, which holds `bytes`, on `gpu` or the CPU.
    pub(super) fn start(
        &self,
        path: &Path,
        bytes: &[u8],
        gpu: Option<Gpu>,
    ) -> ort::Result<Session> {
        let mut builder = self.builder()?;
        if let Some(gpu) = gpu {
            builder = builder.with_config_entry(assignment::RECORD, "1")?;
            cuda::register(&mut builder, gpu, self.hardware.gpu_bytes)?;
        }
        commit(builder, path, bytes)
    }

    pub(super) fn builder(&self) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.runtime.environment)?
            .with_intra_threads(self.threads)?
            .with_deterministic_compute(self.hardware.deterministic)?
            // Spinning threads would take the cores from the encoder and the compositor.
            .with_intra_op_spinning(false)?;
        Ok(match self.arena {
            Arena::Shared => builder.with_env_allocators()?,
            Arena::System => {
                let cpu = CPU::default().with_arena_allocator(false).build();
                builder.with_execution_providers([cpu.error_on_failure()])?
            }
        })
    }

    /// The network of the file at `path`, which holds `bytes`, as ONNX Runtime writes it with constants folded. Each of
    /// `symbols` stands for a size of 1.
    pub(super) fn folded(&self, path: &Path, bytes: &[u8], symbols: &[String]) -> Result<Model> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("folded.onnx");
        let write = || {
            let mut builder = (self.builder()?)
                .with_optimization_level(GraphOptimizationLevel::Level1)?
                .with_optimized_model_path(&file)?;
            for symbol in symbols {
                builder = builder.with_dimension_override(symbol, 1)?;
            }
            commit(builder, path, bytes)
        };
        write()?;
        let mut model = Model::parse(&std::fs::read(&file)?)?;
        // Types of inner tensors, which rewriting changes; the runtime infers them again.
        model.graph_mut()?.value_infos.clear();
        Ok(model)
    }
}

/// The result of a network's thread.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let panicked = |_| Err(Fault::failed("a network's thread panicked").into());
    thread.join().unwrap_or_else(panicked)
}

/// The bytes of a network's file.
pub(super) fn read(path: &Path, role: &NetworkRole) -> Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|e| {
        Fault::failed(format!("cannot read {} `{}`", role.name, path.display()))
            .because(crate::error::plain_io(&e))
    })?)
}

/// Starts the session of the file at `path`, which holds `bytes`.
pub(super) fn commit(builder: SessionBuilder, path: &Path, bytes: &[u8]) -> ort::Result<Session> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Weights outside the file are read from its own folder and from nowhere else; without this they would be read from
    // the working directory.
    let session = builder
        .with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())?
        .commit_from_memory(bytes)?;
    Ok(session)
}

/// ONNX Runtime's messages have many lines, with source paths of its own build; the first says what is wrong.
pub(super) fn first_line<T>(error: &ort::Error<T>) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim().trim_end_matches('.').to_owned()
}
