//! Why CUDA cannot be used, with the remedy for each reason.

use std::fmt;

/// Why ONNX Runtime cannot use the GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaUnavailable {
    kind: Kind,
    /// The message of the loader, of CUDA or of ONNX Runtime.
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    CpuRuntime,
    DriverMissing,
    DriverTooOld,
    DriverMismatch,
    LibraryMissing(String),
    CudnnMissing,
    TensorRtMissing,
    WrongMajor { needed: u32, found: u32 },
    NoDevice,
    WrongDevice,
    Full,
    UnknownGpu,
    Unknown,
}

/// What ONNX Runtime says of an execution provider that is not in its build.
pub(super) const NOT_IN_THIS_BUILD: &str = "execution provider is not enabled in this build";

/// Parts of messages, and what they mean. Numbers are those of `cudaError_t` (driver_types.h).
const MEANINGS: [(&str, Kind); 9] = [
    (NOT_IN_THIS_BUILD, Kind::CpuRuntime),
    ("libcuda.so.1:", Kind::DriverMissing),
    ("CUDA failure 35:", Kind::DriverTooOld),
    ("CUDA failure 803:", Kind::DriverMismatch),
    ("CUDA failure 804:", Kind::DriverMismatch),
    ("CUDA failure 100:", Kind::NoDevice),
    ("CUDA failure 101:", Kind::WrongDevice),
    ("Invalid device ID:", Kind::WrongDevice),
    ("CUDA failure 209:", Kind::UnknownGpu),
];

impl std::error::Error for CudaUnavailable {}

impl CudaUnavailable {
    /// What a message of the loader or of ONNX Runtime means; `can_load` says whether a library can be loaded.
    pub fn of(text: &str, can_load: impl Fn(&str) -> bool) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let known = MEANINGS.into_iter().find(|(part, _)| line.contains(part));
        let kind = known.map(|(_, kind)| kind).or_else(|| {
            let library = missing_library(line)?;
            Some(match other_cuda_major(library, can_load) {
                Some((needed, found)) => Kind::WrongMajor { needed, found },
                None if library.starts_with("libcudnn") => Kind::CudnnMissing,
                None if library.starts_with("libnvinfer") || library.starts_with("libnvonnx") => {
                    Kind::TensorRtMissing
                }
                None => Kind::LibraryMissing(library.into()),
            })
        });
        let kind = kind.or_else(|| is_out_of_memory(line).then_some(Kind::Full));
        Self {
            kind: kind.unwrap_or(Kind::Unknown),
            message: essence(line).to_owned(),
        }
    }

    /// Whether the message is unknown: it may have nothing to do with the GPU.
    pub(super) fn is_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self.kind {
            Kind::CpuRuntime => {
                "run scripts/setup.sh --gpu, and unset ORT_DYLIB_PATH or point it to an ONNX Runtime with CUDA"
            }
            Kind::DriverMissing => {
                "install NVIDIA's driver 580 or newer (Ubuntu: sudo apt-get install nvidia-driver-580-server); a container needs --gpus all"
            }
            Kind::DriverTooOld => {
                "install NVIDIA's driver 580 or newer (Ubuntu: sudo apt-get install nvidia-driver-580-server), then restart the machine"
            }
            Kind::DriverMismatch => {
                "restart the machine, so that the driver's kernel module and libraries have the same version"
            }
            Kind::LibraryMissing(_) | Kind::CudnnMissing | Kind::WrongMajor { .. } => {
                "run scripts/setup.sh --gpu, which installs NVIDIA's libraries next to ONNX Runtime"
            }
            Kind::TensorRtMissing => {
                "install TensorRT 10 for this CUDA (NVIDIA's packages libnvinfer10 and libnvonnxparsers10), or use --device cuda"
            }
            Kind::NoDevice => {
                "check that nvidia-smi lists a GPU and that CUDA_VISIBLE_DEVICES does not hide it; a container needs --gpus all"
            }
            Kind::WrongDevice => "nvidia-smi -L lists the devices, numbered from 0",
            Kind::Full => {
                "close other programs that use the GPU (nvidia-smi lists them), or raise gpu.memory_limit_gb"
            }
            Kind::UnknownGpu => {
                "set ORT_DYLIB_PATH to an ONNX Runtime built for this GPU (of the Python packages onnxruntime-gpu, 1.27.0 supports the most GPUs)"
            }
            Kind::Unknown => {
                "check the driver with nvidia-smi and the libraries with lipsync doctor"
            }
        }
    }
}

impl fmt::Display for CudaUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            // ONNX Runtime's message adds nothing.
            Kind::CpuRuntime => return f.write_str("this ONNX Runtime is for CPUs only"),
            Kind::DriverMissing => f.write_str("NVIDIA's driver is not installed"),
            Kind::DriverTooOld => f.write_str("NVIDIA's driver is too old"),
            Kind::DriverMismatch => {
                f.write_str("NVIDIA's driver and its libraries have different versions")
            }
            Kind::LibraryMissing(name) => write!(f, "NVIDIA's library {name} is missing"),
            Kind::CudnnMissing => f.write_str("NVIDIA's cuDNN 9 is missing"),
            Kind::TensorRtMissing => f.write_str("NVIDIA's TensorRT is missing"),
            Kind::WrongMajor { needed, found } => {
                write!(
                    f,
                    "this ONNX Runtime needs CUDA {needed}, but CUDA {found} is installed"
                )
            }
            Kind::NoDevice => f.write_str("there is no CUDA device"),
            Kind::WrongDevice => f.write_str("there is no CUDA device with this number"),
            Kind::Full => f.write_str("the GPU's memory is full"),
            Kind::UnknownGpu => f.write_str("this ONNX Runtime was not built for this GPU"),
            Kind::Unknown => return f.write_str(&self.message),
        }?;
        write!(f, " ({})", self.message)
    }
}

/// What ONNX Runtime, CUDA, cuBLAS, cuDNN and C++ say when memory runs out.
const OUT_OF_MEMORY: [&str; 6] = [
    "Failed to allocate memory",
    "is smaller than requested bytes",
    "bad_alloc",
    "out of memory",
    "_ALLOC_FAILED",
    "ALLOCATION_FAILED",
];

/// Whether a message says that memory ran out.
pub(super) fn is_out_of_memory(text: &str) -> bool {
    OUT_OF_MEMORY.iter().any(|part| text.contains(part))
}

/// The library that the loader did not find: `libcublasLt.so.13` of `..: libcublasLt.so.13: cannot open shared object file`.
fn missing_library(line: &str) -> Option<&str> {
    let (before, _) = line.split_once(": cannot open shared object file")?;
    let name = before.rsplit([' ', '/']).next()?;
    (name.starts_with("lib") && name.contains(".so.")).then_some(name)
}

/// The major version of CUDA that is needed, and the one that is installed instead. Only cuBLAS and the runtime have CUDA's
/// version numbers.
fn other_cuda_major(library: &str, can_load: impl Fn(&str) -> bool) -> Option<(u32, u32)> {
    let (stem, major) = library.rsplit_once('.')?;
    let needed: u32 = major.parse().ok()?;
    if !["libcudart.so", "libcublas.so", "libcublasLt.so"].contains(&stem) {
        return None;
    }
    let found = (11..=14).find(|&other| other != needed && can_load(&format!("{stem}.{other}")))?;
    Some((needed, found))
}

/// The message without the functions and source paths that ONNX Runtime wraps around it.
fn essence(line: &str) -> &str {
    let line = match line.split_once(" with error: ") {
        Some((_, message)) => message,
        None => line,
    };
    let starts = ["CUDA failure ", "Invalid device ID: "];
    let line = starts
        .iter()
        .find_map(|start| Some(&line[line.find(start)?..]))
        .unwrap_or(line);
    let line = line.split(" ; GPU=").next().unwrap_or(line);
    line.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &str = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /opt/lipsync/onnxruntime/libonnxruntime_providers_cuda.so with error: ";
    const OPTIONS: &str = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:63 static onnxruntime::CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse provider option \"device_id\": ";
    const PLACE: &str = " ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc ; line=70 ; expr=cudaGetDeviceCount(&num_devices); ";

    fn explained(text: &str) -> (String, &'static str) {
        let unavailable = CudaUnavailable::of(text, |_| false);
        (unavailable.to_string(), unavailable.remedy())
    }

    /// Messages of ONNX Runtime 1.31.1 and glibc's loader, their explanations, and a part of the remedy.
    ///
    /// Long because it is one table.
    #[test]
    fn each_message_has_its_explanation_and_remedy() {
        let missing = "cannot open shared object file: No such file or directory";
        let cases = [
            (
                "CUDA execution provider is not enabled in this build. ".to_owned(),
                "this ONNX Runtime is for CPUs only".to_owned(),
                "setup.sh --gpu",
            ),
            (
                format!("{PROVIDER}libcuda.so.1: {missing}\n"),
                format!("NVIDIA's driver is not installed (libcuda.so.1: {missing})"),
                "nvidia-driver-580",
            ),
            (
                format!("{PROVIDER}/usr/lib/libcuda.so.1: file too short"),
                "NVIDIA's driver is not installed (/usr/lib/libcuda.so.1: file too short)".into(),
                "nvidia-driver-580",
            ),
            (
                format!("{PROVIDER}libcublasLt.so.13: {missing}"),
                format!(
                    "NVIDIA's library libcublasLt.so.13 is missing (libcublasLt.so.13: {missing})"
                ),
                "setup.sh --gpu",
            ),
            (
                format!("libcudnn.so.9: {missing}"),
                format!("NVIDIA's cuDNN 9 is missing (libcudnn.so.9: {missing})"),
                "setup.sh --gpu",
            ),
            (
                format!("{PROVIDER}libnvinfer.so.10: {missing}"),
                format!("NVIDIA's TensorRT is missing (libnvinfer.so.10: {missing})"),
                "libnvinfer10",
            ),
            (
                format!(
                    "{OPTIONS}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version{PLACE}"
                ),
                "NVIDIA's driver is too old (CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version)".into(),
                "580",
            ),
            (
                format!(
                    "{OPTIONS}CUDA failure 803: system has unsupported display driver / cuda driver combination{PLACE}"
                ),
                "NVIDIA's driver and its libraries have different versions (CUDA failure 803: system has unsupported display driver / cuda driver combination)".into(),
                "restart",
            ),
            (
                format!("{OPTIONS}CUDA failure 100: no CUDA-capable device is detected{PLACE}"),
                "there is no CUDA device (CUDA failure 100: no CUDA-capable device is detected)"
                    .into(),
                "CUDA_VISIBLE_DEVICES",
            ),
            (
                format!(
                    "{OPTIONS}Invalid device ID: 7, must be between 0 (inclusive) and 1 (exclusive)."
                ),
                "there is no CUDA device with this number (Invalid device ID: 7, must be between 0 (inclusive) and 1 (exclusive))".into(),
                "nvidia-smi -L",
            ),
            (
                format!("{OPTIONS}CUDA failure 999: unknown error{PLACE}"),
                "CUDA failure 999: unknown error".into(),
                "nvidia-smi",
            ),
        ];
        for (text, expected, expected_remedy) in cases {
            let (explanation, remedy) = explained(&text);
            assert_eq!(explanation, expected);
            assert!(remedy.contains(expected_remedy), "{remedy}");
        }
    }

    /// Messages of ONNX Runtime's arena, of CUDA, cuBLAS and cuDNN, and of C++.
    #[test]
    fn running_out_of_memory_is_recognized_whoever_reports_it() {
        for text in [
            "Non-zero status code returned while running Conv node. Name:'/up4/conv/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:359 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Available memory of 1048576 is smaller than requested bytes of 419430400",
            "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:404 Failed to allocate memory for requested buffer of size 419430400",
            "CUDA failure 2: out of memory ; GPU=0 ; hostname=vm",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
            "CUDNN failure 2002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
            "std::bad_alloc",
        ] {
            assert!(is_out_of_memory(text), "{text}");
            assert_eq!(
                CudaUnavailable::of(text, |_| false).kind,
                Kind::Full,
                "{text}"
            );
        }
        assert!(!is_out_of_memory("Got invalid dimensions for input: audio"));
    }

    #[test]
    fn another_cuda_major_is_not_a_missing_library() {
        let text = format!("{PROVIDER}libcublasLt.so.13: cannot open shared object file: none");
        let with_twelve = CudaUnavailable::of(&text, |name| name == "libcublasLt.so.12");
        assert!(
            with_twelve
                .to_string()
                .starts_with("this ONNX Runtime needs CUDA 13, but CUDA 12 is installed ("),
            "{with_twelve}"
        );
        // Numbered by itself: version 9 is no sign of CUDA 9.
        let text = "libcudnn.so.9: cannot open shared object file: none";
        assert_eq!(CudaUnavailable::of(text, |_| true).kind, Kind::CudnnMissing);
    }
}
