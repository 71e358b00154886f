//! Layers with rounded weights.

use super::seen::Bytes;
use crate::inference::kernel::int8::Layer;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounding_costs_is_made_good_in_the_mean() {
        let input = Bytes {
            scales: vec![0.02, 0.5, 0.1],
            zeros: vec![0, 100, 7],
        };
        let (weights, means) = ([0.313, -0.017, 0.9, 0.05, 0.001, -0.2], [1.5, -20.0, 3.0]);
        let layer = layer(&weights, &[0.25, -1.0], &input, &means);
        for row in 0..2 {
            let (mut exact, mut sum) = (f64::from([0.25_f32, -1.0][row]), 0.0);
            for (column, mean) in means.iter().enumerate() {
                let at = row * 3 + column;
                exact += f64::from(weights[at]) * mean;
                let scale = f64::from(input.scales[column]);
                let byte = mean / scale + f64::from(input.zeros[column]);
                sum += f64::from(layer.weights[at]) * byte;
            }
            let affine = &layer.affine;
            let made = sum * f64::from(affine.factor[row]) + f64::from(affine.offset[row]);
            assert!((made - exact).abs() < 1e-4, "{made} instead of {exact}");
        }
        // The greatest weight, as it is scaled, takes the whole range.
        assert_eq!(layer.weights[2], 127);
    }

    #[test]
    fn bytes_are_zero_where_values_are() {
        let bytes = Bytes {
            scales: vec![0.5, 2.0],
            zeros: vec![0, 0],
        };
        let layer = layer(&[1.0, 2.0], &[8.0, 4.0], &one(), &[0.0]);
        let (before, after) = (layer.affine.clone(), into_bytes(layer, &bytes).affine);
        assert_eq!(
            after.factor,
            [before.factor[0] * 2.0, before.factor[1] / 2.0]
        );
        assert_eq!(after.offset, [16.0, 2.0]);
    }

    fn one() -> Bytes {
        Bytes {
            scales: vec![1.0],
            zeros: vec![0],
        }
    }
}
