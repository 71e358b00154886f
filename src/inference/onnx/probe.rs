//! Any network, loaded to be inspected.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};
use serde::Serialize;

use super::device::Hardware;
use super::loader::{Arena, Loader};
use super::network::{describe_role, take_matching};
use super::network_file::NetworkFile;
use super::ort_message::sentence_of;
use super::roles::{AUDIO_ENCODER, GENERATOR, NetworkRole};
use super::runtime::Runtime;
use crate::error::Fault;
use crate::inference::graph::proto::data_type;

/// A tensor that a network takes or gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// `float32`, `float16`, `int64`, ..
    pub dtype: String,
    /// Its shape; -1 for a free axis.
    pub shape: Vec<i64>,
}

impl std::fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> = self
            .shape
            .iter()
            .map(|d| if *d < 0 { "N".into() } else { d.to_string() })
            .collect();
        write!(f, "{} {} [{}]", self.name, self.dtype, dims.join(", "))
    }
}

/// A network on the CPU, whatever its inputs and outputs are.
pub struct Probe {
    session: Session,
    /// Its inputs.
    pub inputs: Vec<TensorInfo>,
    /// Its outputs.
    pub outputs: Vec<TensorInfo>,
}

impl Probe {
    /// Loads the network at `path`.
    pub fn load(runtime: &Runtime, path: &Path, threads: usize) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot load network `{}`", path.display()));
        let file = NetworkFile::read(path, "network")?;
        let loader = Loader {
            runtime,
            hardware: Hardware::cpu(threads),
            threads,
            arena: Arena::System,
        };
        let (session, _) = loader.session(&file.bytes, fault)?;
        let info = |outlet: &Outlet| info(outlet, &file.halves);
        Ok(Self {
            inputs: session.inputs().iter().map(info).collect(),
            outputs: session.outputs().iter().map(info).collect(),
            session,
        })
    }

    /// The batch size, if the file fixes it.
    pub fn fixed_batch(&self) -> Option<i64> {
        let batches = self.inputs.iter().filter_map(|t| t.shape.first().copied());
        batches.max().filter(|n| *n > 0)
    }

    /// The role it fits in a model: `audio encoder` or `generator`.
    pub fn role(&self) -> Option<&'static str> {
        let roles = [AUDIO_ENCODER, GENERATOR];
        let role = roles.into_iter().find(|role| self.fits(role));
        role.map(|role| role.name)
    }

    fn fits(&self, role: &NetworkRole) -> bool {
        let mut free: Vec<&Outlet> = self.session.inputs().iter().collect();
        let found = role
            .inputs
            .iter()
            .all(|spec| take_matching(&mut free, spec).is_some());
        let mut outputs = self.session.outputs().iter().collect();
        found && free.is_empty() && take_matching(&mut outputs, &role.output).is_some()
    }

    /// Runs it twice on zeros, one item or the fixed batch; free axes are 1. Returns the time of the second run, as the
    /// first one also allocates memory.
    pub fn run_on_zeros(&mut self) -> Result<Duration> {
        let inputs: Vec<(String, DynValue)> = self
            .session
            .inputs()
            .iter()
            .map(|outlet| Ok((outlet.name().to_owned(), zeros(outlet)?)))
            .collect::<Result<_>>()?;
        let mut time = Duration::ZERO;
        for _ in 0..2 {
            let values: Vec<(&str, SessionInputValue<'_>)> = inputs
                .iter()
                .map(|(name, value)| (name.as_str(), SessionInputValue::from(value)))
                .collect();
            let started = Instant::now();
            self.session
                .run(values)
                .map_err(|e| Fault::failed(sentence_of(&e)))?;
            time = started.elapsed();
        }
        Ok(time)
    }
}

/// The inputs and outputs that a role asks for.
pub(crate) fn expected(role: &str) -> String {
    let roles = [AUDIO_ENCODER, GENERATOR];
    let wanted = roles.into_iter().filter(|r| r.name == role);
    wanted.map(|role| describe_role(&role)).collect()
}

/// What the file says of an input or output; `halves` are those that were widened.
fn info(outlet: &Outlet, halves: &[(String, i32)]) -> TensorInfo {
    let half = halves.iter().find(|(name, _)| name == outlet.name());
    let (dtype, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let dtype = match half {
                Some((_, data_type::BFLOAT16)) => "bfloat16".into(),
                Some(_) => "float16".into(),
                None => dtype_name(*ty),
            };
            (dtype, shape.to_vec())
        }
        other => (other.to_string(), Vec::new()),
    };
    TensorInfo {
        name: outlet.name().to_owned(),
        dtype,
        shape,
    }
}

/// NumPy's name for the type: `float32`.
fn dtype_name(ty: TensorElementType) -> String {
    match ty {
        TensorElementType::Float32 => "float32".into(),
        TensorElementType::Float16 => "float16".into(),
        TensorElementType::Float64 => "float64".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn zeros(outlet: &Outlet) -> Result<DynValue> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(Fault::failed(format!("input {} is not a tensor", outlet.name())).into());
    };
    let shape: Vec<i64> = shape.iter().map(|d| (*d).max(1)).collect();
    let count = shape.iter().product::<i64>() as usize;
    Ok(match ty {
        TensorElementType::Float32 => Tensor::from_array((shape, vec![0_f32; count]))?.into_dyn(),
        TensorElementType::Float64 => Tensor::from_array((shape, vec![0_f64; count]))?.into_dyn(),
        TensorElementType::Int64 => Tensor::from_array((shape, vec![0_i64; count]))?.into_dyn(),
        TensorElementType::Int32 => Tensor::from_array((shape, vec![0_i32; count]))?.into_dyn(),
        TensorElementType::Int8 => Tensor::from_array((shape, vec![0_i8; count]))?.into_dyn(),
        TensorElementType::Uint8 => Tensor::from_array((shape, vec![0_u8; count]))?.into_dyn(),
        other => {
            let dtype = dtype_name(*other);
            let what = format!("input {} is {dtype}, which cannot be tried", outlet.name());
            return Err(Fault::failed(what).into());
        }
    })
}
