//! Moves 1x1 convolutions before bilinear upsamples, where they cost a quarter.
//!
//! ```text
//! Concat(Resize(deep), skip) -> Conv 1x1      becomes      Resize(Conv 1x1 (deep)) + Conv 1x1 (skip)
//! ```
//!
//! The convolution mixes the channels of one pixel, the upsample mixes the pixels of one channel, so their order does not
//! matter. The upsample's weights add up to 1, so even the bias may go to either side.

use std::ops::Range;

use anyhow::Result;

use super::edit::Shapes;
use super::proto::{Graph, Model, Node, Tensor};

/// Rewrites every such place of `model`, whose tensors have `shapes`, and returns how many there were.
pub(crate) fn move_convolutions(model: &mut Model, shapes: &Shapes) -> Result<usize> {
    let graph = model.graph_mut()?;
    let mut count = 0;
    while let Some(found) = find(graph, shapes) {
        rewrite(graph, found, count);
        count += 1;
    }
    graph.prune();
    Ok(count)
}

/// A place where the pattern fits: its nodes by index, and the convolution's weights for each part of the concatenation.
struct Match {
    resize: usize,
    concat: usize,
    conv: usize,
    deep: Tensor,
    skip: Tensor,
}

fn find(graph: &Graph, shapes: &Shapes) -> Option<Match> {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let only_consumer = |name: &str| match consumers.get(name).map(Vec::as_slice) {
        Some(&[consumer]) if !graph.is_output(name) => Some(consumer),
        _ => None,
    };
    (0..graph.nodes.len()).find_map(|conv| {
        let node = &graph.nodes[conv];
        let weights = graph.initializer(node.input(1))?;
        if !node.is_pointwise(weights) {
            return None;
        }
        let concat = *producers.get(node.input(0))?;
        let joined = &graph.nodes[concat];
        let fits = joined.is("Concat") && joined.int("axis") == Some(1) && joined.inputs.len() == 2;
        only_consumer(joined.output()).filter(|_| fits)?;
        let resize = *producers.get(joined.input(0))?;
        let upsample = &graph.nodes[resize];
        only_consumer(upsample.output())?;
        let channels = *shapes.get(upsample.output())?.get(1)? as usize;
        let (deep, skip) = split_weights(weights, channels)?;
        is_bilinear_upsample(graph, upsample).then_some(Match {
            resize,
            concat,
            conv,
            deep,
            skip,
        })
    })
}

/// Whether `node` is a bilinear upsample of rows and columns by given scales.
fn is_bilinear_upsample(graph: &Graph, node: &Node) -> bool {
    let scales = graph
        .initializer(node.input(2))
        .and_then(Tensor::float_values);
    let one = 1.0_f32.to_bits();
    node.is("Resize")
        && node.string("mode") == Some(b"linear")
        && node.string("coordinate_transformation_mode") != Some(b"tf_crop_and_resize")
        && node.inputs.len() <= 3
        && matches!(scales.as_deref(), Some([n, c, ..]) if [n, c].map(|v| v.to_bits()) == [one; 2])
}

fn rewrite(graph: &mut Graph, mut found: Match, number: usize) {
    let name = |what: &str| format!("reordered{number}.{what}");
    let [deep, skip, small, large, skipped] =
        ["deep", "skip", "small", "large", "skipped"].map(name);
    let resize = graph.nodes[found.resize].clone();
    let conv = graph.nodes[found.conv].clone();
    let skip_input = graph.nodes[found.concat].input(1);
    let pointwise = |inputs: &[&str], output: &str| Node {
        attributes: conv.attributes.clone(),
        ..Node::new("Conv", inputs, output)
    };
    let bias = conv.inputs.get(2).map(String::as_str);
    let skip_inputs: Vec<&str> = [skip_input, &skip].into_iter().chain(bias).collect();
    let new = [
        pointwise(&[resize.input(0), &deep], &small),
        Node {
            inputs: [std::slice::from_ref(&small), &resize.inputs[1..]].concat(),
            outputs: vec![large.clone()],
            name: large.clone(),
            ..resize
        },
        pointwise(&skip_inputs, &skipped),
        Node::new("Add", &[&skipped, &large], conv.output()),
    ];
    found.deep.name = deep;
    found.skip.name = skip;
    graph.initializers.extend([found.deep, found.skip]);
    // Their inputs are produced before the convolution, and their consumers come after it.
    graph.nodes.splice(found.conv..=found.conv, new);
}

/// The weights for the first `channels` input channels, and for the others.
fn split_weights(weights: &Tensor, channels: usize) -> Option<(Tensor, Tensor)> {
    let values = weights.float_values()?;
    let (rows, columns) = (weights.dims[0], weights.dims[1] as usize);
    if channels == 0 || channels >= columns {
        return None;
    }
    let part = |range: Range<usize>| {
        let dims = [rows, range.len() as i64, 1, 1];
        let rows = values.chunks_exact(columns);
        let values: Vec<f32> = rows.flat_map(|row| &row[range.clone()]).copied().collect();
        Tensor::of_floats("", &dims, &values)
    };
    Some((part(0..channels), part(channels..columns)))
}
