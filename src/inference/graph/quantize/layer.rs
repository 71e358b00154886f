//! Rounds the weights of a layer.

use super::statistics::ByteScales;
use crate::inference::kernel::int8::Layer;

/// A layer of `weights` `[rows, columns]` whose columns come as bytes with these means, and whose sums become f32.
pub(super) fn quantized_layer(
    weights: &[f32],
    bias: &[f32],
    input: &ByteScales,
    means: &[f64],
) -> Layer {
    let mut layer = Layer::default();
    for (row, bias) in weights.chunks_exact(input.channels()).zip(bias) {
        let scaled = || {
            row.iter()
                .zip(&input.scales)
                .map(|(weight, scale)| weight * scale)
        };
        let max = scaled().fold(1e-12_f32, |max, weight| max.max(weight.abs()));
        let scale = max / 127.0;
        let (mut offset, mut mean_error) = (0.0, 0.0);
        for (column, weight) in scaled().enumerate() {
            let rounded = (weight / scale).round().clamp(-127.0, 127.0);
            offset += f64::from(rounded) * f64::from(input.zero_points[column]);
            let mean = means[column] / f64::from(input.scales[column]);
            mean_error += (f64::from(weight) - f64::from(rounded) * f64::from(scale)) * mean;
            layer.weights.push(rounded as i8);
        }
        let offset = f64::from(*bias) + mean_error - f64::from(scale) * offset;
        layer.affine.factor.push(scale);
        layer.affine.offset.push(offset as f32);
    }
    layer
}

/// One layer of the rows of `layers`.
pub(super) fn stack_rows(layers: &[Layer]) -> Layer {
    let mut all = Layer::default();
    for layer in layers {
        all.weights.extend(&layer.weights);
        all.affine.factor.extend(&layer.affine.factor);
        all.affine.offset.extend(&layer.affine.offset);
    }
    all
}

/// The layer with sums that become bytes. The zero point is 0: Relu leaves nothing below it.
pub(super) fn with_byte_output(mut layer: Layer, bytes: &ByteScales) -> Layer {
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
    fn the_bias_corrects_the_mean_error_of_rounding() {
        let input = ByteScales {
            scales: vec![0.02, 0.5, 0.1],
            zero_points: vec![0, 100, 7],
        };
        let (weights, means) = ([0.313, -0.017, 0.9, 0.05, 0.001, -0.2], [1.5, -20.0, 3.0]);
        let layer = quantized_layer(&weights, &[0.25, -1.0], &input, &means);
        for row in 0..2 {
            let (mut exact, mut sum) = (f64::from([0.25_f32, -1.0][row]), 0.0);
            for (column, mean) in means.iter().enumerate() {
                let at = row * 3 + column;
                exact += f64::from(weights[at]) * mean;
                let scale = f64::from(input.scales[column]);
                let byte = mean / scale + f64::from(input.zero_points[column]);
                sum += f64::from(layer.weights[at]) * byte;
            }
            let affine = &layer.affine;
            let got = sum * f64::from(affine.factor[row]) + f64::from(affine.offset[row]);
            assert!((got - exact).abs() < 1e-4, "{got} instead of {exact}");
        }
        // The largest scaled weight takes the whole range.
        assert_eq!(layer.weights[2], 127);
    }

    #[test]
    fn a_byte_output_is_scaled_by_its_channel() {
        let bytes = ByteScales {
            scales: vec![0.5, 2.0],
            zero_points: vec![0, 0],
        };
        let layer = quantized_layer(&[1.0, 2.0], &[8.0, 4.0], &one(), &[0.0]);
        let (before, after) = (layer.affine.clone(), with_byte_output(layer, &bytes).affine);
        assert_eq!(
            after.factor,
            [before.factor[0] * 2.0, before.factor[1] / 2.0]
        );
        assert_eq!(after.offset, [16.0, 2.0]);
    }

    fn one() -> ByteScales {
        ByteScales {
            scales: vec![1.0],
            zero_points: vec![0],
        }
    }
}
