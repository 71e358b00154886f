//! A 1x1 convolution after a bilinear upsample equals the upsample after the convolution, at a quarter of the work.
//!
//! ```text
//! Concat(Resize(deep), skip) -> Conv 1x1      becomes      Resize(Conv 1x1 (deep)) + Conv 1x1 (skip)
//! ```
//!
//! The convolution mixes channels at one place, the upsample mixes places in one channel, and its weights add up to 1,
//! so that even the bias may stand on either side.

use anyhow::Result;

use super::edit::Shapes;
use super::proto::{Graph, Model, Node, Tensor};

/// Rewrites every such place of `model`, whose tensors have `shapes`, and tells how many there were.
pub(crate) fn commute(model: &mut Model, shapes: &Shapes) -> Result<usize> {
    let graph = model.graph_mut()?;
    let mut count = 0;
    while let Some(place) = find(graph, shapes) {
        apply(graph, place, count);
        count += 1;
    }
    graph.prune();
    Ok(count)
}

/// Nodes by number, and the convolution's weights for each part of the concatenation.
struct Place {
    resize: usize,
    concat: usize,
    conv: usize,
    deep: Tensor,
    skip: Tensor,
}

fn find(graph: &Graph, shapes: &Shapes) -> Option<Place> {
    let (makers, users) = (graph.makers(), graph.users());
    let only_user = |name: &str| match users.get(name).map(Vec::as_slice) {
        Some(&[user]) if !graph.gives(name) => Some(user),
        _ => None,
    };
    (0..graph.nodes.len()).find_map(|conv| {
        let node = &graph.nodes[conv];
        let weights = graph.constant(node.input(1))?;
        if !node.is_pointwise(weights) {
            return None;
        }
        let concat = *makers.get(node.input(0))?;
        let joined = &graph.nodes[concat];
        let fits = joined.is("Concat") && joined.int("axis") == Some(1) && joined.inputs.len() == 2;
        only_user(joined.output()).filter(|_| fits)?;
        let resize = *makers.get(joined.input(0))?;
        let upsample = &graph.nodes[resize];
        only_user(upsample.output())?;
        let channels = *shapes.get(upsample.output())?.get(1)? as usize;
        let (deep, skip) = split(weights, channels)?;
        is_upsample(graph, upsample).then_some(Place {
            resize,
            concat,
            conv,
            deep,
            skip,
        })
    })
}

/// Whether `node` is a bilinear upsample of rows and columns by given scales.
fn is_upsample(graph: &Graph, node: &Node) -> bool {
    let scales = graph.constant(node.input(2)).and_then(Tensor::values);
    node.is("Resize")
        && node.text("mode") == Some(b"linear")
        && node.text("coordinate_transformation_mode") != Some(b"tf_crop_and_resize")
        && node.inputs.len() <= 3
        && matches!(scales.as_deref(), Some([n, c, ..]) if [n, c].map(|v| v.to_bits()) == [1.0_f32.to_bits(); 2])
}

fn apply(graph: &mut Graph, mut place: Place, number: usize) {
    let name = |what: &str| format!("commute{number}.{what}");
    let [deep, skip, small, large, beside] = ["deep", "skip", "small", "large", "beside"].map(name);
    let resize = graph.nodes[place.resize].clone();
    let conv = graph.nodes[place.conv].clone();
    let skipped = graph.nodes[place.concat].input(1);
    let pointwise = |inputs: &[&str], output: &str| Node {
        attributes: conv.attributes.clone(),
        ..Node::new("Conv", inputs, output)
    };
    let bias = conv.inputs.get(2).map(String::as_str);
    let beside_inputs: Vec<&str> = [skipped, &skip].into_iter().chain(bias).collect();
    let new = [
        pointwise(&[resize.input(0), &deep], &small),
        Node {
            inputs: [std::slice::from_ref(&small), &resize.inputs[1..]].concat(),
            outputs: vec![large.clone()],
            name: large.clone(),
            ..resize
        },
        pointwise(&beside_inputs, &beside),
        Node::new("Add", &[&beside, &large], conv.output()),
    ];
    place.deep.name = deep;
    place.skip.name = skip;
    graph.constants.extend([place.deep, place.skip]);
    // What they need is made before the convolution, and what needs them comes after it.
    graph.nodes.splice(place.conv..=place.conv, new);
}

/// The weights for the first `channels` input channels, and for the others.
fn split(weights: &Tensor, channels: usize) -> Option<(Tensor, Tensor)> {
    let values = weights.values()?;
    let (rows, columns) = (weights.dims[0], weights.dims[1] as usize);
    if channels == 0 || channels >= columns {
        return None;
    }
    let part = |range: std::ops::Range<usize>| {
        let dims = [rows, range.len() as i64, 1, 1];
        let rows = values.chunks_exact(columns);
        let values: Vec<f32> = rows.flat_map(|row| &row[range.clone()]).copied().collect();
        Tensor::of_floats("", &dims, &values)
    };
    Some((part(0..channels), part(channels..columns)))
}
