//! A session with names and memory for its tensors.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::device::Gpu;
use super::obstacle::is_out_of_memory;
use crate::error::Fault;
use crate::infer::halving::OutOfMemory;

/// A tensor that a network takes or gives: its usual name, and its shape without the batch.
pub(super) type Slot<'a> = (&'a str, &'a [i64]);

/// A session with its tensors' names, and memory for one batch size at a time.
pub(super) struct Network {
    path: PathBuf,
    session: Session,
    inputs: Vec<Port>,
    output: Port,
    /// The batch size the file insists on.
    fixed_batch: Option<usize>,
    gpu: Option<Gpu>,
    bound: Option<Bound>,
}

/// A tensor of the file: its name there, and its shape without the batch.
pub(super) struct Port {
    name: String,
    shape: Vec<i64>,
}

impl Port {
    fn len(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    fn tensor(&self, batch: usize, memory: &Allocator) -> Result<Tensor<f32>> {
        let shape: Vec<i64> = std::iter::once(batch as i64)
            .chain(self.shape.iter().copied())
            .collect();
        Ok(Tensor::new(memory, shape)?)
    }
}

/// Memory that stays between runs.
struct Bound {
    batch: usize,
    inputs: Vec<Tensor<f32>>,
    binding: IoBinding,
}

impl Network {
    pub(super) fn new(
        path: &Path,
        role: &str,
        session: Session,
        inputs: &[Slot<'_>],
        output: Slot<'_>,
        gpu: Option<Gpu>,
    ) -> Result<Self> {
        let mut free: Vec<&Outlet> = session.inputs().iter().collect();
        let found: Option<Vec<Port>> = inputs.iter().map(|slot| choose(&mut free, slot)).collect();
        let found_output = choose(&mut session.outputs().iter().collect(), &output);
        let (Some(ports), Some(output_port), true) = (found, found_output, free.is_empty()) else {
            return Err(Fault::failed(format!("`{}` cannot serve as {role}", path.display()))
                .because(format!(
                    "expected {} -> {}",
                    inputs.iter().map(describe_slot).collect::<Vec<_>>().join(", "),
                    describe_slot(&output)
                ))
                .hint(format!(
                    "the file has {} -> {}; give a model of the 328 family (README, \"Models\")",
                    describe_outlets(session.inputs()),
                    describe_outlets(session.outputs())
                ))
                .into());
        };
        let batches = session
            .inputs()
            .iter()
            .filter_map(|outlet| dimensions(outlet)?.first().copied());
        let fixed_batch = batches.max().filter(|&n| n > 0).map(|n| n as usize);
        Ok(Self {
            path: path.to_owned(),
            session,
            inputs: ports,
            output: output_port,
            fixed_batch,
            gpu,
            bound: None,
        })
    }

    /// Names of its first two inputs, in the order of its role.
    pub(super) fn input_names(&self) -> [String; 2] {
        [0, 1].map(|n| {
            self.inputs
                .get(n)
                .map_or_else(String::new, |port| port.name.clone())
        })
    }

    /// Runs `count` items; where the file has a fixed batch, in pieces of it, the last one filled with zeros. On a GPU the
    /// largest batch so far is filled up, too: another shape would have its kernels chosen, or compiled, anew.
    pub(super) fn run(
        &mut self,
        count: usize,
        inputs: &[&[f32]],
        output: &mut [f32],
    ) -> Result<()> {
        let bound = self.bound.as_ref().filter(|_| self.gpu.is_some());
        let usual = bound.map_or(count, |bound| bound.batch.max(count));
        let batch = self.fixed_batch.unwrap_or(usual);
        for start in (0..count).step_by(batch) {
            self.run_piece(batch, start..count.min(start + batch), inputs, output)
                .map_err(|e| failure(&self.path, &e))?;
        }
        Ok(())
    }

    fn run_piece(
        &mut self,
        batch: usize,
        items: std::ops::Range<usize>,
        inputs: &[&[f32]],
        output: &mut [f32],
    ) -> Result<()> {
        let mut bound = match self.bound.take() {
            Some(bound) if bound.batch == batch => bound,
            _ => self.bind(batch)?,
        };
        for ((port, tensor), data) in self.inputs.iter().zip(&mut bound.inputs).zip(inputs) {
            let data = &data[items.start * port.len()..items.end * port.len()];
            let (filled, rest) = tensor.extract_tensor_mut().1.split_at_mut(data.len());
            filled.copy_from_slice(data);
            rest.fill(0.0);
            // A CUDA session copies its input at this moment.
            bound.binding.bind_input(&port.name, tensor)?;
        }
        let outputs = self.session.run_binding(&bound.binding)?;
        let (_, values) = outputs[self.output.name.as_str()].try_extract_tensor::<f32>()?;
        let target = &mut output[items.start * self.output.len()..items.end * self.output.len()];
        target.copy_from_slice(&values[..target.len()]);
        drop(outputs);
        self.bound = Some(bound);
        Ok(())
    }

    fn bind(&self, batch: usize) -> Result<Bound> {
        let mut binding = self.session.create_binding()?;
        let (up, down) = (
            self.memory(MemoryType::CPUInput)?,
            self.memory(MemoryType::CPUOutput)?,
        );
        binding.bind_output(&self.output.name, self.output.tensor(batch, &down)?)?;
        Ok(Bound {
            batch,
            inputs: self
                .inputs
                .iter()
                .map(|port| port.tensor(batch, &up))
                .collect::<Result<_>>()?,
            binding,
        })
    }

    /// Memory of the machine; for a GPU, such as it can read and write by itself.
    fn memory(&self, kind: MemoryType) -> Result<Allocator> {
        let Some(gpu) = self.gpu else {
            return Ok(Allocator::default());
        };
        let pinned = AllocationDevice::CUDA_PINNED;
        let info = MemoryInfo::new(pinned, gpu.id, AllocatorType::Device, kind)?;
        Ok(Allocator::new(&self.session, info)?)
    }
}

/// What it means to the user that the network of the file at `path` failed.
pub(super) fn failure(path: &Path, error: &anyhow::Error) -> Fault {
    let message = format!("network `{}` failed", path.display());
    let text = error.to_string();
    let cause = text.lines().next().unwrap_or_default().trim().to_owned();
    if is_out_of_memory(&text) {
        Fault::machine(message)
            .because(OutOfMemory(cause))
            .hint("there is not enough memory: close what else uses it")
    } else {
        Fault::failed(message).because(cause)
    }
}

/// Takes the outlet with the slot's shape out of those still free: the one of the usual name if it fits, else the first
/// that does.
pub(super) fn choose(free: &mut Vec<&Outlet>, slot: &Slot<'_>) -> Option<Port> {
    let fits = |outlet: &Outlet| shape_fits(outlet, slot.1);
    let at = free
        .iter()
        .position(|o| o.name() == slot.0 && fits(o))
        .or_else(|| free.iter().position(|o| fits(o)))?;
    Some(Port {
        name: free.remove(at).name().to_owned(),
        shape: slot.1.to_vec(),
    })
}

fn shape_fits(outlet: &Outlet, wanted: &[i64]) -> bool {
    let is_f32 = matches!(
        outlet.dtype(),
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            ..
        }
    );
    is_f32
        && dimensions(outlet).is_some_and(|dims| {
            dims.len() == wanted.len() + 1
                && dims[1..]
                    .iter()
                    .zip(wanted)
                    .all(|(have, want)| *have == -1 || have == want)
        })
}

/// The outlet's shape with its batch axis, -1 where free.
fn dimensions(outlet: &Outlet) -> Option<Vec<i64>> {
    match outlet.dtype() {
        ValueType::Tensor { shape, .. } => Some(shape.to_vec()),
        _ => None,
    }
}

pub(super) fn describe_slot((name, shape): &Slot<'_>) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("{name} float32 [N, {}]", dims.join(", "))
}

fn describe_outlets(outlets: &[Outlet]) -> String {
    let one = |outlet: &Outlet| match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let dims: Vec<String> = shape
                .iter()
                .map(|d| if *d < 0 { "N".into() } else { d.to_string() })
                .collect();
            format!(
                "{} {} [{}]",
                outlet.name(),
                ty.to_string().to_lowercase(),
                dims.join(", ")
            )
        }
        other => format!("{} {other}", outlet.name()),
    };
    outlets.iter().map(one).collect::<Vec<_>>().join(", ")
}
