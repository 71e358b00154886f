//! A session that runs batches: names of its tensors, and memory for them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use super::cuda_unavailable::is_out_of_memory;
use super::device::Gpu;
use super::finite::{self, OutputValue};
use super::ort_message::sentence;
use super::roles::{NetworkRole, TensorSpec};
use crate::error::{Fault, NotFinite};
use crate::inference::halving::OutOfMemory;

/// The values of one input, for all items of a batch.
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
    /// An output that is not finite where the other one would not be, if bytes could tell.
    witness: Option<NetworkTensor>,
    /// The batch size, if the file fixes it.
    fixed_batch: Option<usize>,
    gpu: Option<Gpu>,
    bound: Option<BoundBatch>,
}

/// A tensor of the file: its name there, and its type and shape (without the batch) from the role.
pub(super) struct NetworkTensor {
    name: String,
    element: TensorElementType,
    shape: Vec<i64>,
}

impl NetworkTensor {
    fn len(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    fn allocate(&self, batch: usize, memory: &Allocator) -> Result<TensorMemory> {
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
    /// Copies the items `items` of `input`, `len` values each; the rest of the memory becomes 0.
    fn fill(&mut self, input: InputValues<'_>, items: Range<usize>, len: usize) -> Result<()> {
        let range = items.start * len..items.end * len;
        match (self, input) {
            (Self::Floats(tensor), InputValues::Floats(values)) => {
                fill(tensor.extract_tensor_mut().1, &values[range]);
            }
            (Self::Bytes(tensor), InputValues::Bytes(values)) => {
                fill(tensor.extract_tensor_mut().1, &values[range]);
            }
            _ => bail!("an input has the wrong type"),
        }
        Ok(())
    }
}

fn fill<T: Copy + Default>(memory: &mut [T], values: &[T]) {
    let (filled, rest) = memory.split_at_mut(values.len());
    filled.copy_from_slice(values);
    rest.fill(T::default());
}

/// Memory for one batch size, which stays between runs.
struct BoundBatch {
    batch: usize,
    inputs: Vec<TensorMemory>,
    binding: IoBinding,
}

impl Network {
    pub(super) fn new(
        path: &Path,
        role: &NetworkRole,
        session: Session,
        gpu: Option<Gpu>,
    ) -> Result<Self> {
        let mut free: Vec<&Outlet> = session.inputs().iter().collect();
        let found: Option<Vec<NetworkTensor>> = (role.inputs.iter())
            .map(|spec| take_matching(&mut free, spec))
            .collect();
        let mut given: Vec<&Outlet> = session.outputs().iter().collect();
        let output = take_matching(&mut given, &role.output);
        let witness = (role.witness.as_ref()).and_then(|spec| take_matching(&mut given, spec));
        let (Some(inputs), Some(output), true) = (found, output, free.is_empty()) else {
            return Err(Fault::failed(format!(
                "`{}` cannot serve as {}",
                path.display(),
                role.name
            ))
            .because(format!("expected {}", describe_role(role)))
            .hint(format!(
                "the file has {} -> {}; use a model of the 328 family (README, \"Models\")",
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
            inputs,
            output,
            witness,
            fixed_batch,
            gpu,
            bound: None,
        })
    }

    /// Names of its first two inputs, in the order of its role; empty if it has fewer.
    pub(super) fn input_names(&self) -> [String; 2] {
        [0, 1].map(|n| {
            self.inputs
                .get(n)
                .map_or_else(String::new, |input| input.name.clone())
        })
    }

    /// Runs `count` items. If the file fixes the batch size, they run in chunks of it, the last one padded with zeros. On a
    /// GPU every batch is padded to the largest so far: for another shape, kernels would be chosen or compiled again.
    pub(super) fn run<T: OutputValue>(
        &mut self,
        count: usize,
        inputs: &[InputValues<'_>],
        output: &mut [T],
    ) -> Result<()> {
        let bound = self.bound.as_ref().filter(|_| self.gpu.is_some());
        let padded = bound.map_or(count, |bound| bound.batch.max(count));
        let batch = self.fixed_batch.unwrap_or(padded);
        for start in (0..count).step_by(batch) {
            self.run_chunk(batch, start..count.min(start + batch), inputs, output)
                .map_err(|e| network_fault(&self.path, start, &e))?;
        }
        Ok(())
    }

    fn run_chunk<T: OutputValue>(
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
        for ((input, memory), values) in self.inputs.iter().zip(&mut bound.inputs).zip(inputs) {
            memory.fill(*values, items.clone(), input.len())?;
            // A CUDA session copies its input here.
            match memory {
                TensorMemory::Floats(tensor) => bound.binding.bind_input(&input.name, tensor)?,
                TensorMemory::Bytes(tensor) => bound.binding.bind_input(&input.name, tensor)?,
            }
        }
        let outputs = self.session.run_binding(&bound.binding)?;
        let (_, values) = outputs[self.output.name.as_str()].try_extract_tensor::<T>()?;
        let target = &mut output[items.start * self.output.len()..items.end * self.output.len()];
        T::copy(&values[..target.len()], target, self.output.len())?;
        if let Some(witness) = &self.witness {
            let (_, values) = outputs[witness.name.as_str()].try_extract_tensor::<f32>()?;
            finite::check(&values[..items.len() * witness.len()], witness.len())?;
        }
        drop(outputs);
        self.bound = Some(bound);
        Ok(())
    }

    fn bind(&self, batch: usize) -> Result<BoundBatch> {
        let mut binding = self.session.create_binding()?;
        let input_memory = self.memory(MemoryType::CPUInput)?;
        let output_memory = self.memory(MemoryType::CPUOutput)?;
        match self.output.allocate(batch, &output_memory)? {
            TensorMemory::Floats(tensor) => binding.bind_output(&self.output.name, tensor)?,
            TensorMemory::Bytes(tensor) => binding.bind_output(&self.output.name, tensor)?,
        }
        if let Some(witness) = &self.witness
            && let TensorMemory::Floats(tensor) = witness.allocate(batch, &output_memory)?
        {
            binding.bind_output(&witness.name, tensor)?;
        }
        Ok(BoundBatch {
            batch,
            inputs: self
                .inputs
                .iter()
                .map(|input| input.allocate(batch, &input_memory))
                .collect::<Result<_>>()?,
            binding,
        })
    }

    /// The host's memory; for a GPU, pinned memory, which it reads and writes itself.
    fn memory(&self, kind: MemoryType) -> Result<Allocator> {
        let Some(gpu) = self.gpu else {
            return Ok(Allocator::default());
        };
        let device = AllocationDevice::CUDA_PINNED;
        let info = MemoryInfo::new(device, gpu.id, AllocatorType::Device, kind)?;
        Ok(Allocator::new(&self.session, info)?)
    }
}

/// The error for `error` of the network of the file at `path`, after `items` of a batch.
pub(super) fn network_fault(path: &Path, items: usize, error: &anyhow::Error) -> anyhow::Error {
    if let Some(found) = error.downcast_ref::<NotFinite>() {
        return found.of_network(path, items).into();
    }
    let message = format!("network `{}` failed", path.display());
    let text = error.to_string();
    let cause = sentence(&text);
    let fault = if is_out_of_memory(&text) {
        Fault::machine(message)
            .because(OutOfMemory(cause))
            .hint("there is not enough memory: close other programs that use it")
    } else {
        Fault::failed(message).because(cause)
    };
    fault.into()
}

/// Takes an outlet that fits `spec` out of those still free: the one of the usual name, else the first.
pub(super) fn take_matching(
    free: &mut Vec<&Outlet>,
    spec: &TensorSpec<'_>,
) -> Option<NetworkTensor> {
    let fits = |outlet: &Outlet| fits(outlet, spec);
    let at = free
        .iter()
        .position(|o| o.name() == spec.name && fits(o))
        .or_else(|| free.iter().position(|o| fits(o)))?;
    Some(NetworkTensor {
        name: free.remove(at).name().to_owned(),
        element: spec.element,
        shape: spec.shape.to_vec(),
    })
}

fn fits(outlet: &Outlet, spec: &TensorSpec<'_>) -> bool {
    let wanted = spec.shape;
    let is_of = |element| matches!(outlet.dtype(), ValueType::Tensor { ty, .. } if *ty == element);
    is_of(spec.element)
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

/// What a role asks for, such as `mel float32 [N, 1, 80, 16] -> emb float32 [N, 512]`.
pub(super) fn describe_role(role: &NetworkRole) -> String {
    let inputs: Vec<String> = role.inputs.iter().map(describe_spec).collect();
    format!("{} -> {}", inputs.join(", "), describe_spec(&role.output))
}

fn describe_spec(spec: &TensorSpec<'_>) -> String {
    let dims: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
    let element = match spec.element {
        TensorElementType::Uint8 => "uint8",
        _ => "float32",
    };
    format!("{} {element} [N, {}]", spec.name, dims.join(", "))
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
