//! `lipsync compare`: the figures match FFmpeg's, every kind of difference is reported, and golden clips work in CI.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use image::Rgb;
use serde_json::{Value, json};

use crate::support::{Place, assert_fits, picture, project};

fn snapshot(name: &str, value: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, value);
    });
}

/// Runs the ffmpeg program in the folder; returns its stderr.
fn ffmpeg(place: &Place, args: &[&str]) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(args)
        .current_dir(&place.path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// One second of a moving test picture, in the given codec and pixel format.
fn test_clip(place: &Place, name: &str, size: &str, args: &[&str]) {
    let source = format!("testsrc2=size={size}:rate=25:duration=1");
    ffmpeg(
        place,
        &[&["-f", "lavfi", "-i", &source], args, &[name]].concat(),
    );
}

fn run(place: &Place, args: &[&str]) -> Output {
    place.run(&[&["compare", "-q"], args].concat())
}

/// Exit code and JSON, which must match its schema.
fn compared(place: &Place, args: &[&str]) -> (i32, Value) {
    let output = run(place, &[args, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_fits("compare.schema.json", &found);
    (output.status.code().unwrap(), found)
}

fn differences(found: &Value) -> Vec<String> {
    let list = found["differences"].as_array().unwrap().iter();
    list.map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::INFINITY)
}

/// The figure of each frame in a log of FFmpeg's filters, such as `psnr_avg:41.52` or `All:0.98`.
fn logged(path: &Path, key: &str) -> Vec<f64> {
    let text = fs::read_to_string(path).unwrap();
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        let found = words.find_map(|word| word.strip_prefix(key));
        found.unwrap().parse().unwrap()
    };
    text.lines().map(value).collect()
}

#[test]
fn the_figures_are_those_of_ffmpeg() {
    let place = Place::new();
    let x264 = ["-c:v", "libx264", "-crf"];
    let ffv1 = ["-c:v", "ffv1", "-pix_fmt"];
    for (kind, size, expected, actual) in [
        // The size is not a multiple of the block size.
        (
            "420",
            "318x182",
            vec!["18", "-pix_fmt", "yuv420p"],
            vec!["34", "-pix_fmt", "yuv420p"],
        ),
        (
            "422p10",
            "160x96",
            vec!["16", "-pix_fmt", "yuv422p10le"],
            vec!["38", "-pix_fmt", "yuv422p10le"],
        ),
    ] {
        let (first, second) = (format!("{kind}-a.mp4"), format!("{kind}-b.mp4"));
        test_clip(&place, &first, size, &[&x264[..], &expected].concat());
        test_clip(&place, &second, size, &[&x264[..], &actual].concat());
        agrees_with_ffmpeg(&place, &first, &second, "Y U V");
    }
    // Planes in another order, and no chroma.
    for (format, letters) in [("gbrp", "R G B"), ("gray", "Y")] {
        let (first, second) = (format!("{format}-a.mkv"), format!("{format}-b.mkv"));
        test_clip(&place, &first, "160x96", &[&ffv1[..], &[format]].concat());
        let blur = ["-vf", "boxblur=2:1"];
        test_clip(
            &place,
            &second,
            "160x96",
            &[&blur[..], &ffv1, &[format]].concat(),
        );
        agrees_with_ffmpeg(&place, &first, &second, letters);
    }
}

fn agrees_with_ffmpeg(place: &Place, expected: &str, actual: &str, letters: &str) {
    let (code, found) = compared(place, &[expected, actual]);
    assert_eq!(code, 3);
    assert_eq!(found["compared_in"], letters);
    for filter in ["psnr", "ssim"] {
        let graph = format!("[0:v][1:v]{filter}=stats_file={filter}.log");
        ffmpeg(
            place,
            &[
                "-i", actual, "-i", expected, "-lavfi", &graph, "-f", "null", "-",
            ],
        );
    }
    let psnr = logged(&place.join("psnr.log"), "psnr_avg:");
    let ssim = logged(&place.join("ssim.log"), "All:");
    let frames = found["frames"].as_array().unwrap();
    assert_eq!((frames.len(), psnr.len(), ssim.len()), (25, 25, 25));
    for ((frame, psnr), ssim) in frames.iter().zip(psnr).zip(ssim) {
        let (ours, similar) = (number(&frame["psnr_db"]), number(&frame["ssim"]));
        assert!(
            (ours - psnr).abs() <= 0.05,
            "{actual}: {ours} dB for {psnr}"
        );
        assert!(
            (similar - ssim).abs() <= 0.001,
            "{actual}: SSIM {similar} for {ssim}"
        );
    }
}

#[test]
fn what_is_equal_is_equal() {
    let place = Place::new();
    place.render(&["-o", "a.mp4", "--deterministic"]);
    place.render(&["-o", "b.mp4", "--deterministic", "--threads", "1"]);
    place.render(&["--frames", "a"]);
    place.render(&["--frames", "b"]);
    let (code, found) = compared(&place, &["a.mp4", "b.mp4"]);
    assert_eq!((code, &found["same"]), (0, &json!(true)));
    assert_eq!(found["compared_in"], "Y U V");
    assert_eq!(found["overall"]["psnr_db"], Value::Null);
    assert_eq!(found["overall"]["equal"], found["expected"]["frames"]);
    assert_eq!(found["worst"], json!([]));
    assert_eq!(found["sound"]["offset_ms"], 0.0);
    let output = run(&place, &["a", "b"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    snapshot("compare_equal", &String::from_utf8_lossy(&output.stdout));
    // A clip and its frames: they differ by what the codec and 4:2:0 lose.
    for sides in [["a", "b.mp4"], ["b.mp4", "a"]] {
        let (code, found) = compared(&place, &[&sides[..], &["--min-psnr", "20"]].concat());
        assert_eq!(code, 0, "{:?}", differences(&found));
        assert_eq!(found["compared_in"], "R G B");
        assert!(number(&found["overall"]["psnr_db"]) < 60.0);
        assert_eq!(found["sound"], Value::Null);
    }
}

#[test]
fn one_pixel_is_found() {
    let place = Place::new();
    place.render(&["--limit", "0.4", "--frames", "a"]);
    place.render(&["--limit", "0.4", "--frames", "b"]);
    let path = place.join("b/000003.png");
    let mut spoilt = picture(&path);
    let Rgb([red, green, blue]) = *spoilt.get_pixel(40, 30);
    spoilt.put_pixel(40, 30, Rgb([red, green ^ 4, blue]));
    spoilt.save(&path).unwrap();
    let (code, found) = compared(&place, &["a", "b"]);
    assert_eq!(code, 3);
    assert_eq!(differences(&found), ["1 of 10 frames is not identical"]);
    let frame = &found["frames"][3];
    assert_eq!(
        (&frame["max_abs"], &frame["at"]),
        (&json!(4), &json!([40, 30]))
    );
    assert_eq!(
        (&frame["passes"], &found["worst"]),
        (&json!(false), &json!([3]))
    );
    // Each limit on its own.
    for (limit, value, code) in [
        ("--max-abs", "4", 0),
        ("--max-abs", "3", 3),
        ("--min-psnr", "60", 0),
        ("--min-psnr", "99", 3),
        ("--min-ssim", "0.99", 0),
        ("--min-ssim", "1", 3),
    ] {
        let output = run(&place, &["a", "b", limit, value]);
        assert_eq!(output.status.code(), Some(code), "{limit} {value}");
    }
}

#[test]
fn everything_else_that_differs_is_told() {
    let place = Place::new();
    let sound = ["-i", "speech.wav", "-t", "2", "-c:a", "aac"];
    let video = |name: &str, size: &str, rate: &str, sound: &[&str]| {
        let source = format!("testsrc2=size={size}:rate={rate}:duration=2");
        let input = ["-f", "lavfi", "-i", source.as_str()];
        ffmpeg(
            &place,
            &[&input[..], sound, &["-pix_fmt", "yuv420p", name]].concat(),
        );
    };
    video("a.mp4", "160x96", "25", &sound);
    video("small.mp4", "128x96", "25", &sound);
    video("fast.mp4", "160x96", "50", &sound);
    video("mute.mp4", "160x96", "25", &[]);
    let audio = |name: &str, args: &[&str]| {
        ffmpeg(
            &place,
            &[&["-i", "a.mp4"], args, &["-c:v", "copy", name]].concat(),
        );
    };
    audio("late.mp4", &["-af", "adelay=90:all=1"]);
    audio("faint.mp4", &["-af", "volume=-4dB"]);
    audio("short.mp4", &["-af", "atrim=end=1.5"]);
    audio("other.mp4", &["-af", "areverse"]);
    let mut said = String::new();
    for other in [
        "small.mp4",
        "fast.mp4",
        "mute.mp4",
        "late.mp4",
        "faint.mp4",
        "short.mp4",
        "other.mp4",
    ] {
        let output = run(&place, &["a.mp4", other, "--min-psnr", "5"]);
        assert_eq!(output.status.code(), Some(3), "{other}");
        said += &without_decimals(&String::from_utf8_lossy(&output.stderr));
        said += "\n";
    }
    snapshot("compare_differences", &said);
    let (_, found) = compared(&place, &["a.mp4", "late.mp4", "--min-psnr", "5"]);
    let offset = number(&found["sound"]["offset_ms"]);
    assert!((offset - 90.0).abs() < 1.0, "{offset} ms");
    let (_, found) = compared(&place, &["a.mp4", "faint.mp4", "--min-psnr", "5"]);
    let level = number(&found["sound"]["level_db"]);
    assert!((level + 4.0).abs() < 0.2, "{level} dB");
}

/// Without the digits after the decimal point, which depend on the encoder.
fn without_decimals(text: &str) -> String {
    let mut after_point = false;
    let keep = |c: &char| {
        after_point = *c == '.' || after_point && c.is_ascii_digit();
        !(after_point && c.is_ascii_digit())
    };
    text.chars().filter(keep).collect()
}

#[test]
fn what_cannot_be_compared() {
    let place = Place::new();
    fs::create_dir(place.join("empty")).unwrap();
    fs::write(place.join("notes.mp4"), "these are only words").unwrap();
    fs::create_dir(place.join("damaged")).unwrap();
    fs::copy(place.join("bg/0.png"), place.join("damaged/0.png")).unwrap();
    fs::write(place.join("damaged/1.png"), "no picture").unwrap();
    fs::create_dir(place.join("taken")).unwrap();
    fs::write(place.join("taken/notes.txt"), "somebody's work").unwrap();
    let mut said = String::new();
    for (args, code) in [
        (&["bg", "nowhere.mp4"][..], 1),
        (&["bg", "empty"], 1),
        (&["bg", "notes.mp4"], 1),
        (&["bg", "damaged"], 1),
        (&["bg", "bg", "--diff", "taken"], 1),
        (&["bg", "bg", "--diff", "taken", "--force"], 1),
        (&["bg", "bg", "--min-ssim", "98"], 2),
    ] {
        let output = run(&place, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        said += &String::from_utf8_lossy(&output.stderr);
        said += "\n";
    }
    snapshot("compare_unreadable", &said);
    assert_eq!(
        fs::read(place.join("taken/notes.txt")).unwrap(),
        b"somebody's work"
    );
    let help = place.run(&["compare", "--help"]);
    snapshot("help_compare", &String::from_utf8_lossy(&help.stdout));
}

/// Renders the audio of every golden clip again, into `now/`, as docs/ci.md does.
fn render_goldens(place: &Place) {
    place.ok(&["batch", "lines", "--limit", "2", "--crf", "26", "-o", "now"]);
}

#[test]
fn golden_clips_in_ci() {
    let place = Place::new();
    for folder in ["lines", "golden", "now"] {
        fs::create_dir(place.join(folder)).unwrap();
    }
    fs::copy(
        project().join("samples/hello.wav"),
        place.join("lines/hello.wav"),
    )
    .unwrap();
    fs::copy(
        project().join("tests/golden/ada.mp4"),
        place.join("golden/hello.mp4"),
    )
    .unwrap();
    render_goldens(&place);
    let args = [
        "golden/hello.mp4",
        "now/hello.mp4",
        "--min-psnr",
        "40",
        "--min-ssim",
        "0.98",
        "--diff",
        "diff",
    ];
    let (code, found) = compared(&place, &args);
    assert_eq!(code, 0, "{:?}", differences(&found));
    assert_eq!(
        pages(&place, "diff").keys().next_back().unwrap(),
        "plot.png"
    );
    // The same clip with a patch on the chin in five frames.
    let patch = "drawbox=x=600:y=450:w=60:h=40:color=red:t=fill:enable='between(n,20,24)'";
    ffmpeg(
        &place,
        &[
            "-i",
            "now/hello.mp4",
            "-vf",
            patch,
            "-crf",
            "26",
            "-c:a",
            "copy",
            "bad.mp4",
        ],
    );
    fs::rename(place.join("bad.mp4"), place.join("now/hello.mp4")).unwrap();
    // An existing folder is not replaced without --force.
    let output = run(&place, &args);
    assert_eq!(output.status.code(), Some(1));
    let (code, found) = compared(&place, &[&args[..], &["--force"]].concat());
    assert_eq!(code, 3);
    let worst: Vec<u64> = found["worst"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .collect();
    assert!(worst.iter().all(|n| (20..=24).contains(n)), "{worst:?}");
    let pages = pages(&place, "diff");
    assert_eq!(pages.len(), 6, "{:?}", pages.keys());
    for (name, size) in &pages {
        assert!(size.0 == 1400 && size.1 > 500, "{name}: {size:?}");
    }
    // The patch is red in the actual frame, and not in the expected one.
    let page = picture(&place.join(&format!("diff/{:06}.png", worst[0])));
    let red = |x: std::ops::Range<u32>| {
        let inside = page
            .enumerate_pixels()
            .filter(|(column, ..)| x.contains(column));
        inside
            .filter(|(_, _, p)| p.0[0] > 220 && p.0[1] < 40)
            .count()
    };
    assert!(
        red(926..1368) > 1000 && red(32..474) == 0,
        "{} {}",
        red(926..1368),
        red(32..474)
    );
    let mut hidden = place.names();
    hidden.retain(|name| name.starts_with('.'));
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// The sizes of all pictures in a folder by their names.
fn pages(place: &Place, folder: &str) -> BTreeMap<String, (u32, u32)> {
    let entries = fs::read_dir(place.join(folder)).unwrap();
    let entries = entries.map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, picture(&entry.path()).dimensions())
    };
    entries.map(size).collect()
}

#[test]
fn the_sync_of_both_is_told() {
    let place = Place::new();
    let hello = project().join("samples/hello.wav");
    let hello = hello.to_str().unwrap();
    place.ok(&["render", hello, "--limit", "6", "-o", "a.mp4"]);
    ffmpeg(
        &place,
        &[
            "-i",
            "a.mp4",
            "-itsoffset",
            "0.12",
            "-i",
            "a.mp4",
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c",
            "copy",
            "late.mp4",
        ],
    );
    let background = project().join("backgrounds/ada");
    let (code, found) = compared(
        &place,
        &["a.mp4", "late.mp4", "-b", background.to_str().unwrap()],
    );
    assert_eq!(code, 3);
    let sync = &found["sync"];
    assert_eq!(sync["expected"]["with_background"], true);
    assert!(number(&sync["expected"]["lag_ms"]).abs() <= 20.0, "{sync}");
    assert!((number(&sync["apart_ms"]) - 120.0).abs() <= 20.0, "{sync}");
    let offset = number(&found["sound"]["offset_ms"]);
    assert!((offset - 120.0).abs() <= 5.0, "{offset} ms");
    assert_eq!(found["overall"]["equal"], found["expected"]["frames"]);
}
