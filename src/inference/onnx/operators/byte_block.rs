//! An inverted residual block in eight bits: what [`crate::inference::graph::quantise`] puts into graphs.

use std::sync::Arc;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::TensorElementType;

use super::{Blocks, failed, infer_shape, missing, named};
use crate::inference::graph::quantise::BYTE_BLOCK;
use crate::inference::kernel::int8::Block;

/// Of a picture and, with some, bytes beside it.
pub(super) struct ByteBlockOperator(pub(super) Arc<Blocks>);

impl Operator for ByteBlockOperator {
    type Kernel<'attr> = ByteBlockKernel;

    fn name(&self) -> &'static str {
        BYTE_BLOCK
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::optional(TensorElementType::Uint8),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        infer_shape(context)
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<ByteBlockKernel> {
        Ok(ByteBlockKernel(named(&self.0.bytes, context)?))
    }
}

pub(super) struct ByteBlockKernel(Block);

impl Kernel for ByteBlockKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let picture = context.input(0)?.ok_or_else(missing)?;
        let (_, picture) = picture.try_extract_tensor::<f32>()?;
        let skip = if context.num_inputs()? > 1 {
            context.input(1)?
        } else {
            None
        };
        let skip = match &skip {
            Some(skip) => skip.try_extract_tensor::<u8>()?.1,
            None => &[],
        };
        let shape = self.0.output().map(|n| n as i64);
        let mut output = context.output(0, shape)?.ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let done = self.0.run(picture, skip, output);
        done.map_err(|error| failed(&error))
    }
}
