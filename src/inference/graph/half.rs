//! Half precision: every f32 inside the graph becomes f16; what it takes and gives stays f32.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use half::f16;

use super::proto::{Attribute, Graph, Model, Node, Tensor, ValueInfo, dtype};

/// Inputs, from the second on, that stay f32 whatever the first is: places and factors, not values of pixels.
const KEEP_THEIRS: [&str; 2] = ["Resize", "Upsample"];

/// Operators that CUDA computes in f32 alone, on pixels alone.
const FULL: [&str; 1] = ["GridSample"];

/// Rewrites `model` in half precision.
pub(crate) fn halve(model: &mut Model) -> Result<()> {
    let graph = model.graph_mut()?;
    let kept = kept(graph);
    for tensor in &mut graph.constants {
        if tensor.dtype == dtype::FLOAT && !kept.contains(&tensor.name) {
            let halved = in_half(tensor);
            ensure!(halved.is_some(), "a constant without values");
            *tensor = halved.unwrap_or_default();
        }
    }
    for node in &mut graph.nodes {
        let casts = node.is("Cast");
        for attribute in &mut node.attributes {
            if casts && attribute.name == "to" && attribute.int == Some(i64::from(dtype::FLOAT)) {
                attribute.int = Some(i64::from(dtype::FLOAT16));
            }
            if let Some(halved) = attribute.tensor.as_ref().and_then(in_half) {
                attribute.tensor = Some(halved);
            }
        }
    }
    cast_at_the_ends(graph);
    cast_around_the_full(graph);
    Ok(())
}

/// Constants that operators want as f32.
fn kept(graph: &Graph) -> HashSet<String> {
    let resizing = graph
        .nodes
        .iter()
        .filter(|node| KEEP_THEIRS.contains(&node.op.as_str()));
    resizing
        .flat_map(|node| node.inputs.iter().skip(1))
        .cloned()
        .collect()
}

/// Puts a cast behind each f32 that comes in and before each that goes out.
fn cast_at_the_ends(graph: &mut Graph) {
    let floats = |infos: &[ValueInfo]| -> HashMap<String, String> {
        let float = |info: &&ValueInfo| {
            let tensor = info.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
            tensor.is_some_and(|tensor| tensor.dtype == dtype::FLOAT)
        };
        let named = infos.iter().filter(float);
        named
            .map(|info| (info.name.clone(), format!("{}.half", info.name)))
            .collect()
    };
    let (taken, given) = (floats(&graph.inputs), floats(&graph.outputs));
    for node in &mut graph.nodes {
        for name in node.inputs.iter_mut().chain(&mut node.outputs) {
            if let Some(half) = taken.get(name).or_else(|| given.get(name)) {
                name.clone_from(half);
            }
        }
    }
    let first = taken
        .iter()
        .map(|(whole, half)| cast(whole, half, dtype::FLOAT16));
    let last = given
        .iter()
        .map(|(whole, half)| cast(half, whole, dtype::FLOAT));
    let last: Vec<Node> = last.collect();
    graph.nodes.splice(..0, first.collect::<Vec<_>>());
    graph.nodes.extend(last);
}

/// Puts casts before and behind operators that stay in full precision.
fn cast_around_the_full(graph: &mut Graph) {
    let nodes = std::mem::take(&mut graph.nodes);
    for mut node in nodes {
        if !FULL.contains(&node.op.as_str()) {
            graph.nodes.push(node);
            continue;
        }
        let own = node.output().to_owned();
        for (at, name) in node.inputs.iter_mut().enumerate() {
            let full = format!("{own}.full{at}");
            graph.nodes.push(cast(name, &full, dtype::FLOAT));
            *name = full;
        }
        let full = format!("{own}.full");
        node.outputs = vec![full.clone()];
        graph.nodes.push(node);
        graph.nodes.push(cast(&full, &own, dtype::FLOAT16));
    }
}

fn cast(from: &str, into: &str, to: i32) -> Node {
    Node::new("Cast", &[from], into).with(Attribute::of_int("to", i64::from(to)))
}

/// The tensor in half precision; none if it is not f32. What is too large for that becomes the largest there is.
fn in_half(tensor: &Tensor) -> Option<Tensor> {
    let values = tensor.values()?;
    let most = f16::MAX.to_f32();
    let halves = values
        .iter()
        .map(|value| f16::from_f32(value.clamp(-most, most)));
    Some(Tensor {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        dtype: dtype::FLOAT16,
        raw: Some(halves.flat_map(f16::to_le_bytes).collect()),
        ..Tensor::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_and_stay_finite() {
        let tensor = Tensor::of_floats("w", &[3], &[1.0 / 3.0, -2.0, 1e9]);
        let halved = in_half(&tensor).unwrap();
        assert_eq!((halved.dtype, &halved.dims[..]), (dtype::FLOAT16, &[3][..]));
        let raw = halved.raw.unwrap();
        let bits: Vec<u16> = raw
            .chunks(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        assert_eq!(bits, [0x3555, 0xc000, 0x7bff]);
        assert_eq!(in_half(&Tensor::of_bytes("b", &[1], &[1])), None);
    }
}
