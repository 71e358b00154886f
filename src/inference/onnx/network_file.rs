//! A network's file -> the form that everything else works on: all weights inside, f32 instead of half precision.

use std::path::Path;

use anyhow::Result;
use prost::Message as _;

use crate::error::{Fault, plain_io};
use crate::files::misnamed;
use crate::inference::external;
use crate::inference::graph::outline::{Outline, ValueOutline};
use crate::inference::graph::proto::Model;
use crate::inference::graph::widen::{is_half, to_single_precision};

/// The largest message that protobuf reads, and with it ONNX Runtime.
const MAX_BYTES: usize = i32::MAX as usize;

/// A network, ready to be loaded.
#[derive(Debug)]
pub(super) struct NetworkFile {
    /// The network as ONNX, complete in itself.
    pub(super) bytes: Vec<u8>,
    /// Names of the inputs and outputs that have half precision in the file and f32 in `bytes`, with their types there.
    pub(super) halves: Vec<(String, i32)>,
}

impl NetworkFile {
    /// Reads the file at `path`; messages call it `what`.
    pub(super) fn read(path: &Path, what: &str) -> Result<Self> {
        let fault =
            |doing: &str| Fault::failed(format!("cannot {doing} {what} `{}`", path.display()));
        let bytes = std::fs::read(path).map_err(|e| fault("read").because(plain_io(&e)))?;
        let unusable = |why: String| {
            let fault = fault("load").because(why);
            let hint = "export or copy it again";
            misnamed::explain(fault.hint(hint), path)
        };
        let outline = Outline::decode(bytes.as_slice());
        let outline = outline.map_err(|e| unusable(broken(&bytes, &e)))?;
        let Some(graph) = &outline.graph else {
            return Err(unusable("it holds no network".into()).into());
        };
        let values = graph.inputs.iter().chain(&graph.outputs);
        let halves: Vec<(String, i32)> = values
            .map(|value: &ValueOutline| (value.name(), value.data_type()))
            .filter(|(_, data_type)| is_half(*data_type))
            .collect();
        if halves.is_empty() && !external::has_external_weights(&outline) {
            return Ok(Self { bytes, halves });
        }
        let mut model =
            Model::decode(bytes.as_slice()).map_err(|e| unusable(broken(&bytes, &e)))?;
        drop(bytes);
        external::embed(&mut model, path, what)?;
        if !halves.is_empty() {
            to_single_precision(&mut model).map_err(|e| unusable(e.to_string()))?;
        }
        let len = model.encoded_len();
        if len > MAX_BYTES {
            let why = format!("with its weights it has {len} bytes; the maximum is {MAX_BYTES}");
            return Err(fault("load").because(why).into());
        }
        let bytes = model.encode_to_vec();
        Ok(Self { bytes, halves })
    }
}

/// Why bytes cannot be decoded as ONNX.
fn broken(bytes: &[u8], error: &prost::DecodeError) -> String {
    // Exporters write the IR version first.
    let starts_like_onnx = matches!(bytes, [8, 1..=99, ..]);
    if starts_like_onnx && error.to_string().contains("buffer underflow") {
        format!(
            "it is truncated: it ends within a field, after {} bytes",
            bytes.len()
        )
    } else if starts_like_onnx {
        format!("it is damaged: {error}")
    } else {
        "it is not an ONNX file".into()
    }
}
