//! Clips that fail, and the events of each clip.

use std::fs;

use serde_json::Value;

use super::{content, ends, ids_of, names, place, report, run, stderr};
use crate::support::assert_fits;

#[test]
fn a_clip_that_fails_stops_no_other() {
    let place = place();
    fs::write(place.join("talks/a broken one.wav"), "").unwrap();
    fs::create_dir(place.join("no model")).unwrap();
    for network in ["generator", "audio_encoder"] {
        fs::write(place.join(&format!("no model/{network}.onnx")), "text").unwrap();
    }
    fs::write(
        place.join("jobs.yaml"),
        "- {audio: talks/day 1/a.wav, model: no model, output: bad.mp4}\n- {audio: talks/b.wav}\n- {audio: gone.wav}\n",
    )
    .unwrap();
    let text = ends(
        &place,
        3,
        &[
            "talks/day 1",
            "talks/a broken one.wav",
            "jobs.yaml",
            "--report",
            "run.json",
        ],
    );
    // Times differ from run to run.
    let steady: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(" left"))
        .map(|line| {
            line.split_once(" s, in ")
                .map_or(line, |(before, _)| before)
        })
        .collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("batch_failures", steady.join("\n"));
    });
    assert_eq!(
        names(&content(&place.join("out"))),
        ["a.mp4", "deep/c.mp4", "talks/b.mp4"]
    );
    let finished = report(&place, "run.json");
    assert_eq!(ids_of(&finished, "failed"), ["a broken one", "bad", "gone"]);
    assert_eq!(finished["error"]["exit_code"], 3);
    let bad = &finished["clips"][3]["render"];
    assert!(
        bad["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no model"),
        "{bad}"
    );
    // Only what was fixed is rendered.
    fs::copy(place.join("talks/b.wav"), place.join("gone.wav")).unwrap();
    ends(
        &place,
        3,
        &[
            "talks/day 1",
            "talks/a broken one.wav",
            "jobs.yaml",
            "--resume",
            "--report",
            "run.json",
        ],
    );
    let finished = report(&place, "run.json");
    assert_eq!(ids_of(&finished, "rendered"), ["gone"]);
    assert_eq!(ids_of(&finished, "skipped").len(), 3);
    // With --fail-fast, the first failure stops all others.
    fs::remove_dir_all(place.join("out")).unwrap();
    ends(
        &place,
        3,
        &[
            "jobs.yaml",
            "talks/day 1",
            "--fail-fast",
            "--jobs",
            "1",
            "--report",
            "run.json",
        ],
    );
    let finished = report(&place, "run.json");
    assert_eq!(ids_of(&finished, "failed"), ["bad"]);
    assert_eq!(ids_of(&finished, "stopped").len(), 4);
    assert!(content(&place.join("out")).is_empty());
}

#[test]
fn every_event_of_a_clip_carries_its_id() {
    let place = place();
    fs::write(place.join("talks/empty.wav"), "").unwrap();
    let events = |more: &[&str]| -> Vec<Value> {
        let text = stderr(&run(
            &place,
            &[&["talks", "--progress", "json"], more].concat(),
        ));
        let events: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for event in &events {
            assert_fits("progress.schema.json", event);
        }
        events
    };
    let found = events(&[]);
    let of = |name: &str| -> Vec<&Value> { found.iter().filter(|e| e["event"] == name).collect() };
    assert_eq!(
        (of("start").len(), of("success").len(), of("failure").len()),
        (3, 3, 2)
    );
    assert!(
        of("success")
            .iter()
            .chain(&of("start"))
            .all(|e| e["id"].is_string())
    );
    for id in ["b", "day 1/a", "day 1/deep/c"] {
        let last = found
            .iter()
            .rfind(|e| e["event"] == "progress" && e["id"] == id)
            .unwrap();
        assert_eq!(last["frame"], last["frames"]);
        assert_eq!(last["all_frames"], 48);
    }
    let last = found.last().unwrap();
    assert_eq!(
        (&last["event"], &last["exit_code"], last.get("id")),
        (&"failure".into(), &3.into(), None)
    );
    assert!(of("failure").iter().any(|e| e["id"] == "empty"));
    fs::remove_file(place.join("talks/empty.wav")).unwrap();
    let again = events(&["--resume"]);
    assert_eq!(again.iter().filter(|e| e["event"] == "skip").count(), 3);
    let last = again.last().unwrap();
    assert_eq!(
        (&last["event"], &last["skipped"]),
        (&"success".into(), &3.into())
    );
}
