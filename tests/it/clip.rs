//! The written clip: streams, lengths, colours, audio; and that nothing else is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Place, decode, picture, pictures, probe};

fn stream<'a>(probed: &'a Value, kind: &str) -> &'a Value {
    let streams = probed["streams"].as_array().unwrap();
    streams.iter().find(|s| s["codec_type"] == kind).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_clip_is_what_players_expect() {
    let place = Place::new();
    let stderr = place.render(&[]);
    assert!(
        stderr.contains("wrote `speech.mp4`: 108 frames, 4.30 s"),
        "{stderr}"
    );
    assert_eq!(place.names(), ["bg", "speech.mp4", "speech.wav", "tiny"]);
    let probed = probe(&place.join("speech.mp4"));
    let video = stream(&probed, "video");
    for (key, want) in [
        ("codec_name", "h264"),
        ("pix_fmt", "yuv420p"),
        ("color_range", "tv"),
        ("color_space", "bt709"),
        ("color_transfer", "bt709"),
        ("color_primaries", "bt709"),
        ("r_frame_rate", "25/1"),
        ("avg_frame_rate", "25/1"),
        ("nb_frames", "108"),
    ] {
        assert_eq!(video[key], want, "{key}");
    }
    let audio = stream(&probed, "audio");
    assert_eq!(
        (
            &audio["codec_name"],
            &audio["sample_rate"],
            &audio["channels"]
        ),
        (&"aac".into(), &"16000".into(), &1.into())
    );
    for (stream, kind) in [(video, "video"), (audio, "audio")] {
        let duration = number(&stream["duration"]);
        assert!((duration - 4.305).abs() <= 0.04, "{kind} lasts {duration}");
    }
    let bytes = fs::read(place.join("speech.mp4")).unwrap();
    let at = |atom: &[u8]| bytes.windows(4).position(|w| w == atom).unwrap();
    assert!(
        at(b"moov") < at(b"mdat"),
        "the index comes first, so that playback starts while the clip loads"
    );
}

#[test]
fn any_wav_keeps_its_own_sound() {
    let place = Place::new();
    for (rate, channels, expected) in [
        (44_100, 2, 44_100),
        (48_000, 1, 48_000),
        (48_000, 8, 48_000),
        (8_000, 1, 8_000),
        // Not a rate of AAC: the next higher one, or its highest.
        (10_000, 1, 11_025),
        (192_000, 1, 96_000),
    ] {
        let name = format!("{rate}-{channels}.wav");
        let tone = |channel, t: f64| {
            0.4 * (t * 440.0 * f64::from(channel + 1) * std::f64::consts::TAU).sin()
        };
        place.wav(&name, rate, channels, 1.0, tone);
        place.ok(&["render", &name, "-m", "tiny", "-b", "bg"]);
        let probed = probe(&place.join(&format!("{rate}-{channels}.mp4")));
        let audio = stream(&probed, "audio");
        assert_eq!(audio["sample_rate"], expected.to_string(), "{rate} Hz");
        assert_eq!(audio["channels"], channels, "{rate} Hz");
        assert_eq!(stream(&probed, "video")["nb_frames"], "25", "{rate} Hz");
        let duration = number(&audio["duration"]);
        assert!((duration - 1.0).abs() < 0.01, "{rate} Hz lasts {duration}");
    }
}

#[test]
fn sound_stays_where_it_was() {
    let place = Place::new();
    // A click at 1.5 s.
    place.wav("click.wav", 16_000, 1, 3.0, |_, t| {
        if (1.5..1.502).contains(&t) { 0.9 } else { 0.0 }
    });
    place.ok(&["render", "click.wav", "-m", "tiny", "-b", "bg"]);
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i", "click.mp4", "-f", "s16le", "-"])
        .current_dir(&place.path)
        .output()
        .unwrap();
    let samples: Vec<i16> = decoded
        .stdout
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    let loudest = samples
        .iter()
        .enumerate()
        .max_by_key(|(_, s)| s.unsigned_abs())
        .unwrap()
        .0;
    assert!(
        loudest.abs_diff(24_000) < 80,
        "the click is at sample {loudest}"
    );
}

#[test]
fn short_sounds_and_single_pictures_render() {
    let place = Place::new();
    place.wav("short.wav", 16_000, 1, 0.1, |_, t| (t * 2000.0).sin() * 0.5);
    place.backgrounds("one", 1, 64, 48);
    place.ok(&["render", "short.wav", "-m", "tiny", "-b", "one"]);
    assert_eq!(
        stream(&probe(&place.join("short.mp4")), "video")["nb_frames"],
        "3"
    );
}

#[test]
fn odd_sizes_are_padded_by_what_is_beside() {
    let place = Place::new();
    place.backgrounds("odd", 3, 97, 81);
    place.ok(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "odd",
        "--limit",
        "0.4",
        "-o",
        "odd.mp4",
    ]);
    let probed = probe(&place.join("odd.mp4"));
    let video = stream(&probed, "video");
    assert_eq!(
        (&video["width"], &video["height"], &video["nb_frames"]),
        (&98.into(), &82.into(), &"10".into())
    );
    decode(&place.join("odd.mp4"), &place.join("decoded"));
    let frame = picture(&place.join("decoded/000000.png"));
    for y in 0..82 {
        let (last, neighbour) = (frame.get_pixel(97, y), frame.get_pixel(96, y));
        assert!(
            last.0
                .iter()
                .zip(neighbour.0)
                .all(|(a, b)| a.abs_diff(b) < 24),
            "row {y}: {last:?} next to {neighbour:?}"
        );
    }
}

#[test]
fn other_layouts_of_a_background_folder_work() {
    let place = Place::new();
    place.render(&["--frames", "plain"]);
    // The data sets' layout: frames in full_body_img from 1, landmarks in a folder next to it from 0.
    fs::create_dir_all(place.join("set/full_body_img")).unwrap();
    fs::create_dir(place.join("set/landmarks")).unwrap();
    let rects: Vec<[i64; 4]> =
        serde_json::from_str(&fs::read_to_string(place.join("bg/crop_rects.json")).unwrap())
            .unwrap();
    for (i, [x0, y0, x1, _]) in rects.iter().enumerate() {
        fs::copy(
            place.join(&format!("bg/{i}.png")),
            place.join(&format!("set/full_body_img/{}.png", i + 1)),
        )
        .unwrap();
        let mut lines = vec!["0 0".to_owned(); 110];
        lines[1] = format!("{x0}.7 3");
        lines[31] = format!("{x1}.2 3");
        lines[52] = format!("3 {y0}.9");
        fs::write(
            place.join(&format!("set/landmarks/{i}.lms")),
            lines.join("\n"),
        )
        .unwrap();
    }
    let stderr = place.ok(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "set",
        "--frames",
        "landmarks",
    ]);
    assert!(
        stderr.contains("warning: background frames are numbered from 1"),
        "{stderr}"
    );
    let keyed: serde_json::Map<String, Value> = rects
        .iter()
        .enumerate()
        .map(|(i, rect)| (i.to_string(), serde_json::json!({ "rect": rect })))
        .collect();
    fs::write(
        place.join("keyed.json"),
        serde_json::to_string(&keyed).unwrap(),
    )
    .unwrap();
    place.render(&["--crop-rects", "keyed.json", "--frames", "keyed"]);
    let plain = pictures(&place.join("plain"));
    assert!(
        plain == pictures(&place.join("landmarks")),
        "landmarks give other frames"
    );
    assert!(
        plain == pictures(&place.join("keyed")),
        "keyed rectangles give other frames"
    );
}

#[test]
fn start_frame_and_limit_cut_the_same_clip() {
    let place = Place::new();
    place.render(&[
        "--frames",
        "a",
        "--limit",
        "1",
        "--order",
        "loop",
        "--start-frame",
        "3",
    ]);
    assert_eq!(pictures(&place.join("a")).len(), 25);
    place.render(&[
        "--frames",
        "b",
        "--limit",
        "0.04",
        "--order",
        "hold",
        "--start-frame",
        "3",
    ]);
    // The sky above the crop identifies the background.
    let background = picture(&place.join("bg/3.png"));
    for folder in ["a", "b"] {
        let first = picture(&place.join(&format!("{folder}/000000.png")));
        assert_eq!(
            first.get_pixel(5, 5),
            background.get_pixel(5, 5),
            "{folder}"
        );
    }
}

#[test]
fn networks_with_other_names_are_bound_by_shape() {
    let place = Place::new();
    place.render(&["--frames", "usual"]);
    let generator = place.join("tiny/generator.onnx");
    let mut bytes = fs::read(&generator).unwrap();
    // Names of the same length, so that the lengths in the file remain valid.
    for (original, other) in [
        (&b"input"[..], &b"image"[..]),
        (b"audio", b"sound"),
        (b"output", b"pixels"),
    ] {
        while let Some(at) = bytes.windows(original.len()).position(|w| w == original) {
            bytes[at..at + original.len()].copy_from_slice(other);
        }
    }
    fs::write(&generator, bytes).unwrap();
    place.render(&["--frames", "renamed"]);
    assert!(pictures(&place.join("usual")) == pictures(&place.join("renamed")));
}

#[test]
fn a_fixed_batch_of_the_file_is_respected() {
    let place = Place::new();
    place.render(&["--frames", "free", "--limit", "0.4"]);
    let generator = place.join("tiny/generator.onnx");
    let mut bytes = fs::read(&generator).unwrap();
    // The dimension named "N" becomes the number 4, encoded in as many bytes.
    let (symbolic, fixed) = (b"\x0a\x03\x12\x01N", b"\x0a\x03\x08\x84\x00");
    let mut changed = 0;
    while let Some(at) = bytes.windows(symbolic.len()).position(|w| w == symbolic) {
        bytes[at..at + symbolic.len()].copy_from_slice(fixed);
        changed += 1;
    }
    assert_eq!(changed, 3, "input, audio, output");
    fs::write(&generator, bytes).unwrap();
    for batch in ["1", "3", "8"] {
        place.render(&[
            "--frames", "fixed", "--force", "--limit", "0.4", "--batch", batch,
        ]);
        assert!(
            pictures(&place.join("free")) == pictures(&place.join("fixed")),
            "batch {batch}"
        );
    }
}

#[test]
fn force_replaces_and_a_killed_runs_part_is_removed() {
    let place = Place::new();
    fs::write(place.join("speech.mp4"), b"old").unwrap();
    fs::write(
        place.join(".speech.mp4.4194305.part"),
        b"left by a killed run",
    )
    .unwrap();
    place.render(&["--force", "--limit", "0.2"]);
    assert_eq!(place.names(), ["bg", "speech.mp4", "speech.wav", "tiny"]);
    assert_eq!(
        stream(&probe(&place.join("speech.mp4")), "video")["nb_frames"],
        "5"
    );
}

#[test]
fn ctrl_c_leaves_nothing() {
    let place = Place::new();
    place.wav("long.wav", 16_000, 1, 120.0, |_, t| (t * 900.0).sin() * 0.3);
    for (signal, output) in [
        (Signal::INT, &["-o", "long.mp4"][..]),
        (Signal::TERM, &["--frames", "long"]),
    ] {
        let args = [
            &["render", "long.wav", "-m", "tiny", "-b", "bg"][..],
            output,
        ]
        .concat();
        let mut child = place.command(&args).stderr(Stdio::piped()).spawn().unwrap();
        while !place
            .names()
            .iter()
            .any(|name| Path::new(name).extension().is_some_and(|e| e == "part"))
        {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended before it was stopped"
            );
            thread::sleep(Duration::from_millis(5));
        }
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.ends_with("error: interrupted\n"), "{stderr}");
        assert_eq!(
            place.names(),
            ["bg", "long.wav", "speech.wav", "tiny"],
            "{signal:?}"
        );
    }
}

/// ONNX Runtime's telemetry would write an identifier of the user, and what it ran, to the user's cache.
#[test]
fn nothing_is_collected_about_the_user() {
    let place = Place::new();
    let args = ["render", "speech.wav", "-m", "tiny", "-b", "bg"];
    let mut command = place.command(&args);
    command.args(["--limit", "0.2", "-o", "a.mp4"]);
    command.env("HOME", place.join("home"));
    command.env_remove("XDG_CACHE_HOME");
    assert!(command.status().unwrap().success());
    let cache = fs::read_dir(place.join("home/.cache")).unwrap();
    let names: Vec<_> = cache.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["lipsync"]);
}

#[test]
fn memory_does_not_grow_with_the_clip() {
    let place = Place::new();
    place.backgrounds("small", 4, 64, 64);
    let peak_of = |seconds: f64| {
        place.wav("talk.wav", 16_000, 1, seconds, |_, t| {
            (t * 700.0).sin() * (t * 9.0).sin() * 0.4
        });
        let args = [
            "render", "talk.wav", "-m", "tiny", "-b", "small", "--force", "-q", "--batch", "8",
        ];
        let mut child = place.command(&args).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            // The peak resident size so far, as the kernel reports it.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes =
                line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kilobytes.unwrap_or(0));
            thread::sleep(Duration::from_millis(20));
        }
        assert!(child.wait().unwrap().success());
        peak as f64
    };
    let (minute, ten) = (peak_of(60.0), peak_of(600.0));
    assert!(
        ten <= 1.10 * minute,
        "one minute takes {minute} kB, ten minutes {ten} kB"
    );
}
