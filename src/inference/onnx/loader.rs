//! Starts sessions: a network's file on the CPU or a GPU.

use std::path::Path;
use std::thread::ScopedJoinHandle;

use anyhow::Result;
use ort::ep::CPU;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use prost::Message as _;

use super::assignment::{self, Assignment};
use super::cuda;
use super::cuda_unavailable::CudaUnavailable;
use super::device::{Device, Gpu, Hardware, Placement};
use super::network::Network;
use super::network_file::NetworkFile;
use super::ort_message::explain_load_error;
use super::roles::NetworkRole;
use super::runtime::Runtime;
use crate::error::Fault;
use crate::inference::graph::outline::Outline;
use crate::inference::graph::proto::Model;

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
        self.network(path, role, &NetworkFile::read(path, role.name)?.bytes)
    }

    /// The network of the file at `path`, which holds `bytes`.
    pub(super) fn network(
        &self,
        path: &Path,
        role: &NetworkRole,
        bytes: &[u8],
    ) -> Result<(Network, Placement)> {
        let (session, placement) = self.session(bytes, || {
            Fault::failed(format!("cannot load {} `{}`", role.name, path.display()))
        })?;
        let gpu = placement.gpus.first().copied();
        let network = Network::new(path, role, session, gpu)?;
        Ok((network, placement))
    }

    /// A session of the network `bytes`, and where it runs.
    pub(super) fn session(
        &self,
        bytes: &[u8],
        fault: impl Fn() -> Fault,
    ) -> Result<(Session, Placement)> {
        let file_fault = |error: &ort::Error| {
            let outline = Outline::decode(bytes).unwrap_or_default();
            let (opset, ir_version) = (outline.opset(), outline.ir_version);
            let (cause, hint) = explain_load_error(&error.to_string(), opset, ir_version);
            fault().because(cause).hint(hint)
        };
        let on_cpu = || self.start(bytes, None).map_err(|e| file_fault(&e));
        let Some(&gpu) = self.hardware.wanted_gpus().first() else {
            return Ok((on_cpu()?, Placement::cpu(None)));
        };
        let started = self.runtime.load_cuda().and_then(|()| {
            let session = self.start(bytes, Some(gpu));
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

    /// A session of the network `bytes` on `gpu` or the CPU.
    pub(super) fn start(&self, bytes: &[u8], gpu: Option<Gpu>) -> ort::Result<Session> {
        let mut builder = self.builder()?;
        if let Some(gpu) = gpu {
            builder = builder.with_config_entry(assignment::RECORD, "1")?;
            cuda::register(&mut builder, gpu, self.hardware.gpu_bytes)?;
        }
        builder.commit_from_memory(bytes)
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

    /// The network `bytes` as ONNX Runtime writes it with constants folded. Each of `symbols` stands for a size of 1.
    pub(super) fn folded(&self, bytes: &[u8], symbols: &[String]) -> Result<Model> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("folded.onnx");
        let write = || {
            let mut builder = (self.builder()?)
                .with_optimization_level(GraphOptimizationLevel::Level1)?
                .with_optimized_model_path(&file)?;
            for symbol in symbols {
                builder = builder.with_dimension_override(symbol, 1)?;
            }
            builder.commit_from_memory(bytes)
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
