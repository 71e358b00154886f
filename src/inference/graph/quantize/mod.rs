//! Eight bits for what is large: inverted residual blocks become nodes that [`crate::inference::kernel::int8`] computes
//! in integers: activations as u8, weights as i8 with a scale per output channel, sums as i32.
//!
//! - Every input channel has its own scale, which is multiplied into the weights before they are rounded and so costs
//!   nothing. It comes from the range that the samples showed, widened for those that go beyond it, but never beyond the
//!   range of the whole tensor.
//! - Between blocks everything is f32, channels last: neither what a block adds to its input nor what is upsampled is
//!   rounded.
//! - The bias of a channel corrects the mean error of its rounded weights (Nagel et al. 2019, "Data-free quantization
//!   through weight equalization and bias correction", section 4.2).
//! - Small layers hold most of the error and little of the time: blocks of up to `float_area` pixels stay f32, and so does
//!   the last convolution, whose output is the picture; the block before it computes it.
//! - Features that blocks take come from the image part as bytes, channels last.
//!
//! `statistics` gathers ranges and means of tensors, `layer` rounds weights, `writer` rewrites the graph, `node` reads a
//! block back before it runs.

mod layer;
mod node;
mod statistics;
mod writer;

use anyhow::Result;

use super::edit::Shapes;
use super::fuse::{self, FoundBlock};
use super::proto::{Graph, Model};
use super::reorder::move_convolutions;
use super::split::SplitGraph;
pub(crate) use node::{BYTE_BLOCK, count_blocks, extract_blocks};
pub(crate) use statistics::Statistics;
use writer::{Writer, give_bytes};

/// The tensors whose statistics [`quantize`] needs: the f32 outputs of the nodes of `graph`.
pub(crate) fn observed(graph: &Graph, shapes: &Shapes) -> Vec<String> {
    let outputs = graph.nodes.iter().flat_map(|node| &node.outputs);
    outputs
        .filter(|name| shapes.contains_key(*name) && !graph.is_output(name))
        .cloned()
        .collect()
}

/// The values of `float_area` that make a difference, from 0 on.
pub(crate) fn areas(split: &SplitGraph, shapes: &Shapes) -> Result<Vec<i64>> {
    let mut joint = split.joint.clone();
    move_convolutions(&mut joint, shapes)?;
    let blocks = fuse::find_blocks(joint.graph()?, shapes);
    let mut areas: Vec<i64> = blocks.iter().map(area).collect();
    areas.push(0);
    areas.sort_unstable();
    areas.dedup();
    // With the largest, no block would be quantized.
    areas.pop();
    Ok(areas)
}

/// Pixels of a block's input.
fn area(block: &FoundBlock) -> i64 {
    let [_, height, width] = block.layers.input;
    (height * width) as i64
}

/// The parts of `split` with eight bits in blocks of more than `float_area` pixels.
pub(crate) fn quantize(
    split: &SplitGraph,
    shapes: &Shapes,
    statistics: &Statistics,
    float_area: i64,
) -> Result<SplitGraph> {
    let mut joint = split.joint.clone();
    move_convolutions(&mut joint, shapes)?;
    let graph = joint.graph()?;
    let features = split.costly.iter().chain(&split.cheap);
    let mut writer = Writer::new(graph.clone(), features, statistics);
    for block in fuse::find_blocks(graph, shapes) {
        if area(&block) > float_area {
            writer.quantize_block(&block);
        }
    }
    let (graph, byte_features) = writer.finish();
    joint = joint.with_graph(graph);
    fuse::declare_domain(&mut joint);
    let part = |model: &Model| give_bytes(model, &byte_features);
    Ok(SplitGraph {
        image: part(&split.image)?,
        cheap_image: split.cheap_image.as_ref().map(part).transpose()?,
        joint,
        costly: split.costly.clone(),
        cheap: split.cheap.clone(),
    })
}
