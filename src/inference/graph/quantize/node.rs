//! A block in eight bits as a node: its attributes and inputs, and how it is read back before the graph runs.

use anyhow::{Context as _, Result};

use crate::inference::graph::fuse::{CORNERS, DOMAIN, RESIDUAL, STRIDE};
use crate::inference::graph::proto::{Graph, Model, Node};
use crate::inference::kernel::Grid;
use crate::inference::kernel::int8::{Affine, Layer, OutputConv, PlaneSize, Spec};

/// The operator. Its inputs are the picture, channels last, and perhaps bytes whose channels follow the picture's. In a
/// file, how the picture becomes bytes follows, then the weights of expand, depthwise and project, each with how its sums
/// are scaled, then perhaps weights and bias of a head; a running graph has none of them ([`extract_blocks`]), and finds
/// them by the node's name. A scaling is `[2, channels]`: factors, then offsets.
pub(crate) const BYTE_BLOCK: &str = "ByteBlock";
/// The attribute for height and width before the stride.
pub(super) const SIZE: &str = "size";
/// The attribute for height and width of a picture that is upsampled.
pub(super) const SMALL_SIZE: &str = "small";
/// The attribute for the number of channels that come as bytes.
pub(super) const SKIP_CHANNELS: &str = "skip_channels";

/// How many blocks of `model` are computed in eight bits.
pub(crate) fn count_blocks(model: &Model) -> Result<usize> {
    let nodes = model.graph()?.nodes.iter();
    Ok(nodes.filter(|node| is_byte_block(node)).count())
}

pub(super) fn is_byte_block(node: &Node) -> bool {
    node.domain == DOMAIN && node.op_type == BYTE_BLOCK
}

/// Takes the weights of all blocks in eight bits out of `model`, and returns the specification of each node by its name.
pub(crate) fn extract_blocks(model: &mut Model) -> Result<Vec<(String, Spec)>> {
    let graph = model.graph_mut()?;
    let mut blocks = Vec::new();
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        if is_byte_block(node) {
            let spec = read_spec(graph, node);
            let spec = spec.with_context(|| format!("block `{}` is incomplete", node.name))?;
            let pictures = 1 + usize::from(spec.skip_channels > 0);
            blocks.push((node.name.clone(), spec));
            graph.nodes[at].inputs.truncate(pictures);
        }
    }
    graph.prune();
    Ok(blocks)
}

/// The specification of a node that still has its weights.
fn read_spec(graph: &Graph, node: &Node) -> Option<Spec> {
    let skip_channels = usize::try_from(node.int(SKIP_CHANNELS)?).ok()?;
    let pictures = 1 + usize::from(skip_channels > 0);
    let constant = |n: usize| graph.initializer(node.input(pictures + n));
    let floats = |n: usize| constant(n)?.float_values();
    let affine = |n: usize| {
        let mut factor = floats(n)?;
        let offset = factor.split_off(factor.len() / 2);
        Some(Affine { factor, offset })
    };
    let layer = |n: usize| {
        Some(Layer {
            weights: constant(n)?.int8_values()?,
            affine: affine(n + 1)?,
        })
    };
    let size = |name: &str| match node.ints(name)? {
        &[height, width] => Some(PlaneSize {
            height: usize::try_from(height).ok()?,
            width: usize::try_from(width).ok()?,
        }),
        _ => None,
    };
    let grid = match node.int(CORNERS) {
        Some(1) => Grid::AlignCorners,
        _ => Grid::HalfPixel,
    };
    Some(Spec {
        input: affine(0)?,
        skip_channels,
        expand: layer(1)?,
        depthwise: layer(3)?,
        project: layer(5)?,
        stride: usize::try_from(node.int(STRIDE)?).ok()?,
        size: size(SIZE)?,
        upsample: size(SMALL_SIZE).map(|small| (small, grid)),
        residual: node.int(RESIDUAL)? == 1,
        output_conv: floats(7)
            .zip(floats(8))
            .map(|(weights, bias)| OutputConv { weights, bias }),
    })
}
