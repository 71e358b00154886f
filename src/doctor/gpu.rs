//! NVIDIA's driver, the CUDA libraries, and whether ONNX Runtime can use them.

use std::ffi::c_int;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::Command;

use libloading::Library;

use super::hardware::field;
use super::{Finding, State};
use crate::assets;
use crate::inference::onnx::{Placement, cuda};

/// What ONNX Runtime's CUDA provider loads. The order matters: each library needs some of those before it.
const LIBRARIES: [&str; 6] = [
    CUDART,
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libnvrtc.so.13",
    CUDNN,
];
const CUDART: &str = "libcudart.so.13";
const CUDNN: &str = "libcudnn.so.9";
/// Installs the CUDA libraries.
const GET_LIBRARIES: &str = "scripts/setup.sh --gpu";

/// All checks of the GPU. `placement` is where a model actually ran.
pub(super) fn examine(placement: Option<&Placement>) -> Vec<Finding> {
    if let Ok(runtime) = assets::runtime_library() {
        cuda::preload(&runtime);
    }
    let Some(driver) = driver(Path::new("/")) else {
        let detail = "none, networks run on the CPU";
        let mut findings = vec![Finding::ok("GPU", detail)];
        findings.extend(libraries(false));
        return findings;
    };
    let mut findings = vec![Finding::ok("GPU", driver)];
    findings.extend(libraries(true));
    findings.extend(placement.map(gpu_use));
    findings
}

fn gpu_use(placement: &Placement) -> Finding {
    let name = "networks on the GPU";
    match (&placement.obstacle, &placement.left_on_cpu) {
        (Some(obstacle), _) => {
            Finding::new(State::Warning, name, obstacle.to_string()).remedy(obstacle.remedy())
        }
        (None, Some(left)) => {
            let detail = format!("on {}, except {left}", placement.device());
            Finding::new(State::Warning, name, detail)
        }
        (None, None) => Finding::ok(name, format!("on {}", placement.device())),
    }
}

/// The driver's version and the GPUs, from the kernel module's files below `root`, else from nvidia-smi.
fn driver(root: &Path) -> Option<String> {
    let module = root.join("proc/driver/nvidia");
    if let Ok(text) = fs::read_to_string(module.join("version")) {
        let gpus = fs::read_dir(module.join("gpus"));
        let mut models: Vec<String> = gpus
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|gpu| fs::read_to_string(gpu.path().join("information")).ok())
            .filter_map(|text| Some(field(&text, "Model")?.to_owned()))
            .collect();
        models.sort();
        let version = driver_version(&text).unwrap_or("of an unknown version");
        return Some(format!("driver {version}: {}", names(&models)));
    }
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=driver_version,name", "--format=csv,noheader"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let gpus: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once(", ")).collect();
    let (version, _) = gpus.first()?;
    let models: Vec<String> = gpus.iter().map(|(_, name)| (*name).to_owned()).collect();
    Some(format!("driver {version}: {}", names(&models)))
}

fn names(models: &[String]) -> String {
    if models.is_empty() {
        return "no GPU".into();
    }
    models.join(", ")
}

/// The version, such as 550.54.15, in the kernel module's description of itself.
fn driver_version(text: &str) -> Option<&str> {
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_version)
}

/// Loads each CUDA library. Missing ones matter only if there is a GPU.
fn libraries(gpu: bool) -> Option<Finding> {
    let name = "CUDA libraries";
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for library in LIBRARIES {
        match load(library) {
            Ok(loaded) => found.push(match version(library, &loaded) {
                Some(version) => format!("{library} ({version})"),
                None => library.into(),
            }),
            Err(reason) => missing.push(reason),
        }
    }
    match (&missing[..], gpu) {
        ([], _) => Some(Finding::ok(name, found.join(", "))),
        (missing, true) => {
            Some(Finding::new(State::Warning, name, missing.join("\n")).remedy(GET_LIBRARIES))
        }
        (_, false) if found.is_empty() => None,
        (_, false) => Some(Finding::ok(
            name,
            format!("{}, but not all", found.join(", ")),
        )),
    }
}

/// Loads a library from the loader's search path, or returns the loader's message. It stays loaded, because ONNX Runtime will
/// use it.
#[expect(unsafe_code, reason = "loading a library runs its initializers")]
fn load(name: &str) -> Result<ManuallyDrop<Library>, String> {
    // SAFETY: the names are those of NVIDIA's libraries, whose initializers have no preconditions.
    let library = unsafe { Library::new(name) };
    let library = library.map_err(|e| {
        let cause = std::error::Error::source(&e).map(ToString::to_string);
        cause.unwrap_or_else(|| e.to_string())
    })?;
    Ok(ManuallyDrop::new(library))
}

/// The version of a library that reports one.
#[expect(
    unsafe_code,
    reason = "these libraries report their version through C functions"
)]
fn version(name: &str, library: &Library) -> Option<String> {
    match name {
        CUDART => {
            type Get = unsafe extern "C" fn(*mut c_int) -> c_int;
            let mut number = 0;
            // SAFETY: `cudaError_t cudaRuntimeGetVersion(int *)` of the CUDA runtime, whose enum is an int.
            let status =
                unsafe { library.get::<Get>(b"cudaRuntimeGetVersion\0").ok()?(&raw mut number) };
            (status == 0).then(|| format!("{}.{}", number / 1000, number % 1000 / 10))
        }
        CUDNN => {
            type Get = unsafe extern "C" fn() -> usize;
            // SAFETY: `size_t cudnnGetVersion(void)` of cuDNN.
            let number = unsafe { library.get::<Get>(b"cudnnGetVersion\0").ok()?() };
            // Since version 9: major * 10000 + minor * 100 + patch.
            Some(format!(
                "{}.{}.{}",
                number / 10_000,
                number / 100 % 100,
                number % 100
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::onnx::{CudaUnavailable, Gpu};

    #[test]
    fn driver_and_gpus_come_from_the_kernel_module() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("proc/driver/nvidia");
        let gpu = module.join("gpus/0000:01:00.0");
        fs::create_dir_all(&gpu).unwrap();
        fs::write(
            module.join("version"),
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.2.0\n",
        )
        .unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA L4\nIRQ: 5\n").unwrap();
        assert_eq!(driver(dir.path()).unwrap(), "driver 550.54.15: NVIDIA L4");
        fs::remove_dir_all(module.join("gpus")).unwrap();
        assert_eq!(driver(dir.path()).unwrap(), "driver 550.54.15: no GPU");
    }

    #[test]
    fn a_cpu_on_a_gpu_machine_is_a_warning() {
        let text = "libcudnn.so.9: cannot open shared object file: No such file or directory";
        let finding = gpu_use(&Placement::cpu(Some(CudaUnavailable::of(text, |_| false))));
        assert_eq!(finding.state, State::Warning);
        assert!(finding.detail.contains("cuDNN 9 is missing"), "{finding:?}");
        assert!(finding.remedy.unwrap().contains("setup.sh --gpu"));
        let mut on_gpu = Placement {
            gpus: vec![Gpu {
                id: 1,
                tensor_rt: false,
            }],
            ..Placement::cpu(None)
        };
        assert_eq!(
            gpu_use(&on_gpu),
            Finding::ok("networks on the GPU", "on CUDA:1")
        );
        on_gpu.left_on_cpu = Some("3 Resize".into());
        assert_eq!(gpu_use(&on_gpu).detail, "on CUDA:1, except 3 Resize");
    }

    #[test]
    fn a_missing_library_matters_with_a_gpu_only() {
        assert!(
            load("libnosuchthing.so.13")
                .unwrap_err()
                .contains("libnosuchthing.so.13")
        );
        let here = LIBRARIES.iter().all(|name| load(name).is_ok());
        let with_gpu = libraries(true).unwrap();
        assert_eq!(with_gpu.state == State::Ok, here);
        assert!(libraries(false).is_none_or(|finding| finding.state == State::Ok));
    }
}
