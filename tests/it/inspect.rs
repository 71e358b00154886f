//! `lipsync inspect`: every kind of input and its faults, as text, JSON and picture.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use image::{Rgb, RgbImage, imageops};
use serde_json::{Value, json};

use crate::support::{Place, picture, project};

fn snapshot(name: &str, value: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, value);
    });
}

/// The stdout of `inspect` with these arguments; stderr must be empty.
pub(crate) fn told(place: &Place, args: &[&str]) -> String {
    let output = place.run(&[&["inspect", "-q"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    assert!(said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(place: &Place, args: &[&str]) -> Value {
    let value: Value = serde_json::from_str(&told(place, &[args, &["--json"]].concat())).unwrap();
    assert_eq!(value["schema_version"], 1);
    value
}

/// The warnings, one per line.
fn warnings(found: &Value) -> String {
    let lines = found["warnings"].as_array().unwrap().iter();
    let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

fn near(value: &Value, wanted: f64, tolerance: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - wanted).abs() <= tolerance, "{value} for {wanted}");
}

/// Draws and returns the picture, which must be 1400 pixels wide, have the expected height, and have many colours.
fn drawn(place: &Place, args: &[&str], heights: std::ops::Range<u32>) -> RgbImage {
    told(place, &[args, &["--png", "drawn.png", "--force"]].concat());
    let drawn = picture(&place.join("drawn.png"));
    assert_eq!(drawn.width(), 1400);
    assert!(heights.contains(&drawn.height()), "{}", drawn.height());
    let ground = drawn.get_pixel(0, 0);
    let inked = drawn.pixels().filter(|p| *p != ground).count();
    assert!(inked > 20_000, "{inked} pixels are not blank");
    drawn
}

fn count(picture: &RgbImage, colour: [u8; 3]) -> usize {
    picture.pixels().filter(|p| p.0 == colour).count()
}

/// The colour that marks faults in pictures.
const RED: [u8; 3] = [200, 36, 44];

#[test]
fn a_sound() {
    let place = Place::new();
    // Two tones of one second with a pause between them, over faint noise.
    place.wav("tones.wav", 44_100, 2, 4.0, |_, t| {
        let speaks = (0.5..1.5).contains(&t) || (2.5..3.5).contains(&t);
        let noise = ((t * 44_100.0).round() * 0.7).sin() * 0.0005;
        noise
            + if speaks {
                0.25 * (t * 1500.0).sin()
            } else {
                0.0
            }
    });
    let text = told(&place, &["tones.wav"]);
    for part in [
        "audio file `tones.wav`",
        "sample rate  44100 Hz\n",
        "channels     2\n",
        "pcm_s16le (16-bit)",
        "4.000 s (100 frames at 25 fps)",
        "clipping     none",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("warning"), "{text}");
    let found = json(&place, &["tones.wav"]);
    assert_eq!(found["kind"], "sound");
    near(&found["peak_dbfs"], -12.0, 0.1);
    near(&found["rms_dbfs"], -18.1, 0.2);
    near(&found["silence_at_start_s"], 0.5, 0.15);
    let pauses = found["pauses_s"].as_array().unwrap();
    assert!(
        pauses
            .iter()
            .any(|p| p[0].as_f64().unwrap() > 1.3 && p[1].as_f64().unwrap() < 2.7),
        "{pauses:?}"
    );
    drawn(&place, &["tones.wav"], 500..900);
}

#[test]
fn a_sound_with_faults() {
    let place = Place::new();
    place.wav("loud.wav", 8000, 1, 2.0, |_, t| {
        let gate = if (0.4..1.6).contains(&t) { 1.0 } else { 0.0 };
        (gate * 1.6 * (t * 2000.0).sin() + 0.04).clamp(-1.0, 1.0)
    });
    let found = json(&place, &["loud.wav"]);
    let said = warnings(&found);
    for part in [
        "clipped: ",
        "DC offset: ",
        "8000 Hz has nothing above 4000 Hz",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(found["clipped_samples"].as_u64().unwrap() > 1000);
    near(&found["clipped_at_s"][0], 0.4, 0.01);
    near(&found["peak_dbfs"], 0.0, 0.01);
    let text = told(&place, &["loud.wav"]);
    assert!(text.contains("\nwarning: clipped: "), "{text}");
    let picture = drawn(&place, &["loud.wav"], 500..900);
    assert!(count(&picture, RED) > 2000);

    place.wav("against.wav", 16_000, 2, 2.0, |channel, t| {
        let sign = if channel == 0 { 0.4 } else { -0.39 };
        sign * (t * 1500.0).sin()
    });
    assert!(warnings(&json(&place, &["against.wav"])).contains("cancel each other"));
    place.wav("half.wav", 16_000, 2, 2.0, |channel, t| {
        if channel == 0 {
            0.4 * (t * 1500.0).sin()
        } else {
            0.0
        }
    });
    assert!(warnings(&json(&place, &["half.wav"])).contains("channel 2 of 2 is silent"));
    place.wav("nothing.wav", 16_000, 1, 1.0, |_, _| 0.0);
    let found = json(&place, &["nothing.wav"]);
    assert!(warnings(&found).contains("no speech found"));
    assert_eq!(found["peak_dbfs"], -120.0);
}

/// A picture with fine texture, shifted by `shift` pixels.
fn texture(width: u32, height: u32, shift: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise =
            ((((x + shift) >> 1) * 7919) ^ ((y >> 1) * 104_729)).wrapping_mul(2_654_435_761) >> 24;
        Rgb([noise as u8, (noise / 2) as u8, 90])
    })
}

/// 24 numbered frames, each shifted by two more pixels, with a rectangle that moves by one.
fn presenter(place: &Place, name: &str) -> Vec<[u32; 4]> {
    let folder = place.join(name);
    fs::create_dir(&folder).unwrap();
    for i in 0..24 {
        let path = folder.join(format!("{i}.png"));
        texture(160, 120, 2 * i).save(path).unwrap();
    }
    let rects: Vec<[u32; 4]> = (0..24).map(|i| [40 + i, 30, 100 + i, 90]).collect();
    write_rects(&folder, &rects);
    rects
}

fn write_rects(folder: &Path, rects: &[[u32; 4]]) {
    let text = serde_json::to_string(rects).unwrap();
    fs::write(folder.join("crop_rects.json"), text).unwrap();
}

#[test]
fn a_background_folder() {
    let place = Place::new();
    presenter(&place, "anna");
    let text = told(&place, &["anna"]);
    assert!(text.contains("24 PNG, 160x120, numbered 0 to 23"), "{text}");
    assert!(
        text.contains("sides 60 px, moving 23 px horizontally, 0 px vertically"),
        "{text}"
    );
    assert!(!text.contains("warning"), "{text}");
    let clean = drawn(&place, &["anna"], 1200..1900);
    assert_eq!(count(&clean, RED), count_legend());
    let found = json(&place, &["bg"]);
    assert_eq!(found["kind"], "background");
    assert_eq!(
        (&found["frames"], &found["width"]),
        (&json!(12), &json!(360))
    );
}

/// Red pixels in a picture without faults: those of the legend.
fn count_legend() -> usize {
    14 * 14
}

#[test]
fn a_background_folder_with_all_faults_at_once() {
    let place = Place::new();
    let mut rects = presenter(&place, "anna");
    let file = |i: u32| place.join(&format!("anna/{i}.png"));
    let mut speck = picture(&file(4));
    speck.put_pixel(3, 3, Rgb([255, 0, 0]));
    speck.save(file(5)).unwrap();
    for rect in &mut rects[10..] {
        rect[0] += 20;
        rect[2] += 20;
    }
    rects[12] = [150, 30, 210, 90];
    fs::copy(file(14), file(15)).unwrap();
    fs::remove_file(file(18)).unwrap();
    imageops::blur(&picture(&file(20)), 1.5)
        .save(file(20))
        .unwrap();
    texture(100, 80, 44).save(file(22)).unwrap();
    fs::write(file(23), "not a picture").unwrap();
    fs::copy(file(0), place.join("anna/cover.png")).unwrap();
    write_rects(&place.join("anna"), &rects);
    let found = json(&place, &["anna"]);
    for (key, frames) in [
        ("nearly_identical", json!([5])),
        ("identical", json!([15])),
        ("missing", json!([18])),
        ("blurred", json!([20])),
        ("odd_sized", json!([22])),
        ("damaged", json!([23])),
        ("unnumbered", json!(["cover.png"])),
    ] {
        assert_eq!(found[key], frames, "{key}");
    }
    let rects = &found["rectangles"];
    assert_eq!(
        rects["jumps"][0],
        json!({"from": 9, "to": 10, "pixels": 21})
    );
    assert_eq!(rects["outside"], json!([12, 22]));
    snapshot("inspect_background", &told(&place, &["anna"]));
    let picture = drawn(&place, &["anna"], 1200..2200);
    assert!(count(&picture, RED) > 4 * count_legend());
}

#[test]
fn a_model() {
    let place = Place::new();
    let text = told(&place, &["tiny"]);
    for part in [
        "fits synctalk-328\n",
        "generator.onnx: generator",
        "inputs   input float32 [N, 6, 320, 320], audio float32 [N, 32, 16, 16]",
        "outputs  emb float32 [N, 512]",
        "opset 17",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("warning"), "{text}");
    let found = json(&place, &["tiny"]);
    assert_eq!(found["kind"], "model");
    let generator = &found["networks"][1];
    assert_eq!(generator["inputs"][0]["shape"], json!([-1, 6, 320, 320]));
    assert_eq!(generator["precision"], "float32");
    assert!(generator["run_ms"].as_f64().unwrap() > 0.0);
    drawn(&place, &["tiny"], 400..900);

    let alone = told(&place, &["tiny/audio_encoder.onnx"]);
    assert!(
        alone.contains("fits synctalk-328 as audio encoder"),
        "{alone}"
    );
}

#[test]
fn a_model_with_faults() {
    let place = Place::new();
    fs::copy(
        place.join("tiny/generator.onnx"),
        place.join("tiny/audio_encoder.onnx"),
    )
    .unwrap();
    fs::write(
        place.join("tiny/model.yaml"),
        "model_id: t\nfamily: wav2lip-96\n",
    )
    .unwrap();
    fs::write(place.join("tiny/old.onnx"), "not a network").unwrap();
    let found = json(&place, &["tiny"]);
    assert_eq!(found["contract"], "does not fit synctalk-328");
    assert_eq!(found["model_id"], "t");
    snapshot("inspect_model", &warnings(&found));
}

/// A clip of 8 s with a patch that darkens with the loudness of its audio; the audio is delayed by `late` seconds.
fn clip(place: &Place, name: &str, late: f64) {
    // Syllables of uneven length and loudness.
    let loudness = |t: f64| {
        let wave = (t * 9.1).sin() + (t * 14.3 + 1.0).sin() + (t * 5.7 + 2.0).sin();
        (wave / 3.0).max(0.0)
    };
    place.wav("voice.wav", 16_000, 1, 8.0, |_, t| {
        // A voice has harmonics at all frequencies.
        let tone = |k: f64| (t * std::f64::consts::TAU * 150.0 * k + k * k).sin();
        let voice: f64 = (1..26).map(|k| tone(f64::from(k))).sum();
        0.7 * loudness(t) * voice / 12.0
    });
    let (width, height) = (192, 108);
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray"])
        .args([
            "-s",
            "192x108",
            "-r",
            "25",
            "-i",
            "-",
            "-itsoffset",
            &late.to_string(),
        ])
        .args([
            "-i",
            "voice.wav",
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c:v",
            "libx264",
        ])
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac", name])
        .current_dir(&place.path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = ffmpeg.stdin.take().unwrap();
    for frame in 0..200_u32 {
        // What a camera sees during the frame.
        let dark = loudness((f64::from(frame) + 0.5) / 25.0) * 90.0;
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let in_patch = (84..108).contains(&x) && (60..78).contains(&y);
                // Something else moves too, independently of the audio.
                let other = (x + frame) % 40 < 3 && y < 20;
                let ground = 120 + (x % 7) * 5;
                pixels.push(match (in_patch, other) {
                    (true, _) => 150 - dark as u8,
                    (_, true) => 230,
                    _ => ground as u8,
                });
            }
        }
        pipe.write_all(&pixels).unwrap();
    }
    drop(pipe);
    assert!(ffmpeg.wait().unwrap().success());
}

#[test]
fn a_video_and_its_lag() {
    let place = Place::new();
    clip(&place, "clip.mp4", 0.0);
    let found = json(&place, &["clip.mp4"]);
    assert_eq!(found["kind"], "video");
    assert_eq!(found["frames"], 200);
    assert_eq!(found["mark"], Value::Null);
    for (stream, key, value) in [
        ("video", "codec", json!("h264")),
        ("video", "width", json!(192)),
        ("video", "rate", json!("25/1")),
        ("audio", "codec", json!("aac")),
        ("audio", "rate", json!(16_000)),
    ] {
        assert_eq!(found[stream][key], value, "{stream} {key}");
    }
    assert_eq!(found["sync"]["is_sure"], true, "{}", found["sync"]);
    near(&found["sync"]["lag_ms"], 0.0, 25.0);
    let region = found["sync"]["region"].as_array().unwrap();
    let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|i| region[i].as_u64().unwrap());
    assert!(x0 < 96 && 96 < x1 && y0 < 69 && 69 < y1, "{region:?}");
    drawn(&place, &["clip.mp4"], 900..1900);

    for late in [0.2, -0.2] {
        clip(&place, "moved.mp4", late);
        let found = json(&place, &["moved.mp4"]);
        assert_eq!(found["sync"]["is_sure"], true, "{}", found["sync"]);
        near(&found["sync"]["lag_ms"], late * 1000.0, 25.0);
        assert!(
            warnings(&found).contains("the mouth"),
            "{}",
            warnings(&found)
        );
    }
    clip(&place, "moved.mp4", 0.2);
    write_rects(&place.path, &[[60, 40, 132, 100]]);
    let found = json(&place, &["moved.mp4", "--crop-rects", "crop_rects.json"]);
    near(&found["sync"]["lag_ms"], 200.0, 25.0);
    assert_eq!(found["sync"]["region"], Value::Null);
}

/// The bundled presenter saying the sample, with the audio shifted by -160 to 160 ms. The offset is found within 20 ms: with the
/// background given, with rectangles next to the clip, and with neither.
#[test]
fn a_moved_sound_is_found() {
    let place = Place::new();
    let sample = project().join("samples/hello.wav");
    let sample = sample.to_str().unwrap();
    place.ok(&["render", sample, "--limit", "6", "-o", "clip.mp4"]);
    let background = project().join("backgrounds/ada");
    let background = background.to_str().unwrap();
    for late in [-160, -80, 0, 80, 160] {
        let seconds = format!("{}", f64::from(late) / 1000.0);
        let status = Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-y",
                "-i",
                "clip.mp4",
                "-itsoffset",
                &seconds,
            ])
            .args([
                "-i",
                "clip.mp4",
                "-map",
                "0:v",
                "-map",
                "1:a",
                "-c",
                "copy",
                "moved.mp4",
            ])
            .current_dir(&place.path)
            .status()
            .unwrap();
        assert!(status.success());
        for known in [&["--background", background][..], &[]] {
            let found = json(&place, &[&["moved.mp4"], known].concat());
            let sync = &found["sync"];
            assert_eq!(sync["is_sure"], true, "{late} {known:?}: {sync}");
            assert_eq!(sync["with_background"], !known.is_empty());
            near(&sync["lag_ms"], f64::from(late), 20.0);
        }
    }
    // Rectangles in a file named after the clip.
    let rects = fs::read_to_string(project().join("backgrounds/ada/crop_rects.json")).unwrap();
    let mut there: Vec<[u32; 4]> = serde_json::from_str(&rects).unwrap();
    let back: Vec<[u32; 4]> = there.iter().rev().skip(1).copied().collect();
    there.extend(back);
    fs::write(
        place.join("moved.crop_rects.json"),
        json!(there).to_string(),
    )
    .unwrap();
    let found = json(&place, &["moved.mp4"]);
    assert_eq!(found["sync"]["region"], Value::Null);
    near(&found["sync"]["lag_ms"], 160.0, 20.0);
}

#[test]
fn a_background_of_another_clip() {
    let place = Place::new();
    place.render(&["-o", "clip.mp4", "--limit", "2.5"]);
    let found = json(&place, &["clip.mp4", "-b", "bg"]);
    assert_eq!(warnings(&found), "");
    fs::create_dir(place.join("other")).unwrap();
    for i in 0..3 {
        texture(360, 320, i)
            .save(place.join(&format!("other/{i}.png")))
            .unwrap();
    }
    write_rects(&place.join("other"), &[[100, 80, 260, 240]; 3]);
    let found = json(&place, &["clip.mp4", "-b", "other"]);
    let said = warnings(&found);
    assert!(
        said.contains("the clip does not show this background: "),
        "{said}"
    );
    let mut said = String::new();
    for (args, code) in [
        (["speech.wav", "bg"], 2),
        (["clip.mp4", "small"], 1),
        (["clip.mp4", "nowhere"], 1),
    ] {
        if args[1] == "small" {
            place.backgrounds("small", 2, 64, 48);
        }
        let output = place.run(&["inspect", args[0], "-b", args[1]]);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        said += &String::from_utf8_lossy(&output.stderr);
        said += "\n";
    }
    snapshot("inspect_backgrounds_refused", &said);
}

#[test]
fn a_video_whose_sound_belongs_to_another() {
    let place = Place::new();
    clip(&place, "clip.mp4", 0.0);
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-i",
            "clip.mp4",
            "-i",
            "speech.wav",
            "-map",
            "0:v",
            "-map",
            "1:a",
        ])
        .args([
            "-c:v",
            "copy",
            "-metadata",
            "comment=AI-generated by somebody",
            "other.mp4",
        ])
        .current_dir(&place.path)
        .status()
        .unwrap();
    assert!(status.success());
    let found = json(&place, &["other.mp4"]);
    assert_eq!(found["sync"]["is_sure"], false, "{}", found["sync"]);
    assert_eq!(found["mark"], "AI-generated by somebody");
    let said = told(&place, &["other.mp4"]);
    assert!(said.contains("not sure: "), "{said}");
    assert!(said.contains("warning: the video ends 3."), "{said}");
}

#[test]
fn a_video_that_stands_still_and_is_silent() {
    let place = Place::new();
    let status = Command::new("ffmpeg")
        .args([
            "-v", "error", "-loop", "1", "-i", "bg/0.png", "-t", "3", "-r", "25",
        ])
        .args(["-pix_fmt", "yuv420p", "still.mkv"])
        .current_dir(&place.path)
        .status()
        .unwrap();
    assert!(status.success());
    let found = json(&place, &["still.mkv"]);
    let said = warnings(&found);
    assert!(said.contains("there is no audio track"), "{said}");
    assert!(
        said.contains("the picture is frozen, in seconds: 0.00-2.96"),
        "{said}"
    );
    assert_eq!(found["sync"], Value::Null);
    drawn(&place, &["still.mkv"], 400..1600);
}

#[test]
fn pictures_replace_nothing_unasked() {
    let place = Place::new();
    fs::write(place.join("taken.png"), "somebody's work").unwrap();
    let output = place.run(&["inspect", "speech.wav", "--png", "taken.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        fs::read(place.join("taken.png")).unwrap(),
        b"somebody's work"
    );
}

#[test]
fn what_cannot_be_inspected() {
    let place = Place::new();
    fs::write(
        place.join("notes.txt"),
        "these are only words, and not many",
    )
    .unwrap();
    fs::create_dir(place.join("empty")).unwrap();
    fs::write(place.join("broken.onnx"), "not a network").unwrap();
    let mut said = String::new();
    for path in ["nowhere", "notes.txt", "empty", "bg/0.png", "broken.onnx"] {
        let output = place.run(&["inspect", path]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(output.stdout.is_empty());
        said += &String::from_utf8_lossy(&output.stderr);
        said += "\n";
    }
    snapshot("inspect_unreadable", &said);
    let help = place.run(&["inspect", "--help"]);
    snapshot("help_inspect", &String::from_utf8_lossy(&help.stdout));
}
