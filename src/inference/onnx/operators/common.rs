//! What the operators have in common: finding their block, the shape of its output, errors.

use std::collections::HashMap;

use ort::operator::{KernelContext, ShapeInferenceContext};
use ort::value::{Shape, SymbolicDimensions, TensorElementType, ValueType};

use crate::inference::graph::fuse::OUTPUT;
use crate::inference::kernel::{Block, int8};

/// The blocks of a graph, by their nodes' names.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// In f32.
    pub(crate) floats: HashMap<String, Block>,
    /// In eight bits.
    pub(crate) bytes: HashMap<String, int8::Block>,
}

/// Sets the shape of a block's output, which is an attribute of its node.
pub(super) fn infer_shape(context: &mut ShapeInferenceContext) -> ort::Result<()> {
    let shape: Vec<i64> = context.attr(OUTPUT)?;
    let output = ValueType::Tensor {
        ty: TensorElementType::Float32,
        dimension_symbols: SymbolicDimensions::empty(shape.len()),
        shape: Shape::new(shape),
    };
    context.set_output(0, &output)
}

/// The block of a node.
pub(super) fn block_of_node<B: Clone>(
    blocks: &HashMap<String, B>,
    context: &KernelContext<'_>,
) -> ort::Result<B> {
    let name = context.node_name()?;
    let block = blocks.get(&name).cloned();
    block.ok_or_else(|| ort::Error::new(format!("no block is called {name}")))
}

pub(super) fn missing_tensor() -> ort::Error {
    ort::Error::new("an input or output of a block is missing")
}

pub(super) fn kernel_error(error: &anyhow::Error) -> ort::Error {
    ort::Error::new(format!("{error:#}"))
}
