//! Networks rewritten at load: what they paint, what the report says about it, and what is cached on disk.

use std::fs;
use std::path::PathBuf;

use lipsync::audio::WINDOW_LEN;
use lipsync::face::{CROP, INPUT_LEN, OUTPUT_LEN, network_input};
use lipsync::image::Picture;
use lipsync::inference::kernel::InstructionSet;
use lipsync::inference::{BaselineGenerator, FeatureLimits, Hardware, Networks, TuneOptions};
use lipsync::inference::{Face, Generator as _};
use serde_json::Value;

use crate::support::{Place, assert_fits, golden, pictures, project, runtime};

/// A generator with the layers of real ones and few channels, from `scripts/bench_model.py --width tiny`.
fn unet() -> PathBuf {
    project().join("tests/models/unet_generator.onnx")
}

fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.join("unet")).unwrap();
    fs::copy(unet(), place.join("unet/generator.onnx")).unwrap();
    let encoder = golden("models/tiny_audio_encoder.onnx");
    fs::copy(encoder, place.join("unet/audio_encoder.onnx")).unwrap();
    place
}

/// Renders one second into the folder `out`, and returns its frames and its report.
fn render(place: &Place, args: &[&str]) -> (Vec<Vec<u8>>, Value) {
    let base = [
        "render",
        "speech.wav",
        "-m",
        "unet",
        "-b",
        "bg",
        "--limit",
        "1",
        "--frames",
        "out",
        "--force",
        "--report",
        "report.json",
    ];
    place.ok(&[&base, args].concat());
    let frames = pictures(&place.join("out"));
    let report: Value =
        serde_json::from_slice(&fs::read(place.join("report.json")).unwrap()).unwrap();
    assert_fits("report.schema.json", &report);
    (
        frames.into_iter().map(image::RgbImage::into_raw).collect(),
        report,
    )
}

fn psnr(one: &[Vec<u8>], other: &[Vec<u8>]) -> f64 {
    let pairs = one.iter().flatten().zip(other.iter().flatten());
    let squares = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let (mut sum, mut count) = (0.0, 0.0);
    for square in squares {
        sum += square;
        count += 1.0;
    }
    10.0 * (255.0 * 255.0 * count / sum).log10()
}

/// The cache's only entry.
fn entry(place: &Place) -> PathBuf {
    let cache = place.path.parent().unwrap().join("cache/lipsync/networks");
    let mut entries: Vec<_> = fs::read_dir(cache)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

#[test]
fn a_network_in_parts_paints_what_its_file_paints_whatever_is_kept() {
    let encoder = golden("models/tiny_audio_encoder.onnx");
    let load = || {
        Networks::load(
            runtime(),
            &encoder,
            &unet(),
            Hardware::cpu(1),
            TuneOptions::EXACT,
        )
    };
    let mut networks = load().unwrap();
    let rewritings = format!("{:?}", networks.tuning.rewritings);
    assert!(
        rewritings.contains("computed once per background"),
        "{:?}",
        networks.tuning
    );
    assert!(
        rewritings.contains("5 convolutions moved before upsamples"),
        "{rewritings}"
    );
    assert_eq!(
        rewritings.contains("blocks fused"),
        InstructionSet::best().is_fast(),
        "{rewritings}"
    );
    let mut plain = BaselineGenerator::load(runtime(), &unet(), &networks.placement).unwrap();
    for bytes in [0, 300_000, usize::MAX / 4] {
        networks.features().keep(FeatureLimits {
            bytes,
            backgrounds: 3,
        });
        // Each background twice: the second time its features may be cached.
        for turn in 0..6_usize {
            let mut crop = Picture::new(CROP, CROP);
            for (i, value) in crop.pixels.iter_mut().enumerate() {
                *value = (i * (turn % 3 + 3) / 7) as u8;
            }
            let window: Vec<f32> = (0..WINDOW_LEN).map(|i| ((i * turn) as f32).sin()).collect();
            let mut input = vec![0.0; INPUT_LEN];
            network_input(&crop, &mut input);
            let [mut want, mut got] = [vec![0.0; OUTPUT_LEN], vec![0.0; OUTPUT_LEN]];
            plain.run(&input, &window, &mut want).unwrap();
            let face = Face { crop: &crop };
            networks.generators[0]
                .generate(&[face], &window, &mut got)
                .unwrap();
            let most = want
                .iter()
                .zip(&got)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(most <= 1e-4, "{bytes} bytes, turn {turn}: {most}");
        }
    }
}

#[test]
fn integers_come_near_or_are_not_taken() {
    let place = place();
    let (exact, report) = render(&place, &[]);
    assert_eq!(report["tuning"]["precision"], "exact");
    let (auto, report) = render(&place, &["--precision", "auto"]);
    let tuning = &report["tuning"];
    let distance = psnr(&exact, &auto);
    println!("{tuning} {distance:.1} dB");
    if tuning["precision"] == "int8" {
        assert!(tuning["psnr_db"].as_f64().unwrap() >= 40.0);
        assert!(distance >= 40.0, "{distance}");
        assert!(exact != auto, "nothing was rounded");
    } else {
        let dropped = tuning["dropped"].to_string();
        assert!(dropped.contains("int8"), "{dropped}");
        assert!(exact == auto);
    }
    // If int8 is asked for by name, it is used wherever it works at all.
    let (int8, report) = render(&place, &["--precision", "int8"]);
    assert_eq!(report["tuning"]["precision"], "int8");
    let rewritings = report["tuning"]["rewritings"].to_string();
    assert!(rewritings.contains("blocks in int8"), "{rewritings}");
    let distance = psnr(&exact, &int8);
    assert!(distance >= 35.0, "{distance}");
}

#[test]
fn what_was_made_is_found_again_and_damage_is_mended() {
    let place = place();
    let (first, _) = render(&place, &[]);
    let entry = entry(&place);
    let written = |file: &str| fs::metadata(entry.join(file)).unwrap().modified().unwrap();
    let made = written("joint.onnx");
    assert!(render(&place, &[]).0 == first);
    assert_eq!(written("joint.onnx"), made, "it was rewritten again");
    fs::write(entry.join("joint.onnx"), b"damaged").unwrap();
    assert!(render(&place, &[]).0 == first);
    assert!(
        fs::metadata(entry.join("joint.onnx")).unwrap().len() > 7,
        "it was not replaced"
    );
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let place = place();
    let (first, _) = render(&place, &[]);
    let args = [
        "render",
        "speech.wav",
        "-m",
        "unet",
        "-b",
        "bg",
        "--limit",
        "1",
        "--frames",
        "out",
        "--force",
    ];
    let mut command = place.command(&args);
    command.env("XDG_CACHE_HOME", place.join("speech.wav"));
    assert!(command.status().unwrap().success());
    let frames = pictures(&place.join("out"));
    assert!(frames.into_iter().map(image::RgbImage::into_raw).eq(first));
}

#[test]
fn memory_decides_the_time_and_not_the_picture() {
    let place = place();
    for precision in ["exact", "int8"] {
        let (plenty, _) = render(&place, &["--precision", precision]);
        let args = ["--precision", precision, "--memory-limit", "0.001"];
        let (none, report) = render(&place, &args);
        assert!(plenty == none, "{precision}");
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains("no backgrounds are cached"), "{warnings}");
    }
}

#[test]
fn a_network_of_another_make_runs_as_it_is() {
    let place = place();
    // Its output does not depend on the audio, so nothing can be split off.
    let bright = project().join("tests/models/bright_generator.onnx");
    fs::copy(bright, place.join("unet/generator.onnx")).unwrap();
    let (_, report) = render(&place, &["--precision", "auto"]);
    let tuning = &report["tuning"];
    assert_eq!(tuning["precision"], "exact");
    assert_eq!(tuning["rewritings"], Value::Array(Vec::new()));
    let why = tuning["dropped"].to_string();
    assert!(why.contains("depends on the picture alone"), "{why}");
}
