//! `lipsync render`: frame rates, seams, pauses, contact sheets, plan, report, progress, determinism.

use std::fs;
use std::path::Path;

use image::RgbImage;
use serde_json::Value;

use crate::support::{Place, assert_fits, difference, golden, picture, pictures, probe, project};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_frame_at_a_time_has_the_mouth_of_that_time_at_every_rate() {
    let place = Place::new();
    let frames = |fps: &str, folder: &str| {
        // One background for all frames: only the mouth differs.
        place.render(&[
            "--fps",
            fps,
            "--frames",
            folder,
            "--order",
            "hold",
            "--start-frame",
            "11",
            "--limit",
            "2",
        ]);
        pictures(&place.join(folder))
    };
    let trained = frames("25", "f25");
    assert_eq!(trained.len(), 50);
    for (fps, count, step, of_25) in [
        ("50", 100, 2, 1),
        ("60", 120, 12, 5),
        ("24", 48, 24, 25),
        ("30", 60, 6, 5),
    ] {
        let other = frames(fps, &format!("f{fps}"));
        assert_eq!(other.len(), count);
        // Frames at the same time are identical.
        for k in 0.. {
            let (Some(a), Some(b)) = (other.get(k * step), trained.get(k * of_25)) else {
                break;
            };
            assert!(
                a == b,
                "{fps} fps: frame {} is not frame {} of 25 fps",
                k * step,
                k * of_25
            );
        }
        assert!(other[0] != other[count / 2], "the mouth moves");
    }
}

#[test]
fn time_stamps_are_exact_at_every_rate() {
    let place = Place::new();
    for (fps, exact, frames) in [
        ("24", "24/1", 104),
        ("25", "25/1", 108),
        ("29.97", "30000/1001", 130),
        ("30", "30/1", 130),
        ("50", "50/1", 216),
        ("60", "60/1", 259),
    ] {
        place.render(&["--fps", fps, "-o", "clip.mp4", "--force"]);
        let probed = probe(&place.join("clip.mp4"));
        let video = &probed["streams"][0];
        assert_eq!(video["r_frame_rate"], exact);
        assert_eq!(video["avg_frame_rate"], exact);
        assert_eq!(video["nb_frames"], frames.to_string(), "{fps} fps");
    }
}

/// The masked area in a frame: rows 5..310 and columns 5..315 of the inner 320, which starts at 4 of the 328.
fn masked([x0, y0, x1, y1]: [u32; 4]) -> [f64; 4] {
    let (w, h) = (f64::from(x1 - x0) / 328.0, f64::from(y1 - y0) / 328.0);
    let (x0, y0) = (f64::from(x0), f64::from(y0));
    [x0 + 9.0 * w, y0 + 9.0 * h, x0 + 319.0 * w, y0 + 314.0 * h]
}

fn is_inside(area: [f64; 4], x: u32, y: u32) -> bool {
    let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
    (area[0]..area[2]).contains(&x) && (area[1]..area[3]).contains(&y)
}

/// Mean difference in levels between neighbouring pixels on either side of the border of the masked area.
fn step_across(frame: &RgbImage, area: [f64; 4]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (x, y, pixel) in frame.enumerate_pixels() {
        for (nx, ny) in [(x + 1, y), (x, y + 1)] {
            if nx < frame.width()
                && ny < frame.height()
                && is_inside(area, x, y) != is_inside(area, nx, ny)
            {
                let other = frame.get_pixel(nx, ny);
                sum += pixel
                    .0
                    .iter()
                    .zip(other.0)
                    .map(|(a, b)| f64::from(a.abs_diff(b)))
                    .sum::<f64>();
                count += 3.0;
            }
        }
    }
    sum / count
}

#[test]
fn no_seam_on_the_presenter_and_none_from_a_network_that_is_too_bright() {
    let place = Place::new();
    fs::create_dir(place.join("bright")).unwrap();
    fs::copy(
        project().join("tests/models/bright_generator.onnx"),
        place.join("bright/generator.onnx"),
    )
    .unwrap();
    fs::copy(
        golden("models/tiny_audio_encoder.onnx"),
        place.join("bright/audio_encoder.onnx"),
    )
    .unwrap();
    let ada = project().join("backgrounds/ada");
    let rects: Vec<[u32; 4]> =
        serde_json::from_slice(&fs::read(ada.join("crop_rects.json")).unwrap()).unwrap();
    let hello = project().join("samples/hello.wav");
    for (model, limit) in [("ada", "3"), ("bright", "0.4")] {
        for paste in ["seamless", "reference"] {
            let folder = format!("{model}-{paste}");
            place.ok(&[
                "render",
                hello.to_str().unwrap(),
                "-m",
                model,
                "-b",
                ada.to_str().unwrap(),
                "--limit",
                limit,
                "--paste",
                paste,
                "--frames",
                &folder,
            ]);
        }
        let (mut own, mut seamless, mut reference, mut looked_at, mut changed) =
            (0.0, 0.0, 0.0, 0.0, 0_u32);
        let pasted = pictures(&place.join(&format!("{model}-seamless")));
        let as_reference = pictures(&place.join(&format!("{model}-reference")));
        for (i, (frame, by_reference)) in pasted.iter().zip(&as_reference).enumerate().step_by(5) {
            let background = picture(&ada.join(format!("{i:06}.jpg")));
            let area = masked(rects[i]);
            for (x, y, pixel) in frame.enumerate_pixels() {
                let same = pixel == background.get_pixel(x, y);
                assert!(
                    same || is_inside(area, x, y),
                    "{model}, frame {i}: ({x}, {y}) is outside the mask and differs"
                );
                changed += u32::from(!same);
            }
            own += step_across(&background, area);
            seamless += step_across(frame, area);
            reference += step_across(by_reference, area);
            looked_at += 1.0;
        }
        let [own, seamless, reference] = [own, seamless, reference].map(|sum: f64| sum / looked_at);
        println!(
            "{model}: step across the border {seamless:.3}, the background's own {own:.3}, reference paste {reference:.3}"
        );
        assert!(
            seamless <= 1.02 * own,
            "{model}: {seamless:.3} levels for {own:.3}"
        );
        if model == "bright" {
            // The network returns the background, only too bright. Nothing of that error is left.
            let background = picture(&ada.join("000000.jpg"));
            let (most, mean) = difference(pasted[0].as_raw(), background.as_raw());
            assert!(most <= 1 && mean < 0.01, "max {most}, mean {mean}");
            let (most, _) = difference(as_reference[0].as_raw(), background.as_raw());
            assert!(most >= 6, "the network is too bright: max {most}");
        } else {
            assert!(changed > 10_000, "the mouth moves: {changed} pixels");
        }
    }
}

#[test]
fn the_mouth_comes_to_rest_in_pauses_and_back_without_a_pop() {
    let place = Place::new();
    // A second of voice, a second and a half of silence, a second of voice.
    let voice = |t: f64| {
        (t * 150.0 * std::f64::consts::TAU).sin()
            * (1.5 + (t * 31.0).sin())
            * (t * 3000.0).cos()
            * 0.2
    };
    place.wav("pause.wav", 16_000, 1, 3.5, |_, t| {
        if (1.0..2.5).contains(&t) {
            0.0
        } else {
            voice(t)
        }
    });
    let render = |silence: &str| {
        place.ok(&[
            "render",
            "pause.wav",
            "-m",
            "tiny",
            "-b",
            "bg",
            "--silence",
            silence,
            "--order",
            "hold",
            "--start-frame",
            "11",
            "--frames",
            silence,
            "--report",
            &format!("{silence}.json"),
        ]);
        pictures(&place.join(silence))
    };
    let (model, rest) = (render("model"), render("rest"));
    let background = picture(&place.join("bg/11.png"));
    let change: Vec<f64> = rest
        .iter()
        .map(|f| difference(f.as_raw(), background.as_raw()).1)
        .collect();
    // The mouth is at rest from 0.2 s after the voice ends until 0.26 s before it starts again.
    for frame in 34..=54 {
        assert_eq!(
            change[frame], 0.0,
            "frame {frame} is at rest: the background, to the bit"
        );
        assert!(
            model[frame] != background,
            "frame {frame}: the networks would do something else"
        );
    }
    assert!(
        rest[..26] == model[..26] && rest[64..] == model[64..],
        "in speech nothing changes"
    );
    let step = |i: usize| (change[i] - change[i + 1]).abs();
    let (fall, rise) = (
        (27..34).map(step).fold(0.0, f64::max),
        (54..62).map(step).fold(0.0, f64::max),
    );
    let widest = change[26].max(change[63]);
    assert!(
        fall < 0.5 * widest && rise < 0.5 * widest,
        "eased: {fall:.2} and {rise:.2} of {widest:.2}"
    );
    let painted = json(&place.join("rest.json"))["stages"]["infer"]["frames"]
        .as_u64()
        .unwrap();
    assert!(
        (60..=70).contains(&painted),
        "{painted} of 88 frames went through the generator"
    );
}

#[test]
fn a_contact_sheet_is_made_beside_the_clip_or_alone() {
    let place = Place::new();
    let said = place.render(&["--contact-sheet", "alone.png"]);
    assert!(said.contains("wrote `alone.png`: 12 frames"), "{said}");
    assert_eq!(place.names(), ["alone.png", "bg", "speech.wav", "tiny"]);
    place.render(&["--contact-sheet", "beside.png", "-o", "clip.mp4"]);
    assert!(place.join("clip.mp4").is_file());
    let (alone, beside) = (
        picture(&place.join("alone.png")),
        picture(&place.join("beside.png")),
    );
    assert!(
        alone.width() >= 1200 && alone == beside,
        "the same twelve moments"
    );
}

#[test]
fn a_dry_run_writes_nothing_and_says_who_decided() {
    let place = Place::new();
    fs::write(
        place.join("lipsync.yaml"),
        "models:\n- model_id: small\n  model_path: tiny/generator.onnx\n  background_dir: bg\noutput:\n  crf: 20\n  fps: 30\n  preset: fast\n",
    )
    .unwrap();
    fs::create_dir(place.join("deep")).unwrap();
    let mut command = place.command(&["render", "../speech.wav", "--dry-run", "-v", "--fps", "50"]);
    command.current_dir(place.join("deep"));
    let output = command
        .env("LIPSYNC_FPS", "24")
        .env("LIPSYNC_CRF", "21")
        .output()
        .unwrap();
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config = fs::canonicalize(place.join("lipsync.yaml")).unwrap();
    for (setting, value, origin) in [
        ("fps", "50", "flag".to_owned()),
        ("crf", "21", "LIPSYNC_CRF".to_owned()),
        ("preset", "fast", format!("{}:8", config.display())),
        ("model", "small", format!("{}:2", config.display())),
        ("paste", "seamless", "default".to_owned()),
    ] {
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let wanted = words(&format!("{setting} {value} {origin}"));
        assert!(
            plan.lines().any(|line| words(line) == wanted),
            "{wanted}\n{plan}"
        );
    }
    assert!(
        plan.contains("216 frames at 50 fps, libx264, crf 21, fast"),
        "{plan}"
    );
    assert_eq!(fs::read_dir(place.join("deep")).unwrap().count(), 0);
    assert_eq!(
        place.names(),
        ["bg", "deep", "lipsync.yaml", "speech.wav", "tiny"]
    );
}

#[test]
fn the_report_is_what_its_schema_says() {
    let place = Place::new();
    place.render(&["--report", "done.json", "--limit", "1"]);
    let done = json(&place.join("done.json"));
    assert_fits("report.schema.json", &done);
    let output = &done["output"];
    assert_eq!(
        (&output["crf"], &output["preset"]),
        (&18.into(), &"veryfast".into())
    );
    assert_eq!(
        (&done["frames"], &done["output"]["path"]),
        (&25.into(), &"speech.mp4".into())
    );
    assert_eq!(done["stages"]["encode"]["frames"], 25);
    for library in ["lipsync", "ffmpeg", "onnxruntime"] {
        assert!(
            done["versions"][library]
                .as_str()
                .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit())),
            "{done:#}"
        );
    }
    assert!(done.get("error").is_none());
    // On failure too, with what was known by then. An earlier report is replaced ...
    let output = place.run(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--report",
        "done.json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let failed = json(&place.join("done.json"));
    assert_fits("report.schema.json", &failed);
    assert_eq!(failed["error"]["message"], "output `speech.mp4` exists");
    assert_eq!(failed["error"]["exit_code"], 1);
    // ... but no other file is.
    fs::write(place.join("notes.txt"), "mine").unwrap();
    let output = place.run(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--force",
        "--report",
        "notes.txt",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read(place.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn progress_is_one_object_a_line() {
    let place = Place::new();
    let events = |args: &[&str]| -> Vec<Value> {
        let output = place.run(
            &[
                &["render", "speech.wav", "-m", "tiny", "--progress", "json"],
                args,
            ]
            .concat(),
        );
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let names = |events: &[Value]| -> Vec<String> {
        events
            .iter()
            .map(|e| e["event"].as_str().unwrap().to_owned())
            .collect()
    };
    let good = events(&["-b", "bg"]);
    for event in &good {
        assert_fits("progress.schema.json", event);
    }
    assert_eq!(names(&good).first().unwrap(), "start");
    assert_eq!(names(&good).last().unwrap(), "success");
    let last = good.iter().rfind(|e| e["event"] == "progress").unwrap();
    assert_eq!(
        (&last["frame"], &last["frames"]),
        (&108.into(), &108.into())
    );
    let bad = events(&["-b", "nowhere"]);
    for event in &bad {
        assert_fits("progress.schema.json", event);
    }
    assert_eq!(names(&bad), ["failure"]);
    // A background with one rectangle too many is a warning.
    let mut rects: Vec<Value> =
        serde_json::from_value(json(&place.join("bg/crop_rects.json"))).unwrap();
    rects.push(serde_json::json!([0, 0, 9, 9]));
    fs::write(
        place.join("bg/crop_rects.json"),
        Value::from(rects).to_string(),
    )
    .unwrap();
    let warned = events(&["-b", "bg", "--force", "--limit", "0.2"]);
    for event in &warned {
        assert_fits("progress.schema.json", event);
    }
    assert!(names(&warned).contains(&"warning".to_owned()));
}

#[test]
fn deterministic_means_the_same_bytes_whatever_batch_and_threads() {
    let place = Place::new();
    for (model, output) in [("tiny", "clip.mp4"), ("ada", "clip.mkv")] {
        let mut first: Option<Vec<u8>> = None;
        let combinations = [
            ("1", "1"),
            ("1", "2"),
            ("3", "1"),
            ("3", "3"),
            ("8", "2"),
            ("auto", "4"),
        ];
        for (perturb, (batch, threads)) in (40..).step_by(40).zip(combinations) {
            let mut command = place.command(&[
                "render",
                "speech.wav",
                "-m",
                model,
                "-b",
                "bg",
                "--deterministic",
                "--force",
                "-o",
                output,
                "--batch",
                batch,
                "--threads",
                threads,
                "--limit",
                "1.5",
            ]);
            // Fills memory with another value each time; no byte of the clip may depend on it.
            command.env("MALLOC_PERTURB_", perturb.to_string());
            assert!(command.status().unwrap().success());
            let bytes = fs::read(place.join(output)).unwrap();
            assert!(
                *first.get_or_insert_with(|| bytes.clone()) == bytes,
                "{model}: batch {batch}, {threads} threads"
            );
        }
    }
}
