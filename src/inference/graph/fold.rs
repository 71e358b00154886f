//! Removes what is left of the exporter's shape computations once all shapes are known.
//!
//! ONNX Runtime folds constants itself when it writes a model for one batch size, but leaves the padding of zero pixels
//! that the exporter puts around every upsampled picture.

use std::collections::HashMap;

use anyhow::Result;

use super::proto::{Graph, Model, Node, Tensor};

/// Removes `Pad` nodes that add nothing.
pub(crate) fn remove_empty_pads(model: &mut Model) -> Result<()> {
    let graph = model.graph_mut()?;
    let adds_nothing = |graph: &Graph, node: &Node| {
        let pads = graph.initializer(node.input(1));
        node.is("Pad")
            && !graph.is_output(node.output())
            && pads
                .and_then(Tensor::int64_values)
                .is_some_and(|pads| pads.iter().all(|&n| n == 0))
    };
    let same: HashMap<String, String> = graph
        .nodes
        .iter()
        .filter(|node| adds_nothing(graph, node))
        .map(|node| (node.output().to_owned(), node.input(0).to_owned()))
        .collect();
    graph.nodes.retain(|node| !same.contains_key(node.output()));
    for name in graph.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        // One pad may follow another.
        while let Some(source) = same.get(name) {
            name.clone_from(source);
        }
    }
    graph.prune();
    Ok(())
}
