//! A block as a node: written into a graph, and read back before the graph runs.

use anyhow::{Context as _, Result};

use super::pattern::FoundBlock;
use crate::inference::graph::proto::{Attribute, Graph, Model, Node, Tensor};
use crate::inference::kernel::{Grid, Layers, UpsampledInput};

/// The domain of operators that are not part of the standard.
pub(crate) const DOMAIN: &str = "lipsync";
/// The operator. Its inputs are the picture and, if something is added to the expanded picture, that smaller one. In a
/// file, weights and bias of expand, depthwise and project follow, then the smaller picture's weights; a running graph
/// has none of them ([`extract_blocks`]), and finds them by the node's name.
pub(crate) const BLOCK: &str = "Block";
/// The attribute for the shape of its output.
pub(crate) const OUTPUT: &str = "output";
/// The attribute for the shape of the picture, without batch.
const INPUT: &str = "input";
/// The attribute for the shape of the smaller picture, without batch.
const SMALL: &str = "small";
/// 1 if the small picture's corners lie on the large one's, 0 if their edges do.
pub(crate) const CORNERS: &str = "corners";
/// The stride of the depthwise convolution.
pub(crate) const STRIDE: &str = "stride";
/// 1 if the picture is added to the output.
pub(crate) const RESIDUAL: &str = "residual";

/// Replaces `block` by a node; `number` keeps the names of its weights apart from those of other blocks.
pub(super) fn write_block(graph: &mut Graph, block: &FoundBlock, number: usize) {
    let layers = &block.layers;
    let int64 = |shape: [usize; 3]| shape.map(|n| n as i64);
    let [out, height, width] = int64(layers.output());
    let (middle, channels) = (layers.middle() as i64, layers.input[0] as i64);
    let mut weights = vec![
        ("expand", vec![middle, channels], &layers.expand),
        ("expand.bias", vec![middle], &layers.expand_bias),
        ("depthwise", vec![middle, 9], &layers.depthwise),
        ("depthwise.bias", vec![middle], &layers.depthwise_bias),
        ("project", vec![out, middle], &layers.project),
        ("project.bias", vec![out], &layers.project_bias),
    ];
    let inputs: Vec<&str> = [Some(&block.input), block.small_input.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let mut node = Node {
        domain: DOMAIN.into(),
        ..Node::new(BLOCK, &inputs, graph.nodes[block.output_node].output())
    }
    .with(Attribute::of_ints(OUTPUT, &[1, out, height, width]))
    .with(Attribute::of_ints(INPUT, &int64(layers.input)))
    .with(Attribute::of_int(STRIDE, layers.stride as i64))
    .with(Attribute::of_int(RESIDUAL, layers.residual.into()));
    if let Some(small) = &layers.upsampled_input {
        let shape = vec![middle, small.input[0] as i64];
        weights.push(("small", shape, &small.weights));
        let corners = i64::from(small.grid == Grid::AlignCorners);
        node = node
            .with(Attribute::of_ints(SMALL, &int64(small.input)))
            .with(Attribute::of_int(CORNERS, corners));
    }
    for (what, shape, values) in weights {
        let name = format!("block{number}.{what}");
        let tensor = Tensor::of_floats(&name, &shape, values);
        graph.initializers.push(tensor);
        node.inputs.push(name);
    }
    graph.nodes[block.output_node] = node;
    // Nodes that only the replaced ones needed must go, so that no other block is found among them.
    graph.prune();
}

/// Takes the weights of all blocks out of `model`, and returns the layers of each node by its name.
pub(crate) fn extract_blocks(model: &mut Model) -> Result<Vec<(String, Layers)>> {
    let graph = model.graph_mut()?;
    let mut blocks = Vec::new();
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        if node.domain == DOMAIN && node.op_type == BLOCK {
            let layers = read_layers(graph, node);
            let layers = layers.with_context(|| format!("block `{}` is incomplete", node.name))?;
            blocks.push((node.name.clone(), layers));
            let node = &mut graph.nodes[at];
            let pictures = picture_count(node);
            node.inputs.truncate(pictures);
        }
    }
    graph.prune();
    Ok(blocks)
}

/// How many of a block's inputs are pictures: the first ones.
fn picture_count(node: &Node) -> usize {
    1 + usize::from(node.ints(SMALL).is_some())
}

/// The layers of a node that still has its weights.
fn read_layers(graph: &Graph, node: &Node) -> Option<Layers> {
    let pictures = picture_count(node);
    let weights = |n: usize| graph.initializer(node.input(pictures + n))?.float_values();
    let shape = |name: &str| match node.ints(name)? {
        &[c, h, w] => Some([c, h, w].map(|n| n as usize)),
        _ => None,
    };
    let upsampled_input = match shape(SMALL) {
        Some(input) => Some(UpsampledInput {
            input,
            weights: weights(6)?,
            grid: if node.int(CORNERS)? == 1 {
                Grid::AlignCorners
            } else {
                Grid::HalfPixel
            },
        }),
        None => None,
    };
    Some(Layers {
        input: shape(INPUT)?,
        expand: weights(0)?,
        expand_bias: weights(1)?,
        upsampled_input,
        depthwise: weights(2)?,
        depthwise_bias: weights(3)?,
        stride: node.int(STRIDE)? as usize,
        project: weights(4)?,
        project_bias: weights(5)?,
        residual: node.int(RESIDUAL)? == 1,
    })
}
