//! Inverted residual blocks of the full-width generator on one thread, in f32 and in 8 bits, with each instruction set of
//! this processor. All blocks: `cargo bench --bench block`; some of them: `cargo bench --bench block up5`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lipsync::inference::kernel::int8::{self, Affine, Layer, PlaneSize, Spec};
use lipsync::inference::kernel::{Block, Grid, InstructionSet, Layers, UpsampledInput};

/// Channels of input, middle and output, the side of the picture, and the stride.
type Shape = ([usize; 3], usize, usize);

fn layers(([channels, middle, out], side, stride): Shape, small: Option<usize>) -> Layers {
    let values = |count: usize| {
        (0..count)
            .map(|n| (n * 7 % 13) as f32 / 60.0 - 0.1)
            .collect()
    };
    Layers {
        input: [channels, side, side],
        expand: values(middle * channels),
        expand_bias: values(middle),
        upsampled_input: small.map(|channels| UpsampledInput {
            input: [channels, side / 2, side / 2],
            weights: values(middle * channels),
            grid: Grid::AlignCorners,
        }),
        depthwise: values(middle * 9),
        depthwise_bias: values(middle),
        stride,
        project: values(out * middle),
        project_bias: values(out),
        residual: channels == out && stride == 1,
    }
}

/// The same block in 8 bits. If there is an upsampled input, the other one consists of bytes.
fn int8_spec(layers: &Layers) -> Spec {
    let [channels, height, width] = layers.input;
    let small = layers.upsampled_input.as_ref();
    let (x, skip_channels) = small.map_or((channels, 0), |b| (b.input[0], channels));
    let affine = |count: usize, factor: f32| Affine {
        factor: vec![factor; count],
        offset: vec![50.0; count],
    };
    let layer = |rows: usize, columns: usize| Layer {
        weights: (0..rows * columns)
            .map(|n| (n * 7 % 13) as i8 - 6)
            .collect(),
        affine: affine(rows, 0.1),
    };
    let (middle, out) = (layers.middle(), layers.project_bias.len());
    Spec {
        input: affine(x, 100.0),
        skip_channels,
        expand: layer(middle, x + skip_channels),
        depthwise: layer(middle, 9),
        project: layer(out, middle),
        stride: layers.stride,
        size: PlaneSize { height, width },
        upsample: small.map(|small| {
            let [_, height, width] = small.input;
            (PlaneSize { height, width }, small.grid)
        }),
        residual: layers.residual && small.is_none(),
        output_conv: None,
    }
}

fn multiplications(layers: &Layers) -> u64 {
    let [channels, height, width] = layers.input;
    let [out, rows, columns] = layers.output();
    let middle = layers.middle();
    let small = layers.upsampled_input.as_ref();
    let small = small.map_or(0, |b| b.input.iter().product::<usize>());
    let sum = height * width * channels + small + rows * columns * (9 + out);
    (sum * middle) as u64
}

fn blocks(criterion: &mut Criterion) {
    let all: [(&str, Shape, Option<usize>); 10] = [
        ("up5.0", ([32, 128, 16], 320, 1), Some(32)),
        ("up5.1", ([16, 32, 16], 320, 1), None),
        ("up4.0", ([32, 128, 32], 160, 1), Some(32)),
        ("up3.0", ([64, 256, 32], 80, 1), Some(64)),
        ("up2.0", ([128, 512, 64], 40, 1), Some(128)),
        ("up1.0", ([256, 1024, 128], 20, 1), Some(256)),
        ("fuse_conv.0", ([1024, 2048, 512], 10, 1), None),
        ("down1.0", ([32, 64, 32], 320, 2), None),
        ("down1.1", ([32, 64, 32], 160, 1), None),
        ("down5.1", ([512, 1024, 512], 10, 1), None),
    ];
    for (name, shape, small) in all {
        let layers = layers(shape, small);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(multiplications(&layers)));
        let len = |shape: [usize; 3]| shape.iter().product::<usize>();
        let input = vec![0.5; len(layers.input)];
        let small = vec![0.5; layers.upsampled_input.as_ref().map_or(0, |b| len(b.input))];
        let fast_sets = InstructionSet::all().into_iter();
        for instruction_set in fast_sets.filter(|set| set.is_fast()) {
            let mut block = Block::new(&layers, instruction_set).unwrap();
            let mut output = vec![0.0; len(block.output())];
            group.bench_function(instruction_set.name(), |b| {
                b.iter(|| block.run(black_box(&input), &small, &mut output).unwrap());
            });
        }
        let bytes = vec![9; input.len()];
        let (input, skip) = match &layers.upsampled_input {
            Some(_) => (&small, bytes.as_slice()),
            None => (&input, [].as_slice()),
        };
        let fast_sets = int8::InstructionSet::all().into_iter();
        for instruction_set in fast_sets.filter(|set| set.is_fast()) {
            let mut block = int8::Block::new(&int8_spec(&layers), instruction_set).unwrap();
            let mut output = vec![0.0; block.output().iter().product()];
            group.bench_function(format!("int8, {}", instruction_set.name()), |b| {
                b.iter(|| block.run(black_box(input), skip, &mut output).unwrap());
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = blocks
}
criterion_main!(benches);
