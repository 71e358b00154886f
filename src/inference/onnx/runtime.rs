//! ONNX Runtime's library.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider as _};

use super::cuda_unavailable::CudaUnavailable;
use super::{arena, cuda};
use crate::error::Fault;

/// ONNX Runtime's library, loaded. There is one per process.
#[derive(Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
    pub(super) path: PathBuf,
    cuda: OnceLock<Result<(), CudaUnavailable>>,
}

impl Runtime {
    /// Loads the shared library at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let fault = || {
            Fault::machine(format!("cannot load ONNX Runtime from `{}`", path.display()))
                .hint("run scripts/demo.sh, which puts the right one in place, or set ORT_DYLIB_PATH to a libonnxruntime.so of version 1.24 or newer")
        };
        // ort hides the loader's message; this shows it.
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

    /// The version of the library at `path`, such as `1.24`, or `1.?` if it is unknown.
    pub fn version(path: &Path) -> String {
        let minor = ort::util::probe(path).map(|minor| minor.to_string());
        format!("1.{}", minor.as_deref().unwrap_or("?"))
    }

    /// The execution providers of this build, of CUDA and CPU. Whether the machine has a GPU is another question.
    pub fn providers(&self) -> Vec<&'static str> {
        if CUDA::is_available().unwrap_or(false) {
            vec!["CUDA", "CPU"]
        } else {
            vec!["CPU"]
        }
    }

    /// Loads CUDA's libraries at the first call; later calls return the same result.
    pub(super) fn load_cuda(&self) -> Result<(), CudaUnavailable> {
        let loaded = self.cuda.get_or_init(|| cuda::load_libraries(&self.path));
        loaded.clone()
    }

    /// The runtime of all unit tests: a second one in the process would take the first one's environment with it.
    #[cfg(test)]
    pub(super) fn for_tests() -> &'static Self {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        RUNTIME.get_or_init(|| Self::load(&crate::assets::runtime_library().unwrap()).unwrap())
    }
}
