//! `lipsync bench` on small networks: everything is measured and adds up. Times are not checked.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Place, assert_fits, picture};

#[test]
fn every_part_is_measured_and_the_report_is_what_its_schema_says() {
    let place = Place::new();
    let output = place.run(&[
        "bench",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--limit",
        "0.5",
        "--runs",
        "2",
        "--presets",
        "ultrafast,veryfast",
        "--json",
        "bench.json",
        "--plot",
        "bench.png",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value =
        serde_json::from_slice(&fs::read(place.join("bench.json")).unwrap()).unwrap();
    assert_fits("bench.schema.json", &report);
    assert_eq!(
        (&report["frames"], &report["runs"]),
        (&13.into(), &2.into())
    );

    let parts: BTreeMap<&str, &Value> = report["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["name"].as_str().unwrap(), part))
        .collect();
    let counts = |name: &str| parts[name]["counts"].as_str().unwrap();
    for part in [
        "decode",
        "mel",
        "audio encoder",
        "generator",
        "paste",
        "encode veryfast",
    ] {
        assert_eq!(counts(part), "whole", "{part}");
        assert_eq!(parts[part]["frames"], 13, "{part}");
        assert!(parts[part]["cpu_s"].as_f64() > Some(0.0), "{part}");
    }
    // The render's own preset is measured only once, although --presets names it too.
    assert_eq!(parts.len(), 9);
    assert_eq!(counts("encode ultrafast"), "instead");
    assert_eq!(parts["plain run"]["of"], "generator");
    assert_eq!(parts["crop"]["of"], "decode");
    // The generated mouth: 320x320 B G R floats.
    assert_eq!(
        parts["generator"]["bytes_written_per_frame"],
        320 * 320 * 3 * 4
    );

    let sum: f64 = parts
        .values()
        .filter(|part| part["counts"] == "whole")
        .map(|part| part["cpu_s"].as_f64().unwrap())
        .sum();
    let ratio = sum / report["whole"]["cpu_s"].as_f64().unwrap();
    let told = report["ratios"]["parts_cpu_to_whole_cpu"].as_f64().unwrap();
    assert!((ratio - told).abs() < 0.01 + 0.01 * ratio, "{ratio} {told}");

    // The table has the same rows, and nothing is left behind.
    let table = String::from_utf8(output.stdout).unwrap();
    for name in parts.keys().chain(&["whole"]) {
        assert!(table.contains(name), "{name} is not in\n{table}");
    }
    assert_eq!(picture(&place.join("bench.png")).width(), 1400);
    assert_eq!(
        place.names(),
        ["bench.json", "bench.png", "bg", "speech.wav", "tiny"]
    );
}

#[test]
fn nothing_is_measured_if_a_result_could_not_be_written() {
    let place = Place::new();
    fs::write(place.join("notes.json"), "{}").unwrap();
    for args in [
        &["--json", "notes.json"][..],
        &["--plot", "nowhere/bench.png"],
        &["--plot", "speech.wav"],
        &["--presets", "hasty"],
        &["--runs", "0"],
    ] {
        let base = ["bench", "speech.wav", "-m", "tiny", "-b", "bg"];
        let output = place.run(&[&base, args].concat());
        assert!(!output.status.success(), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("first run"), "{args:?}: {said}");
    }
    assert_eq!(fs::read(place.join("notes.json")).unwrap(), b"{}");
}
