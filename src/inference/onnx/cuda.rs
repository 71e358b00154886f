//! CUDA and TensorRT: their libraries, found without `LD_LIBRARY_PATH`, and how networks run on them.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider, TensorRT};
use ort::session::builder::SessionBuilder;
use ort::util::preload_dylib;

use super::cuda_unavailable::{CudaUnavailable, NOT_IN_THIS_BUILD};
use super::device::Gpu;
use crate::assets;

const DRIVER: &str = "libcuda.so.1";
/// ONNX Runtime loads it late and only where a network needs it: it would be missed in the middle of the work.
const CUDNN: &str = "libcudnn.so.9";

/// What ONNX Runtime's providers load, each after what it needs itself. Those for CUDA 12 are for an older ONNX Runtime.
const LIBRARIES: [&str; 14] = [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libnvrtc.so.13",
    "libcufft.so.12",
    "libcudart.so.12",
    "libcublasLt.so.12",
    "libcublas.so.12",
    "libnvrtc.so.12",
    "libcufft.so.11",
    "libcurand.so.10",
    CUDNN,
    "libnvinfer.so.10",
    "libnvonnxparser.so.10",
];

/// Loads CUDA's libraries for the ONNX Runtime at `runtime`, or tells what is in the way.
pub(super) fn prepare(runtime: &Path) -> Result<(), CudaUnavailable> {
    if !CUDA::is_available().unwrap_or(false) {
        return Err(CudaUnavailable::of(
            &format!("CUDA {NOT_IN_THIS_BUILD}"),
            is_there,
        ));
    }
    // Without a driver, the 2 GB of libraries are better left alone.
    load(DRIVER).map_err(|text| CudaUnavailable::of(&text, is_there))?;
    preload(runtime);
    Ok(())
}

/// Lets `builder`'s session run on `gpu` within `bytes` of its memory.
pub(super) fn register(
    builder: &mut SessionBuilder,
    gpu: Gpu,
    bytes: Option<usize>,
) -> ort::Result<()> {
    if gpu.tensor_rt {
        let mut tensor_rt = TensorRT::default().with_device_id(gpu.id);
        // Compiling a network takes minutes.
        if let Some(folder) = assets::cache_folder().map(|folder| folder.join("tensorrt")) {
            tensor_rt = tensor_rt
                .with_engine_cache(true)
                .with_engine_cache_path(folder.display())
                .with_timing_cache(true)
                .with_timing_cache_path(folder.display());
        }
        tensor_rt.register(builder)?;
    }
    let mut cuda = CUDA::default()
        .with_device_id(gpu.id)
        // The batch is always the same: what it takes is known after the first one.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // The same kernels on every run, without trials that need memory of their own.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Ten bits of mantissa would show.
        .with_tf32(false);
    if let Some(bytes) = bytes {
        cuda = cuda.with_memory_limit(bytes);
    }
    cuda.register(builder)?;
    load(CUDNN).map_err(ort::Error::new)
}

/// Loads those of the libraries that lie where they belong to the ONNX Runtime at `runtime`; whoever asks for one by its
/// name from then on, gets that one. The others are left to the loader's usual search.
pub(crate) fn preload(runtime: &Path) {
    let folders = folders(runtime);
    for name in LIBRARIES {
        let mut places = folders.iter().map(|folder| folder.join(name));
        if let Some(path) = places.find(|path| path.is_file()) {
            // One that cannot be loaded is told when ONNX Runtime asks for it.
            let _ = preload_dylib(&path);
        }
    }
}

/// Where libraries may lie: in `cuda` beside the runtime (scripts/setup.sh), beside it, in the folders of NVIDIA's Python
/// packages beside the runtime's own, in the CUDA toolkit.
fn folders(runtime: &Path) -> Vec<PathBuf> {
    let Some(here) = runtime.parent() else {
        return Vec::new();
    };
    let mut folders = vec![here.join("cuda"), here.to_owned()];
    // site-packages/onnxruntime/capi/libonnxruntime.so and site-packages/nvidia/cudnn/lib.
    if let Some(packages) = here.ancestors().nth(2) {
        let nvidia = fs::read_dir(packages.join("nvidia")).into_iter().flatten();
        let mut wheels: Vec<PathBuf> = nvidia.flatten().map(|e| e.path().join("lib")).collect();
        wheels.sort();
        folders.extend(wheels);
    }
    folders.push("/usr/local/cuda/lib64".into());
    folders
}

/// Whether a library can be loaded by its name.
pub(super) fn is_there(name: &str) -> bool {
    load(name).is_ok()
}

/// Loads a library by its name, or gives the loader's words.
fn load(name: &str) -> Result<(), String> {
    preload_dylib(name).map_err(|error| {
        let words = error.source().map(ToString::to_string);
        words.unwrap_or_else(|| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_beside_the_runtime_come_first_then_those_of_python_packages() {
        let dir = tempfile::tempdir().unwrap();
        let capi = dir.path().join("onnxruntime/capi");
        for folder in ["onnxruntime/capi", "nvidia/cudnn/lib", "nvidia/cu13/lib"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let found = folders(&capi.join("libonnxruntime.so"));
        let expected = [
            capi.join("cuda"),
            capi.clone(),
            dir.path().join("nvidia/cu13/lib"),
            dir.path().join("nvidia/cudnn/lib"),
            "/usr/local/cuda/lib64".into(),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_loader_says_what_is_missing() {
        let words = load("libnosuchthing.so.13").unwrap_err();
        let obstacle = CudaUnavailable::of(&words, |_| false).to_string();
        assert!(
            obstacle.starts_with("NVIDIA's library libnosuchthing.so.13 is missing ("),
            "{obstacle}"
        );
    }
}
