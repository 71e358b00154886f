//! Where the networks run: the device that is asked for, and the one in use.

use super::cuda_unavailable::CudaUnavailable;

/// The device that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// CUDA if it can be used, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA or an error: on the GPUs with these numbers, or on [`Hardware::gpu`].
    Cuda(Option<GpuNumbers>),
    /// TensorRT, with CUDA for operators that it lacks, or an error; the GPUs as above.
    TensorRt(Option<GpuNumbers>),
}

/// CUDA's numbers of one or more GPUs, 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuNumbers(u128);

impl GpuNumbers {
    /// In rising order.
    fn iter(self) -> impl Iterator<Item = i32> {
        (0..128).filter(move |number| self.0 >> number & 1 == 1)
    }
}

impl std::str::FromStr for GpuNumbers {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = 0;
        for number in text.split(',') {
            let number: u32 = number.parse().map_err(|_| ())?;
            let bit = 1_u128.checked_shl(number).ok_or(())?;
            // A number given twice is probably a typo.
            if numbers & bit != 0 {
                return Err(());
            }
            numbers |= bit;
        }
        Ok(Self(numbers))
    }
}

impl std::fmt::Display for GpuNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.iter().map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(","))
    }
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, numbers) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text, None),
        };
        match (name, numbers.map(str::parse).transpose()) {
            ("auto", Ok(None)) => Ok(Self::Auto),
            ("cpu", Ok(None)) => Ok(Self::Cpu),
            ("cuda", Ok(numbers)) => Ok(Self::Cuda(numbers)),
            ("trt", Ok(numbers)) => Ok(Self::TensorRt(numbers)),
            _ => Err(
                "expected auto, cpu, cuda, trt, or cuda:N or trt:N with one or more numbers, each \
                once, as in cuda:0,1"
                    .into(),
            ),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(numbers)) => write!(f, "cuda:{numbers}"),
            Self::TensorRt(None) => f.write_str("trt"),
            Self::TensorRt(Some(numbers)) => write!(f, "trt:{numbers}"),
        }
    }
}

/// The hardware that the networks may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// CPU or GPU.
    pub device: Device,
    /// Number of the GPU if the device names none.
    pub gpu: i32,
    /// GPU memory for the networks, bytes; unlimited if none.
    pub gpu_bytes: Option<usize>,
    /// CPU threads.
    pub threads: usize,
    /// Whether results must be bit-identical on every run.
    pub deterministic: bool,
}

impl Hardware {
    /// The CPU with `threads` threads.
    pub fn cpu(threads: usize) -> Self {
        Self {
            device: Device::Cpu,
            gpu: 0,
            gpu_bytes: None,
            threads,
            deterministic: false,
        }
    }

    /// The GPUs that are asked for; none for the CPU.
    pub(super) fn wanted_gpus(&self) -> Vec<Gpu> {
        let (numbers, tensor_rt) = match self.device {
            Device::Cpu => return Vec::new(),
            Device::Auto => (None, false),
            Device::Cuda(numbers) => (numbers, false),
            Device::TensorRt(numbers) => (numbers, true),
        };
        let gpu = |id| Gpu { id, tensor_rt };
        numbers.map_or_else(
            || vec![gpu(self.gpu)],
            |numbers| numbers.iter().map(gpu).collect(),
        )
    }

    /// The same with one GPU: generator number `turn` takes the GPUs in turn.
    #[must_use]
    pub(super) fn on_gpu_of(self, turn: usize) -> Self {
        let Some(gpu) = self.wanted_gpus().into_iter().cycle().nth(turn) else {
            return self;
        };
        let device = match self.device {
            Device::Cuda(Some(_)) => Device::Cuda(None),
            Device::TensorRt(Some(_)) => Device::TensorRt(None),
            device => device,
        };
        Self {
            device,
            gpu: gpu.id,
            ..self
        }
    }
}

/// A GPU, and the execution provider that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu {
    /// CUDA's number.
    pub id: i32,
    /// TensorRT if true, else CUDA.
    pub tensor_rt: bool,
}

impl std::fmt::Display for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.tensor_rt { "TensorRT" } else { "CUDA" };
        write!(f, "{name}:{}", self.id)
    }
}

/// The device in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The GPUs; the CPU if none.
    pub gpus: Vec<Gpu>,
    /// Why the networks fell back to the CPU, if they did.
    pub obstacle: Option<CudaUnavailable>,
    /// Operators that run on the CPU although the network runs on a GPU, such as `3 Resize`.
    pub left_on_cpu: Option<String>,
}

impl Placement {
    /// On the CPU; `obstacle` is why a GPU could not be used, if one was looked for.
    pub fn cpu(obstacle: Option<CudaUnavailable>) -> Self {
        Self {
            gpus: Vec::new(),
            obstacle,
            left_on_cpu: None,
        }
    }

    /// Whether the networks run on the CPU.
    pub fn on_cpu(&self) -> bool {
        self.gpus.is_empty()
    }

    /// `CPU`, `CUDA:0`, `CUDA:0,1`, `TensorRT:0`, ..
    pub fn device(&self) -> String {
        let Some((first, others)) = self.gpus.split_first() else {
            return "CPU".into();
        };
        let others = others.iter().map(|gpu| format!(",{}", gpu.id));
        std::iter::once(first.to_string()).chain(others).collect()
    }

    /// Why the networks fell back to the CPU, as a sentence.
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
        for text in [
            "auto",
            "cpu",
            "cuda",
            "cuda:0",
            "cuda:12",
            "cuda:0,1,127",
            "trt",
            "trt:3",
        ] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        for text in [
            "", "gpu", "auto:1", "cpu:0", "cuda:", "cuda:-1", "trt:x", "CUDA", "cuda:0,",
            "cuda:1,1", "cuda:128",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    /// `device` with a configuration that names GPU 2.
    fn hardware(device: &str) -> Hardware {
        Hardware {
            device: device.parse().unwrap(),
            gpu: 2,
            ..Hardware::cpu(1)
        }
    }

    fn wanted(hardware: Hardware) -> Vec<String> {
        let gpus = hardware.wanted_gpus().into_iter();
        gpus.map(|gpu| gpu.to_string()).collect()
    }

    #[test]
    fn a_number_on_the_command_line_wins_over_the_configured_one() {
        assert!(wanted(hardware("cpu")).is_empty());
        assert_eq!(wanted(hardware("auto")), ["CUDA:2"]);
        assert_eq!(wanted(hardware("cuda:0")), ["CUDA:0"]);
        assert_eq!(wanted(hardware("trt")), ["TensorRT:2"]);
        assert_eq!(wanted(hardware("cuda:3,1")), ["CUDA:1", "CUDA:3"]);
    }

    #[test]
    fn several_gpus_take_turns() {
        let of = |device, turn| wanted(hardware(device).on_gpu_of(turn));
        let turns: Vec<_> = (0..4).flat_map(|turn| of("cuda:1,3", turn)).collect();
        assert_eq!(turns, ["CUDA:1", "CUDA:3", "CUDA:1", "CUDA:3"]);
        assert_eq!(of("trt:0,5", 1), ["TensorRT:5"]);
        assert_eq!(of("auto", 1), ["CUDA:2"]);
        assert!(of("cpu", 1).is_empty());
    }

    #[test]
    fn a_placement_names_all_gpus() {
        let mut placement = Placement::cpu(None);
        assert_eq!(placement.device(), "CPU");
        placement.gpus = hardware("cuda:0,1").wanted_gpus();
        assert_eq!(placement.device(), "CUDA:0,1");
        assert!(!placement.on_cpu());
    }
}
