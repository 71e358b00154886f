//! Files with several audio tracks: the one that holds speech is taken, and it is said which.

use std::fs;
use std::path::Path;

use lipsync::audio::AudioFile;
use serde_json::Value;

use crate::sounds::ffmpeg;
use crate::support::{Place, assert_fits};

/// Writes `name`, with a silent track, the speech, and a track of another language.
fn recording(place: &Place, name: &str) {
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "anullsrc=r=16000:cl=mono",
        "-i",
        "speech.wav",
        "-i",
        "speech.wav",
    ];
    let maps = [
        "-map", "0", "-map", "1", "-map", "2", "-t", "1", "-c:a", "aac",
    ];
    let tags = [
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:0",
        "title=Desktop",
        "-metadata:s:a:0",
        "handler_name=Desktop",
        "-metadata:s:a:1",
        "language=eng",
        "-metadata:s:a:1",
        "title=Microphone",
        "-metadata:s:a:1",
        "handler_name=Microphone",
        "-metadata:s:a:2",
        "language=ger",
    ];
    ffmpeg(place, &[&inputs[..], &maps, &tags, &[name]].concat());
}

/// Renders, and returns the report and what was said.
fn render(place: &Place, file: &str, args: &[&str]) -> (Value, String) {
    let base = [
        "render", file, "-m", "tiny", "-b", "bg", "-o", "clip.mp4", "-f", "--report", "r.json",
    ];
    let said = place.ok(&[&base[..], args].concat());
    let report: Value = serde_json::from_slice(&fs::read(place.join("r.json")).unwrap()).unwrap();
    assert_fits("report.schema.json", &report);
    (report, said)
}

#[test]
fn the_track_that_holds_speech_is_taken_and_named() {
    let place = Place::new();
    for (file, title) in [("a.mkv", "title"), ("a.mp4", "handler name")] {
        recording(&place, file);
        let (report, said) = render(&place, file, &[]);
        let choice = format!(
            "`{file}` has 3 audio tracks: 0 (eng, `Desktop`), 1 (eng, `Microphone`), 2 (ger); track 1 is used, the one with the most speech (--audio-track chooses another)"
        );
        assert_eq!(said.matches("audio tracks").count(), 1, "{title}: {said}");
        assert!(said.contains(&choice), "{title}: {said}");
        assert_eq!(report["warnings"], serde_json::json!([choice]));
        let track = &report["input"]["track"];
        assert_eq!((&track["index"], &track["of"]), (&1.into(), &3.into()));
        assert_eq!(
            (&track["language"], &track["title"]),
            (&"eng".into(), &"Microphone".into())
        );
    }
    let base = ["render", "a.mkv", "-m", "tiny", "-b", "bg", "-o", "new.mp4"];
    let output = place.run(&[&base[..], &["--dry-run"]].concat());
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(
        plan.contains("mono, track 1 (eng, `Microphone`) of 3"),
        "{plan}"
    );
    let output = place.run(&["inspect", "a.mkv", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["track"], found["tracks"].as_array().unwrap().len()),
        (&1.into(), 3)
    );
}

#[test]
fn a_track_is_named_by_its_number_or_its_language() {
    let place = Place::new();
    recording(&place, "a.mkv");
    for (name, index, is_silent) in [
        ("0", 0, true),
        ("2", 2, false),
        ("de", 2, false),
        ("deu", 2, false),
        ("en", 1, false),
    ] {
        let (report, said) = render(&place, "a.mkv", &["--audio-track", name]);
        assert_eq!(report["input"]["track"]["index"], index, "{name}");
        assert_eq!(
            said.contains("`a.mkv` is silent"),
            is_silent,
            "{name}: {said}"
        );
        // Two tracks are English.
        assert_eq!(
            said.contains("audio tracks"),
            name == "en",
            "{name}: {said}"
        );
    }
    for name in ["3", "fr"] {
        let refused = place.run(&[
            "render",
            "a.mkv",
            "-m",
            "tiny",
            "-b",
            "bg",
            "--audio-track",
            name,
        ]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stderr).unwrap();
        let why = format!(
            "it has 3 audio tracks: 0 (eng, `Desktop`), 1 (eng, `Microphone`), 2 (ger); none is {name}"
        );
        assert!(said.contains(&why), "{said}");
    }
    let refused = place.run(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--audio-track",
        "1",
    ]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_batch_takes_the_named_track() {
    let place = Place::new();
    recording(&place, "a.mkv");
    fs::write(
        place.join("jobs.yaml"),
        "- {audio: a.mkv, output: two.mp4, audio_track: ger}\n- {audio: a.mkv, output: silent.mp4, audio_track: 0}\n- {audio: a.mkv, output: one.mp4}\n",
    )
    .unwrap();
    let base = [
        "batch",
        "jobs.yaml",
        "-m",
        "tiny",
        "-b",
        "bg",
        "-o",
        "clips",
    ];
    let output = place.run(&[&base[..], &["--dry-run"]].concat());
    let jobs = String::from_utf8(output.stdout).unwrap();
    let tracks: Vec<Value> = jobs
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["audio_track"].clone())
        .collect();
    assert_eq!(tracks, [2, 0, 1]);
    let said = place.ok(&base);
    assert!(
        said.contains("silent: `a.mkv` is silent") || said.contains("`a.mkv` is silent"),
        "{said}"
    );
    assert!(said.contains("track 1 is used"), "{said}");
}

#[test]
fn parts_keep_their_track() {
    let place = Place::new();
    recording(&place, "a.mkv");
    let base = [
        "render",
        "a.mkv",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--deterministic",
        "--audio-track",
        "2",
    ];
    place.ok(&[&base[..], &["-o", "whole.mp4"]].concat());
    place.ok(&[&base[..], &["--part", "0/1"]].concat());
    place.ok(&["join", "a.part0-of-1.mp4", "-o", "joined.mp4"]);
    let [whole, joined] =
        ["whole.mp4", "joined.mp4"].map(|name| fs::read(place.join(name)).unwrap());
    assert!(whole == joined);
}

/// Turns the first `count` tracks of an MP4 into a codec that FFmpeg does not know, as phones record spatial audio.
fn make_spatial(from: &Path, to: &Path, count: usize) {
    let mut bytes = fs::read(from).unwrap();
    let at = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|window| window == name);
    for _ in 0..count {
        let entry = at(&bytes, b"mp4a").unwrap();
        bytes[entry..entry + 4].copy_from_slice(b"apac");
        // FFmpeg would find the codec in there.
        let description = entry + at(&bytes[entry..], b"esds").unwrap();
        bytes[description..description + 4].copy_from_slice(b"free");
    }
    fs::write(to, bytes).unwrap();
}

#[test]
fn a_track_that_cannot_be_decoded_is_replaced_by_one_that_can() {
    let place = Place::new();
    let maps = [
        "-i",
        "speech.wav",
        "-map",
        "0",
        "-map",
        "0",
        "-t",
        "1",
        "-c:a",
        "aac",
        "two.mp4",
    ];
    ffmpeg(&place, &maps);
    make_spatial(&place.join("two.mp4"), &place.join("phone.mp4"), 1);
    let (report, said) = render(&place, "phone.mp4", &[]);
    let choice = "`phone.mp4` has 2 audio tracks: 0, which FFmpeg cannot decode: apac, 1; track 1 is used, the only one that can be decoded";
    assert!(said.contains(choice), "{said}");
    assert_eq!(report["input"]["track"]["codec"], "aac");
    assert!(AudioFile::open(&place.join("phone.mp4"), None).is_ok());
    let output = place.run(&["inspect", "phone.mp4"]);
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(found.contains(choice), "{found}");
    // Asked for by name, or without another one, it is an error that names the codec.
    make_spatial(&place.join("two.mp4"), &place.join("only.mp4"), 2);
    for args in [&["phone.mp4", "--audio-track", "0"][..], &["only.mp4"]] {
        let refused = place.run(&[&["render", "-m", "tiny", "-b", "bg"], args].concat());
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains("this FFmpeg has no decoder for apac"),
            "{said}"
        );
    }
}
