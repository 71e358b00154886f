//! Networks in forms other than one file of full precision: weights outside the file, and weights that are no numbers.

use std::fs;

use serde_json::Value;

use crate::hostile::{with_weights, without_weights};
use crate::support::{Place, pictures};

/// A folder with the generator's weights in a file of their own, which the network looks for at `location`.
fn with_outer_weights(place: &Place, location: &str, file: &str) -> Vec<u8> {
    let network = place.join("tiny/generator.onnx");
    let (outer, weights) = without_weights(&fs::read(&network).unwrap(), "weights", location);
    fs::write(network, outer).unwrap();
    let file = place.join("tiny").join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, &weights).unwrap();
    weights
}

/// The weights with the opposite sign.
fn negated(weights: &[u8]) -> Vec<u8> {
    let floats = weights.chunks_exact(4);
    floats
        .flat_map(|bytes| (-f32::from_le_bytes(bytes.try_into().unwrap())).to_le_bytes())
        .collect()
}

fn frames(place: &Place, folder: &str) -> Vec<image::RgbImage> {
    place.render(&["--frames", folder, "--limit", "0.4"]);
    pictures(&place.join(folder))
}

#[test]
fn weights_outside_the_file_are_used_wherever_they_are() {
    let place = Place::new();
    let expected = frames(&place, "whole");
    let whole = fs::read(place.join("tiny/generator.onnx")).unwrap();
    for (n, (location, file)) in [
        ("anything.bin", "anything.bin"),
        ("sub/w", "sub/w"),
        // As Windows records it.
        ("sub\\w.bin", "sub/w.bin"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(place.join("tiny/generator.onnx"), &whole).unwrap();
        with_outer_weights(&place, location, file);
        assert!(
            frames(&place, &format!("frames{n}")) == expected,
            "{location}"
        );
    }
}

#[test]
fn a_clip_of_other_weights_is_not_finished() {
    let place = Place::new();
    let weights = with_outer_weights(&place, "w.bin", "w.bin");
    let run = || {
        let args = [
            "batch",
            "speech.wav",
            "-o",
            "out",
            "-m",
            "tiny",
            "-b",
            "bg",
            "--limit",
            "0.4",
            "--resume",
            "--report",
            "run.json",
            "-q",
        ];
        place.ok(&args);
        let report: Value =
            serde_json::from_slice(&fs::read(place.join("run.json")).unwrap()).unwrap();
        report["clips"][0]["end"].as_str().unwrap().to_owned()
    };
    assert_eq!(run(), "rendered");
    assert_eq!(run(), "skipped");
    fs::write(place.join("tiny/w.bin"), negated(&weights)).unwrap();
    assert_eq!(run(), "rendered");
}

#[test]
fn parts_of_other_weights_are_not_joined() {
    let place = Place::new();
    place.wav("long.wav", 16_000, 1, 12.0, |_, t| (t * 700.0).sin() * 0.3);
    let weights = with_outer_weights(&place, "w.bin", "w.bin");
    let part = |part: &str| {
        place.ok(&[
            "render", "long.wav", "-m", "tiny", "-b", "bg", "-q", "--part", part,
        ]);
    };
    part("0/2");
    fs::write(place.join("tiny/w.bin"), negated(&weights)).unwrap();
    part("1/2");
    let output = place.run(&[
        "join",
        "long.part0-of-2.mp4",
        "long.part1-of-2.mp4",
        "-o",
        "long.mp4",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!place.join("long.mp4").exists());
}

#[test]
fn values_that_are_no_numbers_end_the_render() {
    for (network, weights, said) in [
        (
            "audio_encoder",
            "scale",
            "network `tiny/audio_encoder.onnx` gives NaN for the audio at 0.00 s",
        ),
        (
            "generator",
            "weights",
            "network `tiny/generator.onnx` gives NaN in frame 0 (0.00 s)",
        ),
    ] {
        let place = Place::new();
        let path = place.join(&format!("tiny/{network}.onnx"));
        let whole = fs::read(&path).unwrap();
        let (_, values) = without_weights(&whole, weights, "");
        let nan: Vec<u8> = values
            .chunks_exact(4)
            .flat_map(|_| f32::NAN.to_le_bytes())
            .collect();
        fs::write(&path, with_weights(&whole, weights, &nan)).unwrap();
        for more in [&[][..], &["--deterministic"]] {
            let base = ["render", "speech.wav", "-m", "tiny", "-b", "bg", "-q"];
            let output = place.run(&[&base, more].concat());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{network}: {stderr}");
            assert!(stderr.contains(said), "{network}: {stderr}");
            assert!(!place.join("speech.mp4").exists());
        }
    }
}
