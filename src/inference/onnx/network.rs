//! A session with names and memory for its tensors.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};

use super::cuda_unavailable::is_out_of_memory;
use super::device::Gpu;
use crate::error::Fault;
use crate::inference::halving::OutOfMemory;

/// A tensor that a network takes or gives.
#[derive(Clone, Copy)]
pub(super) struct TensorSpec<'a> {
    /// Its usual name.
    pub(super) name: &'a str,
    pub(super) element: TensorElementType,
    /// Without the batch.
    pub(super) shape: &'a [i64],
}

impl<'a> TensorSpec<'a> {
    pub(super) const fn floats(name: &'a str, shape: &'a [i64]) -> Self {
        let element = TensorElementType::Float32;
        Self {
            name,
            element,
            shape,
        }
    }

    pub(super) const fn bytes(name: &'a str, shape: &'a [i64]) -> Self {
        let element = TensorElementType::Uint8;
        Self {
            name,
            element,
            shape,
        }
    }
}

/// What goes into a network: of each input, the values of all items.
#[derive(Clone, Copy)]
pub(super) enum InputValues<'a> {
    Floats(&'a [f32]),
    Bytes(&'a [u8]),
}

/// A session with its tensors' names, and memory for one batch size at a time.
pub(super) struct Network {
    path: PathBuf,
    session: Session,
    inputs: Vec<NetworkTensor>,
    output: NetworkTensor,
    /// The batch size the file insists on.
    fixed_batch: Option<usize>,
    gpu: Option<Gpu>,
    bound: Option<BoundBatch>,
}

/// A tensor of the file: its name there, and its shape without the batch.
pub(super) struct NetworkTensor {
    name: String,
    element: TensorElementType,
    shape: Vec<i64>,
}

impl NetworkTensor {
    fn len(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    fn tensor(&self, batch: usize, memory: &Allocator) -> Result<TensorMemory> {
        let shape: Vec<i64> = std::iter::once(batch as i64)
            .chain(self.shape.iter().copied())
            .collect();
        Ok(match self.element {
            TensorElementType::Uint8 => TensorMemory::Bytes(Tensor::new(memory, shape)?),
            _ => TensorMemory::Floats(Tensor::new(memory, shape)?),
        })
    }
}

/// Memory of a tensor.
enum TensorMemory {
    Floats(Tensor<f32>),
    Bytes(Tensor<u8>),
}

impl TensorMemory {
    /// Takes the items `items` of `given`, `len` values each; what is left of it becomes 0.
    fn fill(&mut self, given: InputValues<'_>, items: Range<usize>, len: usize) -> Result<()> {
        let range = items.start * len..items.end * len;
        match (self, given) {
            (Self::Floats(tensor), InputValues::Floats(values)) => {
                fill(tensor.extract_tensor_mut().1, &values[range]);
            }
            (Self::Bytes(tensor), InputValues::Bytes(values)) => {
                fill(tensor.extract_tensor_mut().1, &values[range]);
            }
            _ => bail!("a tensor of another kind was given"),
        }
        Ok(())
    }
}

fn fill<T: Copy + Default>(memory: &mut [T], values: &[T]) {
    let (filled, rest) = memory.split_at_mut(values.len());
    filled.copy_from_slice(values);
    rest.fill(T::default());
}

/// Memory that stays between runs.
struct BoundBatch {
    batch: usize,
    inputs: Vec<TensorMemory>,
    binding: IoBinding,
}

impl Network {
    pub(super) fn new(
        path: &Path,
        role: &str,
        session: Session,
        inputs: &[TensorSpec<'_>],
        output: TensorSpec<'_>,
        gpu: Option<Gpu>,
    ) -> Result<Self> {
        let mut free: Vec<&Outlet> = session.inputs().iter().collect();
        let found: Option<Vec<NetworkTensor>> =
            inputs.iter().map(|slot| choose(&mut free, slot)).collect();
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
    pub(super) fn run<T: PrimitiveTensorElementType + Copy>(
        &mut self,
        count: usize,
        inputs: &[InputValues<'_>],
        output: &mut [T],
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

    fn run_piece<T: PrimitiveTensorElementType + Copy>(
        &mut self,
        batch: usize,
        items: Range<usize>,
        inputs: &[InputValues<'_>],
        output: &mut [T],
    ) -> Result<()> {
        let mut bound = match self.bound.take() {
            Some(bound) if bound.batch == batch => bound,
            _ => self.bind(batch)?,
        };
        for ((port, memory), given) in self.inputs.iter().zip(&mut bound.inputs).zip(inputs) {
            memory.fill(*given, items.clone(), port.len())?;
            // A CUDA session copies its input at this moment.
            match memory {
                TensorMemory::Floats(tensor) => bound.binding.bind_input(&port.name, tensor)?,
                TensorMemory::Bytes(tensor) => bound.binding.bind_input(&port.name, tensor)?,
            }
        }
        let outputs = self.session.run_binding(&bound.binding)?;
        let (_, values) = outputs[self.output.name.as_str()].try_extract_tensor::<T>()?;
        let target = &mut output[items.start * self.output.len()..items.end * self.output.len()];
        target.copy_from_slice(&values[..target.len()]);
        drop(outputs);
        self.bound = Some(bound);
        Ok(())
    }

    fn bind(&self, batch: usize) -> Result<BoundBatch> {
        let mut binding = self.session.create_binding()?;
        let (up, down) = (
            self.memory(MemoryType::CPUInput)?,
            self.memory(MemoryType::CPUOutput)?,
        );
        match self.output.tensor(batch, &down)? {
            TensorMemory::Floats(tensor) => binding.bind_output(&self.output.name, tensor)?,
            TensorMemory::Bytes(tensor) => binding.bind_output(&self.output.name, tensor)?,
        }
        Ok(BoundBatch {
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
pub(super) fn choose(free: &mut Vec<&Outlet>, slot: &TensorSpec<'_>) -> Option<NetworkTensor> {
    let fits = |outlet: &Outlet| slot_fits(outlet, slot);
    let at = free
        .iter()
        .position(|o| o.name() == slot.name && fits(o))
        .or_else(|| free.iter().position(|o| fits(o)))?;
    Some(NetworkTensor {
        name: free.remove(at).name().to_owned(),
        element: slot.element,
        shape: slot.shape.to_vec(),
    })
}

fn slot_fits(outlet: &Outlet, slot: &TensorSpec<'_>) -> bool {
    let wanted = slot.shape;
    let is_of = |element| matches!(outlet.dtype(), ValueType::Tensor { ty, .. } if *ty == element);
    is_of(slot.element)
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

pub(super) fn describe_slot(slot: &TensorSpec<'_>) -> String {
    let dims: Vec<String> = slot.shape.iter().map(ToString::to_string).collect();
    let kind = match slot.element {
        TensorElementType::Uint8 => "uint8",
        _ => "float32",
    };
    format!("{} {kind} [N, {}]", slot.name, dims.join(", "))
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
