//! The generator as plain ONNX Runtime runs it: what everything else is measured against.

use std::path::Path;

use anyhow::Result;
use ort::ep::{CUDA, ExecutionProvider as _};
use ort::session::Session;

use super::device::Placement;
use super::network::{InputValues, Network};
use super::network_file::NetworkFile;
use super::ort_message::sentence_of;
use super::roles::GENERATOR;
use super::runtime::Runtime;
use crate::error::Fault;

/// The unchanged file in a session with ONNX Runtime's defaults (all cores, all optimizations), one frame at a time.
pub struct BaselineGenerator(Network);

impl BaselineGenerator {
    /// Loads the network at `path` on the device of `placement`.
    pub fn load(runtime: &Runtime, path: &Path, placement: &Placement) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot load generator `{}`", path.display()));
        let file = NetworkFile::read(path, GENERATOR.name)?;
        let mut builder = Session::builder(&runtime.environment)?;
        let gpu = placement.gpus.first().copied();
        if let Some(gpu) = gpu {
            CUDA::default()
                .with_device_id(gpu.id)
                .register(&mut builder)?;
        }
        let session = builder
            .commit_from_memory(&file.bytes)
            .map_err(|e| fault().because(sentence_of(&e)))?;
        Ok(Self(Network::new(path, &GENERATOR, session, gpu)?))
    }

    /// Paints one picture `[3, 320, 320]` from an input `[6, 320, 320]` and a window `[16, 512]`.
    pub fn run(&mut self, input: &[f32], window: &[f32], output: &mut [f32]) -> Result<()> {
        self.0.run(
            1,
            &[InputValues::Floats(input), InputValues::Floats(window)],
            output,
        )
    }
}
