//! Half precision: every f32 inside the graph becomes f16; inputs and outputs stay f32.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use half::f16;

use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, data_type};

/// Operators whose inputs from the second on stay f32: they are positions and scales, not values of pixels.
const F32_PARAMETERS: [&str; 2] = ["Resize", "Upsample"];

/// Operators that CUDA computes in f32 only. All their inputs are values of pixels.
const F32_OPERATORS: [&str; 1] = ["GridSample"];

/// Rewrites `model` in half precision.
pub(crate) fn to_half_precision(model: &mut Model) -> Result<()> {
    let graph = model.graph_mut()?;
    let parameters = f32_parameters(graph);
    for tensor in &mut graph.initializers {
        if tensor.data_type == data_type::FLOAT && !parameters.contains(&tensor.name) {
            let halved = to_f16(tensor);
            ensure!(halved.is_some(), "a constant without values");
            *tensor = halved.unwrap_or_default();
        }
    }
    for node in &mut graph.nodes {
        let is_cast = node.is("Cast");
        for attribute in &mut node.attributes {
            let to_float = attribute.int == Some(i64::from(data_type::FLOAT));
            if is_cast && attribute.name == "to" && to_float {
                attribute.int = Some(i64::from(data_type::FLOAT16));
            }
            if let Some(halved) = attribute.tensor.as_ref().and_then(to_f16) {
                attribute.tensor = Some(halved);
            }
        }
    }
    cast_inputs_and_outputs(graph);
    cast_around_f32_operators(graph);
    Ok(())
}

/// Names of the constants that operators take as f32.
fn f32_parameters(graph: &Graph) -> HashSet<String> {
    let resizing = graph
        .nodes
        .iter()
        .filter(|node| F32_PARAMETERS.contains(&node.op_type.as_str()));
    resizing
        .flat_map(|node| node.inputs.iter().skip(1))
        .cloned()
        .collect()
}

/// Puts a cast after each f32 input and before each f32 output of the graph.
fn cast_inputs_and_outputs(graph: &mut Graph) {
    let halves = |infos: &[ValueInfo]| -> HashMap<String, String> {
        let is_float = |info: &&ValueInfo| {
            let tensor = info.tensor_type();
            tensor.is_some_and(|tensor| tensor.elem_type == data_type::FLOAT)
        };
        let floats = infos.iter().filter(is_float);
        floats
            .map(|info| (info.name.clone(), format!("{}.half", info.name)))
            .collect()
    };
    let (inputs, outputs) = (halves(&graph.inputs), halves(&graph.outputs));
    for node in &mut graph.nodes {
        for name in node.inputs.iter_mut().chain(&mut node.outputs) {
            if let Some(half) = inputs.get(name).or_else(|| outputs.get(name)) {
                name.clone_from(half);
            }
        }
    }
    let first = inputs
        .iter()
        .map(|(float, half)| cast(float, half, data_type::FLOAT16));
    let last = outputs
        .iter()
        .map(|(float, half)| cast(half, float, data_type::FLOAT));
    let last: Vec<Node> = last.collect();
    graph.nodes.splice(..0, first.collect::<Vec<_>>());
    graph.nodes.extend(last);
}

/// Puts casts before and after operators that stay in f32.
fn cast_around_f32_operators(graph: &mut Graph) {
    let nodes = std::mem::take(&mut graph.nodes);
    for mut node in nodes {
        if !F32_OPERATORS.contains(&node.op_type.as_str()) {
            graph.nodes.push(node);
            continue;
        }
        let output = node.output().to_owned();
        for (at, name) in node.inputs.iter_mut().enumerate() {
            let float = format!("{output}.float{at}");
            graph.nodes.push(cast(name, &float, data_type::FLOAT));
            *name = float;
        }
        let float = format!("{output}.float");
        node.outputs = vec![float.clone()];
        graph.nodes.push(node);
        graph.nodes.push(cast(&float, &output, data_type::FLOAT16));
    }
}

fn cast(from: &str, into: &str, to: i32) -> Node {
    Node::new("Cast", &[from], into).with(Attribute::of_int("to", i64::from(to)))
}

/// The tensor in half precision, clamped to its range; none if it is not f32.
fn to_f16(tensor: &Tensor) -> Option<Tensor> {
    let values = tensor.float_values()?;
    let max = f16::MAX.to_f32();
    let halves = values
        .iter()
        .map(|value| f16::from_f32(value.clamp(-max, max)));
    Some(Tensor {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        data_type: data_type::FLOAT16,
        raw_data: Some(halves.flat_map(f16::to_le_bytes).collect()),
        ..Tensor::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_and_stay_finite() {
        let tensor = Tensor::of_floats("w", &[3], &[1.0 / 3.0, -2.0, 1e9]);
        let halved = to_f16(&tensor).unwrap();
        assert_eq!(halved.data_type, data_type::FLOAT16);
        assert_eq!(halved.dims, [3]);
        let raw_data = halved.raw_data.unwrap();
        let bits: Vec<u16> = raw_data
            .chunks(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        assert_eq!(bits, [0x3555, 0xc000, 0x7bff]);
        assert_eq!(to_f16(&Tensor::of_bytes("b", &[1], &[1])), None);
    }
}
