//! Bytes in and out: preparing the picture and converting the output become part of the graph.
//!
//! Per frame, 0.3 MB are then copied to a GPU and 0.3 MB back, instead of 2.5 and 1.2.

use std::iter;

use anyhow::{Context as _, Result, ensure};

use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, data_type};
use crate::face::{BORDER, CROP, INNER, MASK_COLUMNS, MASK_ROWS};

/// The name of the input that takes crops.
pub(crate) const CROPS: &str = "crops.bytes";
/// The name of the output that gives pictures.
pub(crate) const PICTURES: &str = "pictures.bytes";

/// The name of the output that tells whether pictures were finite, `[N, 3, 1, 1]`: bytes cannot hold NaN and infinities.
pub(crate) const FINITE: &str = "pictures.finite";

/// The first version of the standard's operators in which `Slice` and `Clip` take their parameters as inputs.
const MIN_OPSET: i64 = 11;

/// Lets `model` take crops, `[N, 328, 328, 3]` R G B, instead of its input `picture`, and give levels, `[N, 3, 320, 320]`
/// B G R, truncated as the contract says, instead of its output.
pub(crate) fn use_bytes(model: &mut Model, picture: &str) -> Result<()> {
    let mut opsets = model.opset_imports.iter();
    let standard = opsets.find(|opset| opset.domain.is_empty());
    let version = standard.map_or(0, |opset| opset.version);
    ensure!(
        version >= MIN_OPSET,
        "its operators are of opset {version} (at least {MIN_OPSET} is needed)"
    );
    let graph = model.graph_mut()?;
    let output = graph.outputs.first().context("it has no output")?.clone();
    let input = graph.inputs.iter().position(|input| input.name == picture);
    let input = graph
        .inputs
        .remove(input.context("it has no picture input")?);
    let crop = [CROP as i64, CROP as i64, 3];
    let inner = [3, INNER as i64, INNER as i64];
    graph.inputs.push(byte_tensor(&input, CROPS, &crop)?);
    graph.outputs = vec![
        byte_tensor(&output, PICTURES, &inner)?,
        with_batch(
            &output,
            ValueInfo::tensor(FINITE, data_type::FLOAT, &[3, 1, 1]),
        )?,
    ];
    prepend_preparation(graph, picture);
    append_conversion(graph, &output.name);
    Ok(())
}

/// A tensor of bytes with the batch of `like`.
fn byte_tensor(like: &ValueInfo, name: &str, shape: &[i64]) -> Result<ValueInfo> {
    with_batch(like, ValueInfo::tensor(name, data_type::UINT8, shape))
}

/// `info` with the batch of `like`.
fn with_batch(like: &ValueInfo, mut info: ValueInfo) -> Result<ValueInfo> {
    let batch = like
        .tensor_type()
        .and_then(|tensor| tensor.shape.as_ref()?.dims.first());
    let batch = batch.context("a tensor without a batch")?.clone();
    let tensor = info.value_type.as_mut().and_then(|t| t.tensor.as_mut());
    if let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_mut()) {
        shape.dims.insert(0, batch);
    }
    Ok(info)
}

/// As [`crate::face::network_input`] does it: the inner picture, B G R, divided by 255, whole and masked.
fn prepend_preparation(graph: &mut Graph, picture: &str) {
    let (first, last) = (BORDER as i64, (BORDER + INNER) as i64);
    graph.initializers.extend([
        Tensor::of_int64s("bytes.first", &[first, first]),
        Tensor::of_int64s("bytes.last", &[last, last]),
        Tensor::of_int64s("bytes.axes", &[1, 2]),
        Tensor::of_int64s("bytes.bgr", &[2, 1, 0]),
        Tensor::of_floats("bytes.levels", &[], &[255.0]),
        mask("bytes.mask"),
    ]);
    let slice = [CROPS, "bytes.first", "bytes.last", "bytes.axes"];
    let to_float = Attribute::of_int("to", i64::from(data_type::FLOAT));
    let planes = Attribute::of_ints("perm", &[0, 3, 1, 2]);
    let nodes = [
        Node::new("Slice", &slice, "bytes.inner"),
        Node::new("Cast", &["bytes.inner"], "bytes.floats").with(to_float),
        Node::new("Transpose", &["bytes.floats"], "bytes.planes").with(planes),
        Node::new("Gather", &["bytes.planes", "bytes.bgr"], "bytes.reordered")
            .with(Attribute::of_int("axis", 1)),
        Node::new("Div", &["bytes.reordered", "bytes.levels"], "bytes.whole"),
        Node::new("Mul", &["bytes.whole", "bytes.mask"], "bytes.masked"),
        Node::new("Concat", &["bytes.whole", "bytes.masked"], picture)
            .with(Attribute::of_int("axis", 1)),
    ];
    graph.nodes.splice(..0, nodes);
}

/// 0 where the mask hides the picture, else 1.
fn mask(name: &str) -> Tensor {
    let hides = |x, y| MASK_ROWS.contains(&y) && MASK_COLUMNS.contains(&x);
    let rows = (0..INNER).flat_map(|y| iter::repeat(y).zip(0..INNER));
    let values: Vec<f32> = rows
        .map(|(y, x)| f32::from(u8::from(!hides(x, y))))
        .collect();
    Tensor::of_floats(name, &[1, 1, INNER as i64, INNER as i64], &values)
}

/// Turns `output`, 0..1, into levels: clamped, then truncated. Times zero, it stays what it is if it is not finite, and so
/// does the mean of each plane.
fn append_conversion(graph: &mut Graph, output: &str) {
    graph
        .initializers
        .push(Tensor::of_floats("bytes.zero", &[], &[0.0]));
    let to_bytes = Attribute::of_int("to", i64::from(data_type::UINT8));
    graph.nodes.extend([
        Node::new("Mul", &[output, "bytes.zero"], "bytes.zeros"),
        Node::new("GlobalAveragePool", &["bytes.zeros"], FINITE),
        Node::new("Mul", &[output, "bytes.levels"], "bytes.scaled"),
        Node::new(
            "Clip",
            &["bytes.scaled", "bytes.zero", "bytes.levels"],
            "bytes.clipped",
        ),
        Node::new("Cast", &["bytes.clipped"], PICTURES).with(to_bytes),
    ]);
}
