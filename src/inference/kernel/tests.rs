//! Blocks against a plain implementation in f64.

use proptest::prelude::*;

use super::{Block, Grid, InstructionSet, Layers, UpsampledInput};

/// Numbers between -1 and 1 that look random (Marsaglia's xorshift, 2003).
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn pointwise(weights: &[f32], channels: usize, values: &[f64], pixels: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for row in weights.chunks_exact(channels) {
        for pixel in 0..pixels {
            let terms = row
                .iter()
                .enumerate()
                .map(|(c, &w)| f64::from(w) * values[c * pixels + pixel]);
            out.push(terms.sum());
        }
    }
    out
}

/// The block, layer by layer, in f64.
fn reference(layers: &Layers, input: &[f32], upsampled_input: &[f32]) -> Vec<f64> {
    let [channels, height, width] = layers.input;
    let [_, rows, columns] = layers.output();
    let pixels = height * width;
    let widened = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let input = widened(input);
    let mut expanded = pointwise(&layers.expand, channels, &input, pixels);
    if let Some(small) = &layers.upsampled_input {
        let [channels, h, w] = small.input;
        let convolved = pointwise(&small.weights, channels, &widened(upsampled_input), h * w);
        let (down, across) = (
            small.grid.positions(h, height),
            small.grid.positions(w, width),
        );
        for (plane, small) in expanded
            .chunks_exact_mut(pixels)
            .zip(convolved.chunks_exact(h * w))
        {
            for (at, value) in plane.iter_mut().enumerate() {
                let (y, x) = (down[at / width], across[at % width]);
                let row = |row: usize| {
                    let fraction = f64::from(x.fraction);
                    small[row * w + x.before] * (1.0 - fraction)
                        + small[row * w + x.after] * fraction
                };
                let fraction = f64::from(y.fraction);
                *value += row(y.before) * (1.0 - fraction) + row(y.after) * fraction;
            }
        }
    }
    let planes = expanded.chunks_exact_mut(pixels);
    for (plane, &bias) in planes.zip(&layers.expand_bias) {
        for value in plane {
            *value = (*value + f64::from(bias)).max(0.0);
        }
    }
    let mut filtered = Vec::new();
    for (n, plane) in expanded.chunks_exact(pixels).enumerate() {
        for at in 0..rows * columns {
            let mut sum = f64::from(layers.depthwise_bias[n]);
            for tap in 0..9 {
                let y = (at / columns * layers.stride + tap / 3).wrapping_sub(1);
                let x = (at % columns * layers.stride + tap % 3).wrapping_sub(1);
                if y < height && x < width {
                    sum += f64::from(layers.depthwise[n * 9 + tap]) * plane[y * width + x];
                }
            }
            filtered.push(sum.max(0.0));
        }
    }
    let mut out = pointwise(&layers.project, layers.middle(), &filtered, rows * columns);
    for (n, value) in out.iter_mut().enumerate() {
        *value += f64::from(layers.project_bias[n / (rows * columns)]);
        if layers.residual {
            *value += input[n];
        }
    }
    out
}

fn layers(
    [channels, middle, out]: [usize; 3],
    [height, width]: [usize; 2],
    stride: usize,
    residual: bool,
) -> Layers {
    let out = if residual { channels } else { out };
    let scaled = |seed, count, inputs: usize| {
        let scale = 1.0 / (inputs as f32).sqrt();
        noise(seed, count).iter().map(|v| v * scale).collect()
    };
    Layers {
        input: [channels, height, width],
        expand: scaled(1, middle * channels, channels),
        expand_bias: noise(2, middle),
        upsampled_input: None,
        depthwise: scaled(3, middle * 9, 9),
        depthwise_bias: noise(4, middle),
        stride,
        project: scaled(5, out * middle, middle),
        project_bias: noise(6, out),
        residual,
    }
}

/// The largest difference from the reference, over all instruction sets that this processor has.
fn largest_difference(layers: &Layers) -> f64 {
    let len = |shape: [usize; 3]| shape.iter().product::<usize>();
    let input = noise(7, len(layers.input));
    let upsampled_input = noise(
        8,
        layers.upsampled_input.as_ref().map_or(0, |b| len(b.input)),
    );
    let expected = reference(layers, &input, &upsampled_input);
    let mut largest = 0.0_f64;
    let instruction_sets = InstructionSet::all();
    assert_eq!(instruction_sets.last().unwrap().name(), "portable");
    for instruction_set in instruction_sets {
        let mut block = Block::new(layers, instruction_set).unwrap();
        let mut output = vec![f32::NAN; expected.len()];
        // The second run finds what the first one left in the buffers.
        for _ in 0..2 {
            block.run(&input, &upsampled_input, &mut output).unwrap();
        }
        for (a, b) in output.iter().zip(&expected) {
            let difference = (f64::from(*a) - b).abs();
            assert!(!difference.is_nan(), "{instruction_set:?}");
            largest = largest.max(difference);
        }
    }
    largest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_block_is_the_sum_of_its_layers(
        channels in 1_usize..20,
        middle in 1_usize..40,
        out in 1_usize..20,
        height in 1_usize..9,
        width in prop_oneof![1_usize..40, Just(320), 400_usize..420],
        tall in any::<bool>(),
        stride in 1_usize..3,
        residual in any::<bool>(),
    ) {
        let [height, width] = if tall { [width, height] } else { [height, width] };
        let layers = layers([channels, middle, out], [height, width], stride, residual && stride == 1);
        prop_assert!(largest_difference(&layers) < 2e-5);
    }

    #[test]
    fn a_smaller_picture_is_added(
        channels in 1_usize..10,
        middle in 1_usize..20,
        small in 1_usize..10,
        height in 1_usize..8,
        width in prop_oneof![2_usize..25, Just(160)],
        align_corners in any::<bool>(),
    ) {
        let mut layers = layers([channels, middle, 3], [2 * height, 2 * width], 1, false);
        layers.upsampled_input = Some(UpsampledInput {
            input: [small, height, width],
            weights: noise(9, middle * small),
            grid: if align_corners { Grid::AlignCorners } else { Grid::HalfPixel },
        });
        prop_assert!(largest_difference(&layers) < 2e-5);
    }
}

#[test]
fn many_channels_are_taken_in_groups() {
    let layers = layers([16, 700, 20], [20, 20], 1, false);
    assert!(largest_difference(&layers) < 2e-5);
    let layers = self::layers([40, 300, 40], [16, 40], 2, false);
    assert!(largest_difference(&layers) < 2e-5);
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let instruction_set = InstructionSet::best();
    let good = layers([4, 8, 4], [6, 6], 1, true);
    let refused = |change: &dyn Fn(&mut Layers)| {
        let mut layers = good.clone();
        change(&mut layers);
        Block::new(&layers, instruction_set).is_err()
    };
    assert!(refused(&|l| l.stride = 3));
    assert!(refused(&|l| l.stride = 2), "a residual of another size");
    assert!(refused(&|l| l.expand.truncate(5)));
    assert!(refused(&|l| l.input[1] = 0));
    let mut block = Block::new(&good, instruction_set).unwrap();
    let input = noise(1, 144);
    assert!(block.run(&input[1..], &[], &mut [0.0; 144]).is_err());
    assert!(block.run(&input, &[], &mut [0.0; 143]).is_err());
    assert!(block.run(&input, &[0.0], &mut [0.0; 144]).is_err());
}
