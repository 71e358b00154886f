//! Fuses an inverted residual block into one node, which [`crate::inference::kernel`] computes without ever storing what
//! lies between its layers.
//!
//! ```text
//! Conv 1x1 -> Relu -> Conv 3x3 depthwise -> Relu -> Conv 1x1 [-> Add of the block's input]      becomes      Block
//! ```
//!
//! Where [`super::reorder`] moved a part of the first convolution before an upsample, the block includes that part.
//!
//! - `pattern` finds blocks.
//! - `node` writes a block as a node, and reads it back.

mod node;
mod pattern;

use anyhow::Result;

use super::edit::Shapes;
use super::proto::{Model, OperatorSetId};
use node::write_block;
pub(crate) use node::{BLOCK, CORNERS, DOMAIN, OUTPUT, RESIDUAL, STRIDE, extract_blocks};
pub(crate) use pattern::{FoundBlock, find_blocks};

/// Replaces the blocks of `model`, whose tensors have `shapes`, and returns how many there were.
pub(crate) fn fuse(model: &mut Model, shapes: &Shapes) -> Result<usize> {
    let graph = model.graph_mut()?;
    let mut count = 0;
    while let Some(block) = find_blocks(graph, shapes).into_iter().next() {
        write_block(graph, &block, count);
        count += 1;
    }
    graph.prune();
    if count > 0 {
        declare_domain(model);
    }
    Ok(count)
}

/// Declares in `model` that it uses operators that are not part of the standard.
pub(crate) fn declare_domain(model: &mut Model) {
    let is_ours = |opset: &OperatorSetId| opset.domain == DOMAIN;
    if !model.opset_imports.iter().any(is_ours) {
        model.opset_imports.push(OperatorSetId {
            domain: DOMAIN.into(),
            version: 1,
            ..OperatorSetId::default()
        });
    }
}
