//! Layers with rounded weights.

use super::seen::Bytes;
use crate::kernel::eight::Layer;

/// A layer of `weights` `[rows, columns]` whose columns come as bytes with these means; its sums become real numbers.
pub(super) fn layer(weights: &[f32], bias: &[f32], input: &Bytes, means: &[f64]) -> Layer {
    let mut layer = Layer::default();
    for (row, bias) in weights.chunks_exact(input.channels()).zip(bias) {
        let scaled = || {
            row.iter()
                .zip(&input.scales)
                .map(|(weight, scale)| weight * scale)
        };
        let most = scaled().fold(1e-12_f32, |most, weight| most.max(weight.abs()));
        let scale = most / 127.0;
        let (mut offset, mut lost) = (0.0, 0.0);
        for (column, weight) in scaled().enumerate() {
            let rounded = (weight / scale).round().clamp(-127.0, 127.0);
            offset += f64::from(rounded) * f64::from(input.zeros[column]);
            let mean = means[column] / f64::from(input.scales[column]);
            lost += (f64::from(weight) - f64::from(rounded) * f64::from(scale)) * mean;
            layer.weights.push(rounded as i8);
        }
        let offset = f64::from(*bias) + lost - f64::from(scale) * offset;
        layer.affine.factor.push(scale);
        layer.affine.offset.push(offset as f32);
    }
    layer
}

/// Layers of one row each, row by row.
pub(super) fn joined(layers: &[Layer]) -> Layer {
    let mut all = Layer::default();
    for layer in layers {
        all.weights.extend(&layer.weights);
        all.affine.factor.extend(&layer.affine.factor);
        all.affine.offset.extend(&layer.affine.offset);
    }
    all
}

/// A layer whose sums become bytes, which are zero where the values are.
pub(super) fn into_bytes(mut layer: Layer, bytes: &Bytes) -> Layer {
    let affine = (layer.affine.factor.iter_mut()).zip(&mut layer.affine.offset);
    for ((factor, offset), scale) in affine.zip(&bytes.scales) {
        *factor /= scale;
        *offset /= scale;
    }
    layer
}
