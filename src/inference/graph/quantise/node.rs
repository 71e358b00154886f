//! A block of bytes as a node, and back.

use anyhow::{Context as _, Result};

use crate::inference::graph::fuse::{CORNERS, DOMAIN, RESIDUAL, STRIDE};
use crate::inference::graph::proto::{Graph, Model, Node};
use crate::inference::kernel::Grid;
use crate::inference::kernel::int8::{Affine, Layer, OutputConv, PlaneSize, Spec};

/// The operator. Its inputs are the picture, channels last, and perhaps bytes that follow its channels; what it computes is
/// known by its name ([`take`]). In a file, how the picture becomes bytes follows, then weights of expand, depthwise and
/// project, after each of them how its sums become what comes out, then perhaps weights and bias of a head. How numbers are
/// scaled is `[2, channels]`: factors, then offsets.
pub(crate) const BYTE_BLOCK: &str = "ByteBlock";
/// Attributes that [`take`] reads beside those of a block: height and width before the stride, those of a picture that is
/// upsampled, and how many channels come as bytes.
pub(super) const SIZE: &str = "size";
pub(super) const SMALL: &str = "small";
pub(super) const SKIP_CHANNELS: &str = "skip_channels";

/// How many blocks of `model` work with bytes.
pub(crate) fn count(model: &Model) -> Result<usize> {
    let nodes = model.graph()?.nodes.iter();
    Ok(nodes.filter(|node| is_byte_block(node)).count())
}

pub(super) fn is_byte_block(node: &Node) -> bool {
    node.domain == DOMAIN && node.op == BYTE_BLOCK
}

/// Takes the weights of all blocks of bytes out of `model`: what each node computes, by its name.
pub(crate) fn take(model: &mut Model) -> Result<Vec<(String, Spec)>> {
    let graph = model.graph_mut()?;
    let mut taken = Vec::new();
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        if is_byte_block(node) {
            let spec = spec(graph, node);
            let spec = spec.with_context(|| format!("block `{}` is incomplete", node.name))?;
            let pictures = 1 + usize::from(spec.skip_channels > 0);
            taken.push((node.name.clone(), spec));
            graph.nodes[at].inputs.truncate(pictures);
        }
    }
    graph.prune();
    Ok(taken)
}

/// What a node computes whose weights are still there.
fn spec(graph: &Graph, node: &Node) -> Option<Spec> {
    let skip_channels = usize::try_from(node.int(SKIP_CHANNELS)?).ok()?;
    let pictures = 1 + usize::from(skip_channels > 0);
    let values = |n: usize| graph.constant(node.input(pictures + n))?.values();
    let affine = |n: usize| {
        let mut factor = values(n)?;
        let offset = factor.split_off(factor.len() / 2);
        Some(Affine { factor, offset })
    };
    let layer = |n: usize| {
        Some(Layer {
            weights: graph.constant(node.input(pictures + n))?.int8s()?,
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
        upsample: size(SMALL).map(|small| (small, grid)),
        residual: node.int(RESIDUAL)? == 1,
        output_conv: values(7)
            .zip(values(8))
            .map(|(weights, bias)| OutputConv { weights, bias }),
    })
}
