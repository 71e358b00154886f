//! The block against a plain implementation of the same arithmetic, a pixel and a channel at a time.

use proptest::prelude::*;

use super::{Affine, Block, InstructionSet, Layer, OutputConv, PlaneSize, Spec};
use crate::inference::kernel::Grid;

/// Pseudo-random numbers, the same on every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// -1..1
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 30) as f32 - 1.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.value() * scale).collect()
    }

    /// A layer whose sums of bytes are scaled to bytes that use their range.
    fn layer(&mut self, rows: usize, columns: usize, scale: f32) -> Layer {
        let spread = scale / (columns as f32).sqrt();
        Layer {
            weights: (0..rows * columns)
                .map(|_| (self.next() % 255) as i8)
                .collect(),
            affine: Affine {
                factor: (0..rows).map(|_| spread * (1.5 + self.value())).collect(),
                offset: self.values(rows, 100.0),
            },
        }
    }
}

/// The output of `spec` for `x` and `skip`.
fn reference(spec: &Spec, x: &[f32], skip: &[u8]) -> Vec<f32> {
    let (size, channels) = (spec.size, spec.input.factor.len());
    let (middle, out) = (
        spec.expand.affine.factor.len(),
        spec.project.affine.factor.len(),
    );
    let byte = |value: f32| value.round_ties_even().clamp(0.0, 255.0) as u8;
    let at = |affine: &Affine, c: usize, sum: i32| {
        (sum as f32).mul_add(affine.factor[c], affine.offset[c])
    };
    let dot = |layer: &Layer, row: usize, bytes: &[u8]| -> i32 {
        let weights = &layer.weights[row * bytes.len()..][..bytes.len()];
        let pairs = weights.iter().zip(bytes);
        pairs.map(|(w, b)| i32::from(*w) * i32::from(*b)).sum()
    };
    let expand_pixel = |pixel: usize| -> Vec<u8> {
        let place = [pixel / size.width, pixel % size.width];
        let value = |c: usize| match spec.upsample {
            None => x[pixel * channels + c],
            Some((small, grid)) => upsampled(x, [small, size], grid, place, channels, c),
        };
        let mut bytes: Vec<u8> = (0..channels)
            .map(|c| byte(value(c).mul_add(spec.input.factor[c], spec.input.offset[c])))
            .collect();
        bytes.extend(&skip[pixel * spec.skip_channels..][..spec.skip_channels]);
        let channel = |c| byte(at(&spec.expand.affine, c, dot(&spec.expand, c, &bytes)));
        (0..middle).map(channel).collect()
    };
    let expanded: Vec<Vec<u8>> = (0..size.pixels()).map(expand_pixel).collect();
    let expanded = |row: isize, column: isize, c: usize| -> u8 {
        let inside = |at: isize, length: usize| at >= 0 && (at as usize) < length;
        if inside(row, size.height) && inside(column, size.width) {
            expanded[row as usize * size.width + column as usize][c]
        } else {
            0
        }
    };
    let of = |length: usize| (length - 1) / spec.stride + 1;
    let mut output = Vec::new();
    for row in 0..of(size.height) {
        for column in 0..of(size.width) {
            let bytes: Vec<u8> = (0..middle)
                .map(|c| {
                    let taps: Vec<u8> = (0..9)
                        .map(|tap| {
                            let row = (row * spec.stride + tap / 3) as isize - 1;
                            let column = (column * spec.stride + tap % 3) as isize - 1;
                            expanded(row, column, c)
                        })
                        .collect();
                    byte(at(
                        &spec.depthwise.affine,
                        c,
                        dot(&spec.depthwise, c, &taps),
                    ))
                })
                .collect();
            let pixel: Vec<f32> = (0..out)
                .map(|c| {
                    let value = at(&spec.project.affine, c, dot(&spec.project, c, &bytes));
                    let added = spec
                        .residual
                        .then(|| x[(row * size.width + column) * channels + c]);
                    value + added.unwrap_or(0.0)
                })
                .collect();
            output.push(pixel);
        }
    }
    let Some(output_conv) = &spec.output_conv else {
        return output.concat();
    };
    let channel = |(row, bias): (&[f32], &f32)| -> Vec<f32> {
        let sum = |pixel: &Vec<f32>| {
            let pairs = row.iter().zip(pixel);
            pairs.fold(*bias, |sum, (weight, value)| weight.mul_add(*value, sum))
        };
        output.iter().map(sum).collect()
    };
    let rows = output_conv.weights.chunks_exact(out).zip(&output_conv.bias);
    rows.flat_map(channel).collect()
}

/// A value of the upsampled picture.
fn upsampled(
    x: &[f32],
    [small, large]: [PlaneSize; 2],
    grid: Grid,
    [row, column]: [usize; 2],
    channels: usize,
    c: usize,
) -> f32 {
    let row = grid.positions(small.height, large.height)[row];
    let column = grid.positions(small.width, large.width)[column];
    let value = |row: usize, column: usize| x[(row * small.width + column) * channels + c];
    let mixed = |column: usize| {
        let [first, second] = [value(row.before, column), value(row.after, column)];
        (second - first).mul_add(row.fraction, first)
    };
    let [first, second] = [mixed(column.before), mixed(column.after)];
    (second - first).mul_add(column.fraction, first)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_instruction_set_gives_the_plain_sums_to_the_bit(
        seed in any::<u64>(),
        (height, width) in (1..13_usize, 1..70_usize),
        (channels, skip_channels) in (1..21_usize, 0..9_usize),
        middle in prop_oneof![1..40_usize, Just(64), Just(128), Just(144)],
        out in prop_oneof![1..40_usize, Just(64)],
        kind in 0..5_usize,
        output_conv in 0..5_usize,
    ) {
        let noise = &mut Noise(seed);
        let residual = kind == 2;
        let size = PlaneSize { height, width };
        let small = PlaneSize { height: height.div_ceil(2), width: width.div_ceil(2) };
        let grid = [Grid::AlignCorners, Grid::HalfPixel].get(kind.wrapping_sub(3));
        let upsample = grid.map(|grid| (small, *grid));
        let out = if residual { channels } else { out };
        let spec = Spec {
            input: Affine {
                factor: vec![100.0; channels],
                offset: noise.values(channels, 20.0).iter().map(|v| v + 120.0).collect(),
            },
            skip_channels,
            expand: noise.layer(middle, channels + skip_channels, 0.012),
            depthwise: noise.layer(middle, 9, 0.012),
            project: noise.layer(out, middle, 0.01),
            stride: if kind == 1 { 2 } else { 1 },
            size,
            upsample,
            residual,
            output_conv: (output_conv > 0).then(|| OutputConv {
                weights: noise.values(output_conv * out, 0.1),
                bias: noise.values(output_conv, 1.0),
            }),
        };
        let x_size = if upsample.is_some() { small } else { size };
        let x = noise.values(x_size.pixels() * channels, 1.3);
        let skip: Vec<u8> = (0..size.pixels() * skip_channels).map(|_| noise.next() as u8).collect();
        let want = reference(&spec, &x, &skip);
        let instruction_sets = InstructionSet::all();
        prop_assert_eq!(instruction_sets.last().unwrap().name(), "portable");
        for instruction_set in instruction_sets {
            let mut block = Block::new(&spec, instruction_set).unwrap();
            let mut got = vec![f32::NAN; want.len()];
            // The second run finds what the first one left in the buffers.
            for _ in 0..2 {
                block.run(&x, &skip, &mut got).unwrap();
            }
            prop_assert_eq!(&got, &want, "{:?}", instruction_set);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let noise = &mut Noise(1);
    let spec = Spec {
        input: Affine {
            factor: vec![1.0; 4],
            offset: vec![0.0; 4],
        },
        skip_channels: 0,
        expand: noise.layer(8, 4, 0.01),
        depthwise: noise.layer(8, 9, 0.01),
        project: noise.layer(4, 8, 0.01),
        stride: 1,
        size: PlaneSize {
            height: 4,
            width: 6,
        },
        upsample: None,
        residual: true,
        output_conv: None,
    };
    let instruction_set = InstructionSet::best();
    let mut block = Block::new(&spec, instruction_set).unwrap();
    let mut output = vec![0.0; 4 * 6 * 4];
    assert!(block.run(&[0.0; 96], &[], &mut output).is_ok());
    assert!(block.run(&[0.0; 95], &[], &mut output).is_err());
    let strided = Spec {
        stride: 2,
        ..spec.clone()
    };
    assert!(Block::new(&strided, instruction_set).is_err());
    let large = OutputConv {
        weights: vec![0.0; 17 * 4],
        bias: vec![0.0; 17],
    };
    let with_conv = Spec {
        output_conv: Some(large),
        ..spec.clone()
    };
    assert!(Block::new(&with_conv, instruction_set).is_err());
    let short = Spec {
        expand: noise.layer(8, 3, 0.01),
        ..spec
    };
    assert!(Block::new(&short, instruction_set).is_err());
}
