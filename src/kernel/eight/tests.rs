//! The block against the same arithmetic, written plainly, a pixel and a channel at a time.

use proptest::prelude::*;

use super::{Affine, Block, Corners, Layer, Set, Size, Spec};

/// Numbers that look random and are the same on every run.
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
    fn real(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 30) as f32 - 1.0
    }

    fn reals(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.real() * scale).collect()
    }

    /// A layer whose sums, of bytes, become bytes that use their range.
    fn layer(&mut self, rows: usize, columns: usize, scale: f32) -> Layer {
        let spread = scale / (columns as f32).sqrt();
        Layer {
            weights: (0..rows * columns)
                .map(|_| (self.next() % 255) as i8)
                .collect(),
            affine: Affine {
                factor: (0..rows).map(|_| spread * (1.5 + self.real())).collect(),
                offset: self.reals(rows, 100.0),
            },
        }
    }
}

/// `spec` on `x` and `skip`, a pixel at a time.
fn plainly(spec: &Spec, size: Size, x: &[f32], skip: &[u8]) -> Vec<f32> {
    let channels = spec.input.factor.len();
    let (middle, out) = (
        spec.expand.affine.factor.len(),
        spec.project.affine.factor.len(),
    );
    let byte = |real: f32| real.round_ties_even().clamp(0.0, 255.0) as u8;
    let at = |affine: &Affine, c: usize, sum: i32| {
        (sum as f32).mul_add(affine.factor[c], affine.offset[c])
    };
    let dot = |layer: &Layer, row: usize, bytes: &[u8]| -> i32 {
        let weights = &layer.weights[row * bytes.len()..][..bytes.len()];
        let pairs = weights.iter().zip(bytes);
        pairs.map(|(w, b)| i32::from(*w) * i32::from(*b)).sum()
    };
    let expanded = |row: isize, column: isize, c: usize| -> u8 {
        let inside = |at: isize, length: usize| at >= 0 && (at as usize) < length;
        if !inside(row, size.height) || !inside(column, size.width) {
            return 0;
        }
        let pixel = row as usize * size.width + column as usize;
        let value = |c: usize| match spec.upsample {
            None => x[pixel * channels + c],
            Some(corners) => between(
                x,
                size,
                corners,
                channels,
                [row as usize, column as usize],
                c,
            ),
        };
        let mut bytes: Vec<u8> = (0..channels)
            .map(|c| byte(value(c).mul_add(spec.input.factor[c], spec.input.offset[c])))
            .collect();
        bytes.extend(&skip[pixel * spec.skip_channels..][..spec.skip_channels]);
        byte(at(&spec.expand.affine, c, dot(&spec.expand, c, &bytes)))
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
            for c in 0..out {
                let mut value = at(&spec.project.affine, c, dot(&spec.project, c, &bytes));
                if spec.residual {
                    value += x[(row * size.width + column) * channels + c];
                }
                output.push(value);
            }
        }
    }
    output
}

/// A value of the upsampled picture.
fn between(
    x: &[f32],
    size: Size,
    corners: Corners,
    channels: usize,
    place: [usize; 2],
    c: usize,
) -> f32 {
    let along = |at: usize, large: usize| {
        let small = large / 2;
        let at = match corners {
            Corners::Aligned => (at * (small - 1)) as f32 / (large - 1) as f32,
            Corners::HalfPixel => ((at as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (small - 1) as f32),
        };
        (at.floor() as usize, at.fract())
    };
    let (row, down) = along(place[0], size.height);
    let (column, across) = along(place[1], size.width);
    let value = |row: usize, column: usize| {
        let row = row.min(size.height / 2 - 1);
        let column = column.min(size.width / 2 - 1);
        x[(row * size.width / 2 + column) * channels + c]
    };
    let mixed = |column: usize| {
        let [first, second] = [value(row, column), value(row + 1, column)];
        (second - first).mul_add(down, first)
    };
    let [first, second] = [mixed(column), mixed(column + 1)];
    (second - first).mul_add(across, first)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_instruction_set_gives_the_plain_sums_to_the_bit(
        seed in any::<u64>(),
        (height, width) in (1..9_usize, 1..34_usize),
        (channels, skip_channels) in (1..21_usize, 0..9_usize),
        middle in prop_oneof![1..40_usize, Just(64), Just(128), Just(144)],
        out in prop_oneof![1..40_usize, Just(64)],
        kind in 0..5_usize,
    ) {
        let noise = &mut Noise(seed);
        let upsample = [None, None, None, Some(Corners::Aligned), Some(Corners::HalfPixel)][kind];
        let residual = kind == 2;
        let size = match upsample {
            Some(_) => Size { height: 2 * height, width: 2 * width },
            None => Size { height, width },
        };
        let out = if residual { channels } else { out };
        let spec = Spec {
            input: Affine {
                factor: vec![100.0; channels],
                offset: noise.reals(channels, 20.0).iter().map(|v| v + 120.0).collect(),
            },
            skip_channels,
            expand: noise.layer(middle, channels + skip_channels, 0.012),
            depthwise: noise.layer(middle, 9, 0.012),
            project: noise.layer(out, middle, 0.01),
            stride: if kind == 1 { 2 } else { 1 },
            upsample,
            residual,
        };
        let x = noise.reals(
            size.pixels() / if upsample.is_some() { 4 } else { 1 } * channels,
            1.3,
        );
        let skip: Vec<u8> = (0..size.pixels() * skip_channels).map(|_| noise.next() as u8).collect();
        let want = plainly(&spec, size, &x, &skip);
        for set in Set::all() {
            let mut block = Block::new(&spec, size, set).unwrap();
            let mut got = vec![f32::NAN; want.len()];
            // Twice: nothing of a picture may be left for the next one.
            for _ in 0..2 {
                block.run(&x, &skip, &mut got).unwrap();
            }
            prop_assert_eq!(&got, &want, "{:?}", set);
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
        upsample: None,
        residual: true,
    };
    let size = Size {
        height: 4,
        width: 6,
    };
    let mut block = Block::new(&spec, size, Set::Plain).unwrap();
    let mut output = vec![0.0; 4 * 6 * 4];
    assert!(block.run(&[0.0; 96], &[], &mut output).is_ok());
    assert!(block.run(&[0.0; 95], &[], &mut output).is_err());
    let strided = Spec {
        stride: 2,
        ..spec.clone()
    };
    assert!(Block::new(&strided, size, Set::Plain).is_err());
    let short = Spec {
        expand: noise.layer(8, 3, 0.01),
        ..spec
    };
    assert!(Block::new(&short, size, Set::Plain).is_err());
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let noise = &mut Noise(1);
    for (name, side, channels, skip_channels, middle, out, stride, upsample, residual) in [
        ("up5.0", 320, 32, 32, 128, 16, 1, true, false),
        ("up5.0 not upsampled", 320, 32, 32, 128, 16, 1, false, false),
        ("up5.0 all skipped", 320, 4, 60, 128, 16, 1, false, false),
        ("up5.0 no expand", 320, 4, 0, 128, 16, 1, false, false),
        ("up5.0 no mid", 320, 32, 32, 16, 16, 1, true, false),
        ("up5.1", 320, 16, 0, 32, 16, 1, false, true),
        ("up4.0", 160, 32, 32, 128, 32, 1, true, false),
        ("up4.1", 160, 32, 0, 64, 32, 1, false, true),
        ("up3.0", 80, 64, 64, 256, 32, 1, true, false),
        ("up3.1", 80, 32, 0, 64, 32, 1, false, true),
        ("up2.0", 40, 128, 128, 512, 64, 1, true, false),
        ("up2.1", 40, 64, 0, 128, 64, 1, false, true),
        ("up1.0", 20, 256, 256, 1024, 128, 1, true, false),
        ("up1.1", 20, 128, 0, 256, 128, 1, false, true),
        ("fuse0.0", 10, 1024, 0, 2048, 512, 1, false, false),
        ("fuse0.1", 10, 512, 0, 1024, 512, 1, false, true),
        ("down1.0", 320, 32, 0, 64, 32, 2, false, false),
    ] {
        let size = Size {
            height: side,
            width: side,
        };
        let spec = Spec {
            input: Affine {
                factor: vec![100.0; channels],
                offset: vec![120.0; channels],
            },
            skip_channels,
            expand: noise.layer(middle, channels + skip_channels, 0.012),
            depthwise: noise.layer(middle, 9, 0.012),
            project: noise.layer(out, middle, 0.01),
            stride,
            upsample: upsample.then_some(Corners::Aligned),
            residual,
        };
        let x = noise.reals(size.pixels() / if upsample { 4 } else { 1 } * channels, 1.3);
        let skip: Vec<u8> = (0..size.pixels() * skip_channels)
            .map(|_| noise.next() as u8)
            .collect();
        let macs = (size.pixels() * middle * (channels + skip_channels)
            + size.pixels() / stride / stride * middle * (out + 9)) as f64;
        for set in Set::all() {
            if !set.is_fast() {
                continue;
            }
            let mut block = Block::new(&spec, size, set).unwrap();
            let mut got = vec![0.0; block.output_size().pixels() * out];
            let mut best = f64::MAX;
            for _ in 0..15 {
                let t = std::time::Instant::now();
                block.run(&x, &skip, &mut got).unwrap();
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!(
                "{name} {set:?}: {:.3} ms, {:.0} GMAC/s",
                best * 1e3,
                macs / best / 1e9
            );
        }
    }
}
