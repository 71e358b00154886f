//! A smoke run of the fuzz targets: arbitrary bytes, and valid files with mutations.
//!
//! Each target runs for 2 seconds, or for `LIPSYNC_FUZZ_SECONDS`. Every run goes through the same sequence of inputs, as
//! far as the time allows.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and print how many inputs they tried"
)]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Maximum size of an input in bytes, before mutations.
const MAX_INPUT: usize = 64 << 10;

/// A mutation of a file's bytes; positions are fractions of its length, 0..1.
#[derive(Debug, Clone)]
enum Mutation {
    Set(f64, u8),
    Flip(f64, u8),
    Number(f64, u64, usize),
    Truncate(f64),
    Remove(f64, usize),
    Insert(f64, Vec<u8>),
    Repeat(f64, usize),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Mutation> {
        // Half of the positions are near the start of a file, where headers are.
        let position = || prop_oneof![0.0..1.0, (0.0..1.0).prop_map(|x: f64| x.powi(6))];
        let number = prop_oneof![
            any::<u64>(),
            (0..64_u32).prop_map(|bit| 1 << bit),
            (0..64_u32).prop_map(|bit| (1 << bit) - 1),
        ];
        prop_oneof![
            (position(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            (position(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, 1 << bit)),
            (position(), number, 1..9_usize).prop_map(|(at, n, len)| Self::Number(at, n, len)),
            position().prop_map(Self::Truncate),
            (position(), 1..40_usize).prop_map(|(at, len)| Self::Remove(at, len)),
            (position(), vec(any::<u8>(), 1..40)).prop_map(|(at, new)| Self::Insert(at, new)),
            (position(), 1..400_usize).prop_map(|(at, len)| Self::Repeat(at, len)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let at = |position: f64| ((position * len as f64) as usize).min(len.saturating_sub(1));
        match self {
            _ if bytes.is_empty() => (),
            Self::Set(position, byte) => bytes[at(*position)] = *byte,
            Self::Flip(position, bit) => bytes[at(*position)] ^= bit,
            Self::Number(position, number, size) => {
                let new = number.to_le_bytes();
                for (byte, new) in bytes[at(*position)..].iter_mut().zip(&new[..*size]) {
                    *byte = *new;
                }
            }
            Self::Truncate(position) => bytes.truncate(at(*position)),
            Self::Remove(position, size) => {
                bytes.drain(at(*position)..(at(*position) + size).min(len));
            }
            Self::Insert(position, new) => {
                bytes.splice(at(*position)..at(*position), new.iter().copied());
            }
            Self::Repeat(position, size) => {
                let again = bytes[at(*position)..(at(*position) + size).min(len)].to_vec();
                bytes.splice(at(*position)..at(*position), again);
            }
        }
    }
}

/// Runs `check` on seeds, mutated seeds and random bytes until the time is up.
fn fuzz(name: &str, check: fn(&[u8]), valid: &[Vec<u8>]) {
    let seconds = std::env::var("LIPSYNC_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2.0);
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let seeds: Vec<Vec<u8>> = valid
        .iter()
        .map(|bytes| bytes[..bytes.len().min(MAX_INPUT)].to_vec())
        .collect();
    for seed in &seeds {
        check(seed);
    }
    let count = seeds.len();
    let mutated = (0..count, vec(Mutation::any(), 1..6)).prop_map(move |(seed, mutations)| {
        let mut bytes = seeds[seed].clone();
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        bytes
    });
    let inputs = prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        1 => "\\PC{0,200}".prop_map(String::into_bytes),
        8 => mutated,
    ];
    let mut runner = TestRunner::deterministic();
    let mut runs = 0;
    while Instant::now() < deadline {
        let bytes = inputs.new_tree(&mut runner).unwrap().current();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            let saved = std::env::temp_dir().join(format!("lipsync-fuzz-{name}"));
            fs::write(&saved, &bytes).unwrap();
            println!("run {runs} failed; its input is in `{}`", saved.display());
            std::panic::resume_unwind(panic);
        }
        runs += 1;
    }
    println!("{name}: {runs} runs");
}

fn golden(path: &str) -> Vec<u8> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    fs::read(tests.join(path)).unwrap()
}

/// A WAV file of a tenth of a second at 22050 Hz.
fn wav_of(bits: u16, channels: u16, float: bool) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: 22_050,
        bits_per_sample: bits,
        sample_format: if float {
            hound::SampleFormat::Float
        } else {
            hound::SampleFormat::Int
        },
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for i in 0..2205 * i32::from(channels) {
        if float {
            writer.write_sample(i as f32 / 9000.0).unwrap();
        } else {
            writer.write_sample(i % 100).unwrap();
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

#[test]
fn wav() {
    let rf64 = {
        let mut bytes = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
        bytes.extend([0; 8]);
        bytes.extend(3200_u64.to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(
            b"fmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff",
        );
        bytes.extend([7; 3200]);
        bytes
    };
    let files = [
        golden("audio/silence_1s.wav"),
        wav_of(16, 2, false),
        wav_of(24, 1, false),
        wav_of(32, 6, true),
        rf64,
    ];
    fuzz("wav", checks::wav, &files);
}

#[test]
fn rectangles() {
    let files = [
        golden("clip/crop_rects.json"),
        br#"{"10": {"rect": [5, 6, 7, 8]}, "9": {"rect": [1e300, -2, 3.5, 4]}, "11": [1, 2, 3, 4]}"#.to_vec(),
    ];
    fuzz("rectangles", checks::rectangles, &files);
}

#[test]
fn landmarks() {
    let lines: Vec<String> = (0..110).map(|i| format!("{i}.25 -{i}e2")).collect();
    let file = lines.join("\n").into_bytes();
    fuzz("landmarks", checks::landmarks, &[file]);
}

#[test]
fn config() {
    let whole = "\
models_root: models
background_root: ~/all
models:
  - &ada
    model_id: ada
    model_path: ada/generator.onnx
    background_dir: ada
  - {model_id: anna, model_path: '${HOME}/anna.onnx', source_video: \"anna \\u00e4.mp4\"}
gpu: {device_id: 1, memory_limit_gb: 7.5}
output: {codec: h265, crf: 20, preset: 8, fps: 30000/1001, mark: false}
log_level: debug
";
    let anchors = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n";
    fuzz("config", checks::config, &[whole.into(), anchors.into()]);
}

#[test]
fn frame_names() {
    let names = [
        "0\n1\n2\n3",
        "frame_0009\nframe_0010\nframe_0011",
        "a 18446744073709551615\na 18446744073709551614",
        "cover\n.hidden\n01\n1",
    ];
    let names: Vec<Vec<u8>> = names.iter().map(|text| text.as_bytes().to_vec()).collect();
    fuzz("frame_names", checks::frame_names, &names);
}

#[test]
fn network() {
    let files = [
        golden("models/tiny_audio_encoder.onnx"),
        golden("models/tiny_generator.onnx"),
    ];
    fuzz("network", checks::network, &files);
}
