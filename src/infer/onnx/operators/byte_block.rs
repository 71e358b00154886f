//! An inverted residual block in eight bits: what [`crate::graph::quantise`] puts into graphs.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, OperatorInput, OperatorOutput, ShapeInferenceContext,
};
use ort::value::{
    DynTensorValueType, Outlet, Shape, SymbolicDimensions, TensorElementType, ValueType,
};

use super::{dimensions, error};
use crate::graph::fuse::{CORNERS, RESIDUAL, STRIDE};
use crate::graph::quantise::{BYTE_BLOCK, HEIGHT, WIDTH};
use crate::kernel::Grid;
use crate::kernel::eight::{Affine, Block, Head, Layer, Set, Size, Spec};

/// Its inputs, in their order.
mod input {
    pub(super) const PICTURE: usize = 0;
    pub(super) const SKIP: usize = 1;
    pub(super) const ROUNDED: usize = 2;
    pub(super) const EXPAND: usize = 3;
    pub(super) const DEPTHWISE: usize = 5;
    pub(super) const PROJECT: usize = 7;
    pub(super) const HEAD: usize = 9;
    pub(super) const HEAD_BIAS: usize = 10;
}

pub(super) struct Operator;

impl ort::operator::Operator for Operator {
    type Kernel<'attr> = ByteBlockKernel;

    fn name(&self) -> &'static str {
        BYTE_BLOCK
    }

    fn versions(&self) -> std::ops::RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let needed = |of| OperatorInput::required(of);
        let perhaps = |of| OperatorInput::optional(of);
        let (real, weights) = (TensorElementType::Float32, TensorElementType::Int8);
        let layer = || [needed(weights), needed(real)];
        [
            needed(real),
            perhaps(TensorElementType::Uint8),
            needed(real),
        ]
        .into_iter()
        .chain(layer())
        .chain(layer())
        .chain(layer())
        .chain([perhaps(real), perhaps(real)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        let side = |name: &str| -> ort::Result<i64> {
            let (length, stride): (i64, i64) = (context.attr(name)?, context.attr(STRIDE)?);
            Ok((length - 1) / stride.max(1) + 1)
        };
        let (height, width) = (side(HEIGHT)?, side(WIDTH)?);
        let known = |at: usize| inputs.get(at).and_then(dimensions);
        let shape = match (known(input::HEAD), known(input::PROJECT)) {
            (Some(&[channels, ..]), _) => [1, channels, height, width],
            (_, Some(&[channels, _])) => [1, height, width, channels],
            _ => return Ok(()),
        };
        let inferred = ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape: Shape::new(shape),
            dimension_symbols: SymbolicDimensions::empty(shape.len()),
        };
        context.set_output(0, &inferred)
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<ByteBlockKernel> {
        let spec = spec(context)?;
        let side = |length: usize| ((length - 1) / spec.stride + 1) as i64;
        let (height, width) = (side(spec.size.height), side(spec.size.width));
        let output = match &spec.head {
            Some(head) => [1, head.bias.len() as i64, height, width],
            None => [1, height, width, spec.project.affine.factor.len() as i64],
        };
        let block = Block::new(&spec, Set::best()).map_err(error)?;
        Ok(ByteBlockKernel { block, output })
    }
}

fn spec(context: &KernelContext<'_>) -> ort::Result<Spec> {
    let inputs = context.inputs()?;
    let attribute = |name: &str| -> ort::Result<usize> {
        let value: Option<i64> = context.get(name);
        let value = value.and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| ort::Error::new(format!("a block without `{name}`")))
    };
    let reals = |at: usize| -> ort::Result<Vec<f32>> {
        let value = context.constant_input::<DynTensorValueType>(at)?;
        Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
    };
    let affine = |at: usize| -> ort::Result<Affine> {
        let mut factor = reals(at)?;
        let offset = factor.split_off(factor.len() / 2);
        Ok(Affine { factor, offset })
    };
    let layer = |at: usize| -> ort::Result<Layer> {
        let weights = context.constant_input::<DynTensorValueType>(at)?;
        Ok(Layer {
            weights: weights.try_extract_tensor::<i8>()?.1.to_vec(),
            affine: affine(at + 1)?,
        })
    };
    let size = Size {
        height: attribute(HEIGHT)?.max(1),
        width: attribute(WIDTH)?.max(1),
    };
    let picture = side_lengths(&inputs, input::PICTURE);
    let corners: Option<i64> = context.get(CORNERS);
    let grid = match corners {
        Some(1) => Some(Grid::AlignCorners),
        Some(_) => Some(Grid::HalfPixel),
        None => None,
    };
    let upsample = match (grid, picture) {
        (Some(grid), Some([height, width, _])) => Some((Size { height, width }, grid)),
        (Some(_), None) => return Err(ort::Error::new("a block's input has no known shape")),
        (None, _) => None,
    };
    let head = if inputs.len() > input::HEAD_BIAS {
        Some(Head {
            weights: reals(input::HEAD)?,
            bias: reals(input::HEAD_BIAS)?,
        })
    } else {
        None
    };
    Ok(Spec {
        input: affine(input::ROUNDED)?,
        skip_channels: side_lengths(&inputs, input::SKIP).map_or(0, |[.., channels]| channels),
        expand: layer(input::EXPAND)?,
        depthwise: layer(input::DEPTHWISE)?,
        project: layer(input::PROJECT)?,
        stride: attribute(STRIDE)?,
        size,
        upsample,
        residual: attribute(RESIDUAL)? == 1,
        head,
    })
}

/// Height, width and channels of an input, if it is there.
fn side_lengths(inputs: &[Outlet], at: usize) -> Option<[usize; 3]> {
    match inputs.get(at).and_then(|input| dimensions(input.dtype()))? {
        &[1, h, w, c] if h.min(w).min(c) > 0 => Some([h, w, c].map(|n| n as usize)),
        _ => None,
    }
}

pub(super) struct ByteBlockKernel {
    block: Block,
    output: [i64; 4],
}

impl Kernel for ByteBlockKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let missing = || ort::Error::new("a block's input is missing");
        let picture = context.input(input::PICTURE)?.ok_or_else(missing)?;
        let (_, picture) = picture.try_extract_tensor::<f32>()?;
        let skip = context.input(input::SKIP)?.ok_or_else(missing)?;
        let (_, skip) = skip.try_extract_tensor::<u8>()?;
        let mut output = context.output(0, self.output)?.ok_or_else(missing)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        self.block.run(picture, skip, output).map_err(error)
    }
}
