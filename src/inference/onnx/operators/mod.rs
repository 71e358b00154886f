//! The operators that ONNX Runtime does not have: what [`crate::inference::graph::fuse`] puts into graphs, computed by [`crate::inference::kernel`].

mod byte_block;

use std::collections::HashMap;
use std::sync::Arc;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{Shape, SymbolicDimensions, TensorElementType, ValueType};

use crate::inference::graph::fuse::{BLOCK, DOMAIN, OUTPUT};
use crate::inference::kernel::{Block, int8};
use byte_block::ByteBlockOperator;

/// The blocks of a graph, by their nodes' names.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// In f32.
    pub(super) reals: HashMap<String, Block>,
    /// In eight bits.
    pub(super) bytes: HashMap<String, int8::Block>,
}

/// All operators, for one session.
pub(super) fn domain(blocks: &Arc<Blocks>) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(BlockOperator(Arc::clone(blocks)))?
        .add(ByteBlockOperator(Arc::clone(blocks)))
}

/// Tells the runtime the shape of a block's output, which is an attribute of it.
fn infer_shape(context: &mut ShapeInferenceContext) -> ort::Result<()> {
    let shape: Vec<i64> = context.attr(OUTPUT)?;
    let inferred = ValueType::Tensor {
        ty: TensorElementType::Float32,
        dimension_symbols: SymbolicDimensions::empty(shape.len()),
        shape: Shape::new(shape),
    };
    context.set_output(0, &inferred)
}

/// The block of a node.
fn named<B: Clone>(blocks: &HashMap<String, B>, context: &KernelContext<'_>) -> ort::Result<B> {
    let name = context.node_name()?;
    let block = blocks.get(&name).cloned();
    block.ok_or_else(|| ort::Error::new(format!("no block is called {name}")))
}

fn missing() -> ort::Error {
    ort::Error::new("a block's input is missing")
}

fn failed(error: &anyhow::Error) -> ort::Error {
    ort::Error::new(format!("{error:#}"))
}

/// An inverted residual block, of a picture and, with some, a smaller one.
struct BlockOperator(Arc<Blocks>);

impl Operator for BlockOperator {
    type Kernel<'attr> = BlockKernel;

    fn name(&self) -> &'static str {
        BLOCK
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let value = TensorElementType::Float32;
        [
            OperatorInput::required(value),
            OperatorInput::optional(value),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        infer_shape(context)
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<BlockKernel> {
        Ok(BlockKernel(named(&self.0.reals, context)?))
    }
}

struct BlockKernel(Block);

impl Kernel for BlockKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let picture = context.input(0)?.ok_or_else(missing)?;
        let (_, picture) = picture.try_extract_tensor::<f32>()?;
        let beside = if context.num_inputs()? > 1 {
            context.input(1)?
        } else {
            None
        };
        let beside = match &beside {
            Some(beside) => beside.try_extract_tensor::<f32>()?.1,
            None => &[],
        };
        let [channels, height, width] = self.0.output().map(|n| n as i64);
        let mut output = context
            .output(0, [1, channels, height, width])?
            .ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let done = self.0.run(picture, beside, output);
        done.map_err(|error| failed(&error))
    }
}
