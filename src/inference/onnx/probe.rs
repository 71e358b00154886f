//! Any network, loaded to be looked at.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};
use serde::Serialize;

use super::network::{choose, describe_slot};
use super::{AUDIO_ENCODER, Arena, GENERATOR, Hardware, Loader, NetworkRole, Runtime, first_line};
use crate::error::{Fault, plain_io};

/// A tensor that a network takes or gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// `float32`, `float16`, `int64`, ..
    pub dtype: String,
    /// Its shape; -1 where any size will do.
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

/// A network on the CPU, of whatever shape.
pub struct Probe {
    session: Session,
    /// What it takes.
    pub inputs: Vec<TensorInfo>,
    /// What it gives.
    pub outputs: Vec<TensorInfo>,
}

impl Probe {
    /// Loads the network at `path`.
    pub fn load(runtime: &Runtime, path: &Path, threads: usize) -> Result<Self> {
        let fault = || Fault::failed(format!("cannot load network `{}`", path.display()));
        let bytes = std::fs::read(path).map_err(|e| fault().because(plain_io(&e)))?;
        let loader = Loader {
            runtime,
            hardware: Hardware::cpu(threads),
            threads,
            memory: Arena::System,
        };
        let (session, _) = loader.session(path, &bytes, fault)?;
        Ok(Self {
            inputs: session.inputs().iter().map(info).collect(),
            outputs: session.outputs().iter().map(info).collect(),
            session,
        })
    }

    /// The batch size that the file insists on.
    pub fn fixed_batch(&self) -> Option<i64> {
        let batches = self.inputs.iter().filter_map(|t| t.shape.first().copied());
        batches.max().filter(|n| *n > 0)
    }

    /// What it can serve as in a model of this renderer: `audio encoder` or `generator`.
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
            .all(|slot| choose(&mut free, slot).is_some());
        let mut outputs = self.session.outputs().iter().collect();
        found && free.is_empty() && choose(&mut outputs, &role.output).is_some()
    }

    /// Runs it on zeros, one item or a fixed batch; free axes are 1. Returns how long the second run took: the first
    /// one also finds its memory.
    pub fn run_on_zeros(&mut self) -> Result<Duration> {
        let inputs: Vec<(String, DynValue)> = self
            .session
            .inputs()
            .iter()
            .map(|outlet| Ok((outlet.name().to_owned(), zeros(outlet)?)))
            .collect::<Result<_>>()?;
        let mut took = Duration::ZERO;
        for _ in 0..2 {
            let values: Vec<(&str, SessionInputValue<'_>)> = inputs
                .iter()
                .map(|(name, value)| (name.as_str(), SessionInputValue::from(value)))
                .collect();
            let started = Instant::now();
            self.session
                .run(values)
                .map_err(|e| Fault::failed(first_line(&e)))?;
            took = started.elapsed();
        }
        Ok(took)
    }
}

/// What a file would have to be to serve as `role`, in words.
pub(crate) fn expected(role: &str) -> String {
    let roles = [AUDIO_ENCODER, GENERATOR];
    let wanted = roles.into_iter().filter(|r| r.name == role);
    let words = wanted.map(|r| {
        let inputs: Vec<String> = r.inputs.iter().map(describe_slot).collect();
        format!("{} -> {}", inputs.join(", "), describe_slot(&r.output))
    });
    words.collect()
}

fn info(outlet: &Outlet) -> TensorInfo {
    let (dtype, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (dtype_name(*ty), shape.to_vec()),
        other => (other.to_string(), Vec::new()),
    };
    TensorInfo {
        name: outlet.name().to_owned(),
        dtype,
        shape,
    }
}

/// NumPy's name: ONNX Runtime's `f32` is `float32`.
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
            let what = format!("input {} is {dtype}, which is not fed here", outlet.name());
            return Err(Fault::failed(what).into());
        }
    })
}
