//! Where the networks run: what is asked for, and what came of it.

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

impl Placement {
    /// Whether the networks run on the CPU.
    pub fn on_cpu(&self) -> bool {
        self.device == "CPU"
    }
}
