//! An inverted residual block in f32, as [`crate::inference::graph::fuse`] writes it.

use std::sync::Arc;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::TensorElementType;

use super::common::{Blocks, block_of_node, infer_shape, kernel_error, missing_tensor};
use crate::inference::graph::fuse::BLOCK;
use crate::inference::kernel::Block;

/// Takes a picture and perhaps a smaller one that is upsampled.
pub(super) struct BlockOperator(pub(super) Arc<Blocks>);

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
        Ok(BlockKernel(block_of_node(&self.0.floats, context)?))
    }
}

pub(super) struct BlockKernel(Block);

impl Kernel for BlockKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let picture = context.input(0)?.ok_or_else(missing_tensor)?;
        let (_, picture) = picture.try_extract_tensor::<f32>()?;
        let small = if context.num_inputs()? > 1 {
            context.input(1)?
        } else {
            None
        };
        let small = match &small {
            Some(small) => small.try_extract_tensor::<f32>()?.1,
            None => &[],
        };
        let [channels, height, width] = self.0.output().map(|n| n as i64);
        let mut output = context
            .output(0, [1, channels, height, width])?
            .ok_or_else(missing_tensor)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let computed = self.0.run(picture, small, output);
        computed.map_err(|error| kernel_error(&error))
    }
}
