//! The operators that ONNX Runtime does not have: what [`crate::graph::fuse`] puts into graphs, computed by [`crate::kernel`].

mod byte_block;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{Outlet, Shape, SymbolicDimensions, TensorElementType, ValueType};

use crate::graph::fuse::{BLOCK, CORNERS, DOMAIN, RESIDUAL, STRIDE};
use crate::kernel::{Beside, Block, Grid, Layers, Steps};

/// All of them, for one session.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(BlockOperator)?
        .add(byte_block::Operator)
}

/// An inverted residual block.
struct BlockOperator;

/// Its inputs, in their order.
mod input {
    pub(super) const PICTURE: usize = 0;
    pub(super) const EXPAND: usize = 1;
    pub(super) const EXPAND_BIAS: usize = 2;
    pub(super) const DEPTHWISE: usize = 3;
    pub(super) const DEPTHWISE_BIAS: usize = 4;
    pub(super) const PROJECT: usize = 5;
    pub(super) const PROJECT_BIAS: usize = 6;
    pub(super) const BESIDE: usize = 7;
    pub(super) const BESIDE_WEIGHTS: usize = 8;
}

impl Operator for BlockOperator {
    type Kernel<'attr> = BlockKernel;

    fn name(&self) -> &'static str {
        BLOCK
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let needed = [const { OperatorInput::required(TensorElementType::Float32) }; 7];
        let beside = [const { OperatorInput::optional(TensorElementType::Float32) }; 2];
        needed.into_iter().chain(beside)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        let (Some(&[n, _, height, width]), Some(&[out])) = (
            inputs.get(input::PICTURE).and_then(dimensions),
            inputs.get(input::PROJECT_BIAS).and_then(dimensions),
        ) else {
            return Ok(());
        };
        if height < 1 || width < 1 {
            return Ok(());
        }
        let stride: i64 = context.attr(STRIDE)?;
        let shape = [n, out, (height - 1) / stride + 1, (width - 1) / stride + 1];
        let inferred = ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape: Shape::new(shape),
            dimension_symbols: SymbolicDimensions::empty(shape.len()),
        };
        context.set_output(0, &inferred)
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<BlockKernel> {
        let steps = Steps::best().ok_or_else(|| ort::Error::new("no instructions for it"))?;
        let layers = layers(context)?;
        let [channels, height, width] = layers.output();
        let block = Block::new(&layers, steps).map_err(error)?;
        Ok(BlockKernel {
            block,
            output: [1, channels, height, width].map(|n| n as i64),
        })
    }
}

fn layers(context: &KernelContext<'_>) -> ort::Result<Layers> {
    let inputs = context.inputs()?;
    let attribute = |name: &str| {
        let value: Option<i64> = context.get(name);
        value.ok_or_else(|| ort::Error::new(format!("a block without `{name}`")))
    };
    let constant = |at: usize| -> ort::Result<Vec<f32>> {
        let value = context.constant_input::<ort::value::DynTensorValueType>(at)?;
        Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
    };
    let beside = if inputs.len() > input::BESIDE_WEIGHTS {
        Some(Beside {
            input: picture(&inputs, input::BESIDE)?,
            weights: constant(input::BESIDE_WEIGHTS)?,
            grid: if attribute(CORNERS)? == 1 {
                Grid::AlignCorners
            } else {
                Grid::HalfPixel
            },
        })
    } else {
        None
    };
    Ok(Layers {
        input: picture(&inputs, input::PICTURE)?,
        expand: constant(input::EXPAND)?,
        expand_bias: constant(input::EXPAND_BIAS)?,
        beside,
        depthwise: constant(input::DEPTHWISE)?,
        depthwise_bias: constant(input::DEPTHWISE_BIAS)?,
        stride: attribute(STRIDE)? as usize,
        project: constant(input::PROJECT)?,
        project_bias: constant(input::PROJECT_BIAS)?,
        residual: attribute(RESIDUAL)? == 1,
    })
}

fn dimensions(value: &ValueType) -> Option<&[i64]> {
    match value {
        ValueType::Tensor { shape, .. } => Some(shape),
        _ => None,
    }
}

/// Channels, height and width of an input.
fn picture(inputs: &[Outlet], at: usize) -> ort::Result<[usize; 3]> {
    match inputs.get(at).and_then(|input| dimensions(input.dtype())) {
        Some(&[1, c, h, w]) if c.min(h).min(w) > 0 => Ok([c, h, w].map(|n| n as usize)),
        _ => Err(ort::Error::new("a block's input has no known shape")),
    }
}

fn error(error: anyhow::Error) -> ort::Error {
    ort::Error::new(format!("{error:#}"))
}

struct BlockKernel {
    block: Block,
    output: [i64; 4],
}

impl Kernel for BlockKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let missing = || ort::Error::new("a block's input is missing");
        let picture = context.input(input::PICTURE)?.ok_or_else(missing)?;
        let (_, picture) = picture.try_extract_tensor::<f32>()?;
        let beside = if context.num_inputs()? > input::BESIDE {
            context.input(input::BESIDE)?
        } else {
            None
        };
        let beside = match &beside {
            Some(beside) => beside.try_extract_tensor::<f32>()?.1,
            None => &[],
        };
        let mut output = context.output(0, self.output)?.ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        self.block.run(picture, beside, output).map_err(error)
    }
}
