//! Where the networks run: what is asked for, and what came of it.

use super::obstacle::Obstacle;

/// Where the networks are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// CUDA where it can be used, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA or an error: on the device of this number, or on [`Hardware::gpu`].
    Cuda(Option<i32>),
    /// TensorRT, and CUDA for what it does not know, or an error; the device as above.
    TensorRt(Option<i32>),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let id = match number.map(str::parse::<u16>) {
            None => Some(None),
            Some(Ok(id)) => Some(Some(i32::from(id))),
            Some(Err(_)) => None,
        };
        match (name, id) {
            ("auto", Some(None)) => Ok(Self::Auto),
            ("cpu", Some(None)) => Ok(Self::Cpu),
            ("cuda", Some(id)) => Ok(Self::Cuda(id)),
            ("trt", Some(id)) => Ok(Self::TensorRt(id)),
            _ => Err("expected auto, cpu, cuda, cuda:N, trt or trt:N".into()),
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
            Self::TensorRt(None) => f.write_str("trt"),
            Self::TensorRt(Some(id)) => write!(f, "trt:{id}"),
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
    /// Memory for the networks on the GPU, bytes; all of it if none.
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

    /// The GPU that the networks are to run on; none on the CPU.
    pub(super) fn wanted_gpu(&self) -> Option<Gpu> {
        let (id, tensor_rt) = match self.device {
            Device::Cpu => return None,
            Device::Auto => (None, false),
            Device::Cuda(id) => (id, false),
            Device::TensorRt(id) => (id, true),
        };
        Some(Gpu {
            id: id.unwrap_or(self.gpu),
            tensor_rt,
        })
    }
}

/// A GPU, and by which of ONNX Runtime's parts it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu {
    /// CUDA's number of it.
    pub id: i32,
    /// Whether TensorRT compiles the network for it.
    pub tensor_rt: bool,
}

impl std::fmt::Display for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.tensor_rt { "TensorRT" } else { "CUDA" };
        write!(f, "{name}:{}", self.id)
    }
}

/// Where the networks really run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The GPU; the CPU if none.
    pub gpu: Option<Gpu>,
    /// Why not on a GPU, if that was left open.
    pub obstacle: Option<Obstacle>,
    /// Operators that the GPU left to the CPU, such as `3 Resize`.
    pub left_on_cpu: Option<String>,
}

impl Placement {
    /// On the CPU, because of what was in the way of a GPU, if one was looked for.
    pub fn cpu(obstacle: Option<Obstacle>) -> Self {
        Self {
            gpu: None,
            obstacle,
            left_on_cpu: None,
        }
    }

    /// Whether the networks run on the CPU.
    pub fn on_cpu(&self) -> bool {
        self.gpu.is_none()
    }

    /// `CPU`, `CUDA:0`, `TensorRT:0`, ..
    pub fn device(&self) -> String {
        self.gpu.map_or_else(|| "CPU".into(), |gpu| gpu.to_string())
    }

    /// Why not on a GPU, in words.
    pub fn reason(&self) -> Option<String> {
        let obstacle = self.obstacle.as_ref()?;
        Some(format!("CUDA cannot be used: {obstacle}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_as_they_are_written() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "trt", "trt:3"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        for text in [
            "", "gpu", "auto:1", "cpu:0", "cuda:", "cuda:-1", "trt:x", "CUDA",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_on_the_command_line_wins_over_the_configured_one() {
        let wanted = |device| {
            let hardware = Hardware {
                device,
                gpu: 2,
                ..Hardware::cpu(1)
            };
            hardware.wanted_gpu().map(|gpu| gpu.to_string())
        };
        assert_eq!(wanted(Device::Cpu), None);
        assert_eq!(wanted(Device::Auto).as_deref(), Some("CUDA:2"));
        assert_eq!(wanted(Device::Cuda(Some(0))).as_deref(), Some("CUDA:0"));
        assert_eq!(
            wanted(Device::TensorRt(None)).as_deref(),
            Some("TensorRT:2")
        );
    }
}
