//! Machines on which FFmpeg's libraries cannot be loaded.

use std::fs;
use std::process::Output;

use crate::errors::snapshot;
use crate::support::Place;

/// Runs the program with a damaged file in place of FFmpeg's first library.
fn run(place: &Place, args: &[&str]) -> Output {
    let library = format!("libavutil.so.{}", ffmpeg_next::util::version() >> 16);
    fs::create_dir_all(place.join("damaged")).unwrap();
    fs::write(place.join("damaged").join(library), "no library").unwrap();
    let mut command = place.command(args);
    command.env("LD_LIBRARY_PATH", place.join("damaged"));
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_needs_them_says_so() {
    let place = Place::new();
    let render = ["render", "speech.wav", "-m", "tiny", "-b", "bg", "-q"];
    let output = run(&place, &render);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    // The package names contain the version that the program is built with.
    let error = stderr(&output).replace(place.path.to_str().unwrap(), "[here]");
    let error: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
    snapshot!("ffmpeg_missing", error);
    for args in [&["bench"][..], &["inspect", "clip.mp4"]] {
        fs::write(place.join("clip.mp4"), "a clip").unwrap();
        let output = run(&place, args);
        assert_eq!(
            output.status.code(),
            Some(4),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let output = run(&place, &["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("missing  FFmpeg "), "{lines}");
    assert!(lines.contains("-> apt-get install libavutil"), "{lines}");
    assert!(lines.contains("ok       bundled model ada "), "{lines}");
}

#[test]
fn what_does_not_need_them_works() {
    let place = Place::new();
    let output = run(&place, &["--help"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let frames = [
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--frames",
        "out",
    ];
    let args = [&frames[..], &["--limit", "0.2", "--report", "r.json"]].concat();
    let output = run(&place, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_dir(place.join("out")).unwrap().count(), 5);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(place.join("r.json")).unwrap()).unwrap();
    assert_eq!(report["versions"].get("ffmpeg"), None);
}
