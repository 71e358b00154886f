//! What is left of the exporter's chains once all shapes are known.
//!
//! ONNX Runtime folds constants itself when it writes a model for one batch size; borders of zero pixels, which the
//! exporter puts round every upsampled picture, it leaves.

use std::collections::HashMap;

use anyhow::Result;

use super::proto::{Graph, Model, Node, Tensor};

/// Takes out `Pad` nodes that add nothing.
pub(crate) fn drop_empty_pads(model: &mut Model) -> Result<()> {
    let graph = model.graph_mut()?;
    let adds_nothing = |graph: &Graph, node: &Node| {
        let pads = graph.constant(node.input(1));
        node.is("Pad")
            && !graph.gives(node.output())
            && pads
                .and_then(Tensor::integers)
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
        // One pad may stand behind another.
        while let Some(source) = same.get(name) {
            name.clone_from(source);
        }
    }
    graph.prune();
    Ok(())
}
