//! Many clips: inputs, outputs, failures, and the messages about them.

mod entries;
mod failures;
mod inputs;
mod resources;
mod resume;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::{Place, assert_fits};
use crate::watchdog::watched;

/// A place with three audio files in `talks/`, and four small frames in `small/`.
fn place() -> Place {
    let place = Place::new();
    place.backgrounds("small", 4, 64, 64);
    fs::create_dir_all(place.join("talks/day 1/deep")).unwrap();
    talk(&place, "talks/b.wav", 1.0);
    talk(&place, "talks/day 1/a.wav", 0.6);
    talk(&place, "talks/day 1/deep/c.wav", 0.3);
    place
}

fn talk(place: &Place, name: &str, seconds: f64) {
    let pitch = 500.0 + 10.0 * name.len() as f64;
    place.wav(name, 16_000, 1, seconds, |_, t| {
        (t * pitch).sin() * (t * 9.0).sin() * 0.4
    });
}

const CLIPS: [&str; 3] = ["b.mp4", "day 1/a.mp4", "day 1/deep/c.mp4"];

/// The arguments of `batch` into `out`, on the CPU with the small networks and frames, and `more`.
fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "batch",
        "-o",
        "out",
        "-m",
        "tiny",
        "-b",
        "small",
        "--device",
        "cpu",
        "--deterministic",
    ];
    [&base[..], more].concat()
}

fn run(place: &Place, more: &[&str]) -> Output {
    watched(&mut place.command(&args(more)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `batch`, which must succeed; returns its stderr.
fn ok(place: &Place, more: &[&str]) -> String {
    let output = run(place, more);
    assert!(output.status.success(), "{more:?}: {}", stderr(&output));
    stderr(&output)
}

/// Runs `batch`, which must end with this exit code; returns its stderr.
fn ends(place: &Place, code: i32, more: &[&str]) -> String {
    let output = run(place, more);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{more:?}: {}",
        stderr(&output)
    );
    stderr(&output)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn report(place: &Place, name: &str) -> Value {
    let report = serde_json::from_slice(&fs::read(place.join(name)).unwrap()).unwrap();
    assert_fits("batch-report.schema.json", &report);
    for clip in report["clips"].as_array().unwrap() {
        if let Some(render) = clip.get("render") {
            assert_fits("report.schema.json", render);
        }
    }
    report
}

/// The ids of the clips that ended in this way.
fn ids_of(report: &Value, end: &str) -> Vec<String> {
    let clips = report["clips"].as_array().unwrap().iter();
    let clips = clips.filter(|clip| clip["end"] == end);
    clips
        .map(|clip| clip["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Every visible file of a folder, with its bytes. Fails if a `.part` file is left.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!name.contains(".part"), "{}", path.display());
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with('.') {
                let inside = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(inside, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn names(content: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<&str> {
    content.keys().map(|path| path.to_str().unwrap()).collect()
}
