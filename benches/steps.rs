//! The steps that work on samples and pixels. Each is compared with a crate that does the same or nearly the same, and
//! with a plain copy of as many bytes, because no step can be faster than memory.
//!
//! All steps: `cargo bench --bench steps`; a single step: `cargo bench --bench steps crop`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use ffmpeg_next::software::scaling;
use ffmpeg_next::{format::Pixel, frame::Video};
use lipsync::audio::SPEECH_RATE;
use lipsync::audio::{HOP, MelSpectrogram, frame_count};
use lipsync::face::{self, CROP, INPUT_LEN, OUTPUT_LEN, Paste, Paster};
use lipsync::image::Pool;
use lipsync::image::{Picture, Rect};
use lipsync::image::{Yuv420, YuvConverter};
use realfft::RealFftPlanner;

/// Size of the bundled presenter's frames, and side of its crop rectangle.
const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const SIDE: u32 = 336;

/// Samples per window of the mel spectrogram.
const MEL_WINDOW: usize = 800;

fn picture(width: usize, height: usize) -> Picture {
    let mut picture = Picture::new(width, height);
    for (i, value) in picture.pixels.iter_mut().enumerate() {
        *value = (i * 7 + i / width) as u8;
    }
    picture
}

fn rect() -> Rect {
    let (x0, y0) = (420, 200);
    Rect {
        x0,
        y0,
        x1: x0 + SIDE,
        y1: y0 + SIDE,
    }
}

/// Measures a copy of `bytes` bytes.
fn copy(group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>, bytes: usize) {
    let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
    group.bench_function("a copy of its result", |b| {
        b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    });
}

/// One second of audio.
fn mel(criterion: &mut Criterion) {
    let second = SPEECH_RATE as usize;
    let samples: Vec<f32> = (0..second).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
    let mut group = criterion.benchmark_group("mel, a second of audio");
    group.throughput(Throughput::Elements(second as u64));
    group.bench_function("lipsync", |b| {
        b.iter(|| {
            let mut mel = MelSpectrogram::new(second as u64);
            mel.push(black_box(&samples), |frame| {
                black_box(frame);
            });
            mel.finish(|frame| {
                black_box(frame);
            });
        });
    });
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(MEL_WINDOW);
    let (mut time, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
    let mut scratch = fft.make_scratch_vec();
    group.bench_function("realfft: its Fourier transforms alone", |b| {
        b.iter(|| {
            for _ in 0..frame_count(second as u64) {
                time.fill(black_box(0.5));
                fft.process_with_scratch(&mut time, &mut spectrum, &mut scratch)
                    .unwrap();
            }
        });
    });
    copy(&mut group, second / HOP * lipsync::audio::BANDS * 4);
    group.finish();
}

/// A crop rectangle to 328x328.
fn crop(criterion: &mut Criterion) {
    let frame = picture(WIDTH, HEIGHT);
    let mut group = criterion.benchmark_group("crop, 336x336 to 328x328");
    group.throughput(Throughput::Bytes((CROP * CROP * 3) as u64));
    group.bench_function("lipsync", |b| {
        b.iter(|| face::crop(black_box(&frame), rect()));
    });
    let mut part = Picture::default();
    part.copy_rect(&frame, rect());
    let side = CROP as u32;
    let source = ImageRef::new(SIDE, SIDE, &part.pixels, PixelType::U8x3).unwrap();
    let mut target = Image::new(side, side, PixelType::U8x3);
    let mut resizer = Resizer::new();
    // Catmull-Rom is not the kernel of the contract, and the crate rounds between its passes: results differ by up to 6
    // levels.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::CatmullRom));
    group.bench_function("fast_image_resize, other values, one thread", |b| {
        b.iter(|| resizer.resize(&source, &mut target, &options).unwrap());
    });
    copy(&mut group, CROP * CROP * 3);
    group.finish();
}

/// A crop to the network input.
fn network_input(criterion: &mut Criterion) {
    let crop = picture(CROP, CROP);
    let mut input = vec![0.0; INPUT_LEN];
    let mut group = criterion.benchmark_group("network input");
    group.throughput(Throughput::Bytes((INPUT_LEN * 4) as u64));
    group.bench_function("lipsync", |b| {
        b.iter(|| face::network_input(black_box(&crop), &mut input));
    });
    copy(&mut group, INPUT_LEN * 4);
    group.finish();
}

/// The generator's output into the crop rectangle.
fn paste(criterion: &mut Criterion) {
    let (mut frame, crop) = (picture(SIDE as usize, SIDE as usize), picture(CROP, CROP));
    let output: Vec<f32> = (0..OUTPUT_LEN).map(|i| (i % 251) as f32 / 250.0).collect();
    let whole = Rect {
        x0: 0,
        y0: 0,
        x1: SIDE,
        y1: SIDE,
    };
    let mut group = criterion.benchmark_group("paste, 336x336");
    let bytes = frame.pixels.len();
    group.throughput(Throughput::Bytes(bytes as u64));
    for (name, mode) in [
        ("seamless", Paste::Seamless),
        ("reference", Paste::Reference),
    ] {
        let mut paster = Paster::default();
        group.bench_function(name, |b| {
            b.iter(|| paster.paste(mode, 1.0, &mut frame, whole, &crop, black_box(&output)));
        });
    }
    copy(&mut group, bytes);
    group.finish();
}

/// A whole frame, and only what a mouth changes of it, to Y U V.
fn colours(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("R G B to Y U V 4:2:0");
    for (name, width, height) in [("a frame", WIDTH, HEIGHT), ("336x336", 336, 336)] {
        let picture = picture(width, height);
        let bytes = width * height * 3 / 2;
        group.throughput(Throughput::Bytes(bytes as u64));
        let (mut converter, mut planes) = (YuvConverter::default(), Yuv420::default());
        group.bench_function(format!("lipsync (the yuv crate), {name}"), |b| {
            b.iter(|| converter.convert(black_box(&picture), &mut planes).unwrap());
        });
        let (columns, rows) = (width as u32, height as u32);
        let mut source = Video::new(Pixel::RGB24, columns, rows);
        let stride = source.stride(0);
        for (to, from) in source
            .data_mut(0)
            .chunks_exact_mut(stride)
            .zip(picture.pixels.chunks_exact(width * 3))
        {
            to[..from.len()].copy_from_slice(from);
        }
        let mut scaler = scaling::Context::get(
            Pixel::RGB24,
            columns,
            rows,
            Pixel::YUV420P,
            columns,
            rows,
            scaling::Flags::BILINEAR | scaling::Flags::ACCURATE_RND,
        )
        .unwrap();
        let mut target = Video::empty();
        group.bench_function(format!("FFmpeg's swscale, {name}"), |b| {
            b.iter(|| scaler.run(black_box(&source), &mut target).unwrap());
        });
        let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
        group.bench_function(format!("a copy of its result, {name}"), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
    }
    group.finish();
}

/// A buffer for a network output: from a pool, or newly allocated each time.
fn pooling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a buffer for a network output");
    let pool = Pool::<Vec<f32>>::default();
    group.bench_function("from a pool", |b| {
        b.iter(|| {
            let mut buffer = pool.take();
            buffer.resize(OUTPUT_LEN, 0.0);
            black_box(buffer.as_ptr());
        });
    });
    group.bench_function("newly allocated", |b| {
        b.iter(|| black_box(vec![0.1_f32; OUTPUT_LEN]));
    });
    group.finish();
}

criterion_group!(benches, mel, crop, network_input, paste, colours, pooling);
criterion_main!(benches);
