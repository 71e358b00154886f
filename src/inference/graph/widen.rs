//! Single precision: every f16 and bf16 of a network becomes f32, so that it takes, computes and gives f32.

use anyhow::{Result, ensure};
use half::{bf16, f16};

use super::proto::{Graph, Model, Node, Tensor, data_type};

/// Whether a type of tensors is a half-precision one.
pub(crate) fn is_half(data_type: i32) -> bool {
    [data_type::FLOAT16, data_type::BFLOAT16].contains(&data_type)
}

/// Rewrites `model` in single precision.
pub(crate) fn to_single_precision(model: &mut Model) -> Result<()> {
    if let Some(graph) = &mut model.graph {
        widen_graph(graph)?;
    }
    let functions = model.functions.iter_mut();
    for node in functions.flat_map(|function| &mut function.nodes) {
        widen_node(node)?;
    }
    Ok(())
}

fn widen_graph(graph: &mut Graph) -> Result<()> {
    for tensor in &mut graph.initializers {
        widen_tensor(tensor)?;
    }
    for info in graph.inputs.iter_mut().chain(&mut graph.outputs) {
        let tensor = info.value_type.as_mut().and_then(|t| t.tensor.as_mut());
        if let Some(tensor) = tensor.filter(|tensor| is_half(tensor.elem_type)) {
            tensor.elem_type = data_type::FLOAT;
        }
    }
    // Types of inner tensors; the runtime infers them again.
    graph.value_infos.clear();
    graph.nodes.iter_mut().try_for_each(widen_node)
}

fn widen_node(node: &mut Node) -> Result<()> {
    for attribute in &mut node.attributes {
        // The types that `Cast`, `EyeLike`, `RandomNormal` and others convert to.
        let names_type = ["to", "dtype"].contains(&attribute.name.as_str());
        let is_half = |kind: i64| i32::try_from(kind).is_ok_and(is_half);
        if names_type && attribute.int.is_some_and(is_half) {
            attribute.int = Some(data_type::FLOAT.into());
        }
        for tensor in attribute.tensor.iter_mut().chain(&mut attribute.tensors) {
            widen_tensor(tensor)?;
        }
        for graph in attribute.graph.iter_mut().chain(&mut attribute.graphs) {
            widen_graph(graph)?;
        }
    }
    Ok(())
}

/// Its values as f32, if they are half-precision. They must be in the file.
fn widen_tensor(tensor: &mut Tensor) -> Result<()> {
    let widen: fn(u16) -> f32 = match tensor.data_type {
        data_type::FLOAT16 => |bits| f16::from_bits(bits).to_f32(),
        data_type::BFLOAT16 => |bits| bf16::from_bits(bits).to_f32(),
        _ => return Ok(()),
    };
    let values: Vec<f32> = match &tensor.raw_data {
        Some(raw_data) => {
            let numbers = raw_data.as_chunks::<2>().0.iter();
            numbers.map(|b| widen(u16::from_le_bytes(*b))).collect()
        }
        None => tensor
            .int32s
            .iter()
            .map(|&bits| widen(bits as u16))
            .collect(),
    };
    let len: i64 = tensor.dims.iter().product();
    ensure!(
        values.len() as i64 == len,
        "tensor `{}` has {} values instead of {len}",
        tensor.name,
        values.len()
    );
    *tensor = Tensor::of_floats(&tensor.name, &tensor.dims, &values);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_halves_are_widened_wherever_their_values_are() {
        let raw = |data_type, bits: [u16; 2]| Tensor {
            name: "w".into(),
            dims: vec![2],
            data_type,
            raw_data: Some(bits.into_iter().flat_map(u16::to_le_bytes).collect()),
            ..Tensor::default()
        };
        let listed = Tensor {
            raw_data: None,
            int32s: vec![0x3800, 0xc000],
            ..raw(data_type::FLOAT16, [0; 2])
        };
        for mut tensor in [
            raw(data_type::FLOAT16, [0x3800, 0xc000]),
            raw(data_type::BFLOAT16, [0x3f00, 0xc000]),
            listed,
        ] {
            widen_tensor(&mut tensor).unwrap();
            assert_eq!(tensor, Tensor::of_floats("w", &[2], &[0.5, -2.0]));
        }
        let mut short = raw(data_type::FLOAT16, [0; 2]);
        short.dims = vec![3];
        assert!(widen_tensor(&mut short).is_err());
        let mut other = Tensor::of_bytes("w", &[1], &[7]);
        widen_tensor(&mut other).unwrap();
        assert_eq!(other, Tensor::of_bytes("w", &[1], &[7]));
    }
}
