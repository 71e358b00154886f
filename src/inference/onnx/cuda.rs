//! CUDA and TensorRT: finding their libraries without `LD_LIBRARY_PATH`, and the settings of networks on them.

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
/// ONNX Runtime loads it only when a network needs it; if it were missing, a render would fail halfway.
const CUDNN: &str = "libcudnn.so.9";

/// The libraries that ONNX Runtime's providers load, each after its own dependencies. Those of CUDA 12 are for older
/// versions of ONNX Runtime.
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

/// Loads CUDA's libraries for the ONNX Runtime at `runtime`, or says why that is impossible.
pub(super) fn load_libraries(runtime: &Path) -> Result<(), CudaUnavailable> {
    if !CUDA::is_available().unwrap_or(false) {
        return Err(CudaUnavailable::of(
            &format!("CUDA {NOT_IN_THIS_BUILD}"),
            can_load,
        ));
    }
    // Without a driver there is no point in loading 2 GB of libraries.
    load(DRIVER).map_err(|text| CudaUnavailable::of(&text, can_load))?;
    preload(runtime);
    Ok(())
}

/// Makes `builder`'s session run on `gpu`, within `bytes` of its memory.
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
        // The batch size does not change, so memory needs are known after the first batch.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // The same kernels on every run, chosen without trials, which would need memory.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Ten bits of mantissa would be visible.
        .with_tf32(false);
    if let Some(bytes) = bytes {
        cuda = cuda.with_memory_limit(bytes);
    }
    cuda.register(builder)?;
    load(CUDNN).map_err(ort::Error::new)
}

/// Loads the libraries that are installed with the ONNX Runtime at `runtime`; from then on, their names refer to them. The
/// others are left to the loader's usual search.
pub(crate) fn preload(runtime: &Path) {
    let folders = folders(runtime);
    for name in LIBRARIES {
        let mut places = folders.iter().map(|folder| folder.join(name));
        if let Some(path) = places.find(|path| path.is_file()) {
            // If this fails, ONNX Runtime reports it when it needs the library.
            let _ = preload_dylib(&path);
        }
    }
}

/// Where libraries may be: in `cuda` next to the runtime (scripts/setup.sh), next to the runtime, in the folders of NVIDIA's
/// Python packages if the runtime is from one, in the CUDA toolkit.
fn folders(runtime: &Path) -> Vec<PathBuf> {
    let Some(here) = runtime.parent() else {
        return Vec::new();
    };
    let mut folders = vec![here.join("cuda"), here.to_owned()];
    // site-packages/onnxruntime/capi/libonnxruntime.so and site-packages/nvidia/cudnn/lib.
    if here.ends_with("onnxruntime/capi")
        && let Some(packages) = here.ancestors().nth(2)
    {
        let nvidia = fs::read_dir(packages.join("nvidia")).into_iter().flatten();
        let mut wheels: Vec<PathBuf> = nvidia.flatten().map(|e| e.path().join("lib")).collect();
        wheels.sort();
        folders.extend(wheels);
    }
    folders.push("/usr/local/cuda/lib64".into());
    folders
}

/// Whether a library can be loaded by its name.
pub(super) fn can_load(name: &str) -> bool {
    load(name).is_ok()
}

/// Loads a library by its name, or returns the loader's message.
fn load(name: &str) -> Result<(), String> {
    preload_dylib(name).map_err(|error| {
        let message = error.source().map(ToString::to_string);
        message.unwrap_or_else(|| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_next_to_the_runtime_come_before_those_of_python_packages() {
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
    fn a_missing_library_is_named() {
        let message = load("libnosuchthing.so.13").unwrap_err();
        let unavailable = CudaUnavailable::of(&message, |_| false).to_string();
        assert!(
            unavailable.starts_with("NVIDIA's library libnosuchthing.so.13 is missing ("),
            "{unavailable}"
        );
    }
}
