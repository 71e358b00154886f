//! Folders, audio files and jobs files as inputs.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{CLIPS, content, ends, ids_of, lines, names, ok, place, report, run, stderr};
use crate::support::{assert_fits, pictures, probe};

#[test]
fn a_folder_of_sounds_becomes_a_folder_of_the_clips_that_render_makes() {
    let place = place();
    fs::write(place.join("talks/notes.txt"), "not audio").unwrap();
    fs::create_dir(place.join("talks/.hidden")).unwrap();
    fs::copy(place.join("talks/b.wav"), place.join("talks/.hidden/x.wav")).unwrap();
    ok(&place, &["talks", "--report", "run.json"]);
    let clips = content(&place.join("out"));
    assert_eq!(names(&clips), CLIPS);
    for (clip, bytes) in &clips {
        let sound = Path::new("talks").join(clip).with_extension("wav");
        let sound = sound.to_str().unwrap();
        place.ok(&[
            "render",
            sound,
            "-o",
            "one.mp4",
            "-f",
            "-m",
            "tiny",
            "-b",
            "small",
            "--device",
            "cpu",
            "--deterministic",
            "-q",
        ]);
        assert!(
            fs::read(place.join("one.mp4")).unwrap() == *bytes,
            "{sound}"
        );
    }
    let report = report(&place, "run.json");
    assert_eq!(
        ids_of(&report, "rendered"),
        ["b", "day 1/a", "day 1/deep/c"]
    );
    assert_eq!(
        (&report["frames"], &report["totals"]["failed"]),
        (&48.into(), &0.into())
    );
    // A single audio file, and a folder that contains the output folder.
    let output = place.run(&[
        "batch",
        "talks/day 1/a.wav",
        "talks/day 1/deep",
        "-o",
        "talks/out",
        "-m",
        "tiny",
        "-b",
        "small",
        "-q",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        names(&content(&place.join("talks/out"))),
        ["a.mp4", "c.mp4"]
    );
    // Files in the output folder are not inputs.
    let found = run(&place, &["talks", "--dry-run", "--force"]);
    assert_eq!(lines(&found).len(), 5);
    let output = place.run(&[
        "batch",
        "talks",
        "-o",
        "talks/out",
        "--dry-run",
        "-m",
        "tiny",
        "-b",
        "small",
    ]);
    assert_eq!(lines(&output).len(), 3);
}

#[test]
fn jobs_files_say_what_each_clip_is() {
    let place = place();
    fs::create_dir(place.join("lists")).unwrap();
    fs::write(
        place.join("lists/jobs.yaml"),
        "jobs:\n\
        - audio: ../talks/b.wav\n  crf: 30\n  fps: 30\n\
        - audio: ../talks/b.wav\n  output: more/b.mkv\n  background: ../bg\n  limit: 0.2\n  contact_sheet: more/b.png\n\
        - {audio: ../talks/day 1/a.wav, frames: pngs, id: pictures, order: hold, start_frame: 2}\n",
    )
    .unwrap();
    let jobs = ["lists/jobs.yaml", "--crf", "40", "--fps", "50"];
    let dry = run(&place, &[&jobs[..], &["--dry-run"]].concat());
    assert!(dry.status.success(), "{}", stderr(&dry));
    assert!(!place.join("out").exists());
    let planned = lines(&dry);
    for line in &planned {
        assert_fits("jobs.schema.json", line);
        for path in ["audio", "model", "background"] {
            assert!(
                Path::new(line[path].as_str().unwrap()).is_absolute(),
                "{line}"
            );
        }
    }
    let get = |n: usize, key: &str| planned[n][key].clone();
    assert_eq!(
        (get(0, "id"), get(0, "output")),
        ("b".into(), "b.mp4".into())
    );
    // The settings of a job take precedence over flags.
    assert_eq!(
        (get(0, "crf"), get(0, "fps"), get(0, "frames")),
        (30.into(), "30".into(), 30.into())
    );
    assert_eq!(
        (get(1, "crf"), get(1, "fps"), get(1, "frames")),
        (40.into(), "50".into(), 10.into())
    );
    assert_eq!(
        (get(2, "id"), get(2, "frames")),
        ("pictures".into(), "pngs".into())
    );
    // The output is a jobs file for the same clips, valid in any folder, in both formats.
    let text = String::from_utf8(dry.stdout).unwrap();
    fs::write(place.join("elsewhere.jsonl"), &text).unwrap();
    let list = format!("[{}]", text.trim_end().replace('\n', ",\n"));
    fs::write(place.join("elsewhere.json"), list).unwrap();
    for file in ["elsewhere.jsonl", "elsewhere.json"] {
        let again = run(&place, &[file, "--dry-run"]);
        assert_eq!(String::from_utf8(again.stdout).unwrap(), text, "{file}");
    }
    ok(&place, &["elsewhere.jsonl"]);
    let out = content(&place.join("out"));
    assert_eq!(out.len(), 3 + 30);
    assert_eq!(
        probe(&place.join("out/b.mp4"))["streams"][0]["nb_frames"],
        "30"
    );
    assert_eq!(pictures(&place.join("out/pngs")).len(), 30);
    assert!(place.join("out/more/b.png").exists());
    // A single word is the name of a model, or a path if that exists.
    fs::write(
        place.join("ada.jsonl"),
        "{\"audio\":\"speech.wav\",\"model\":\"ada\",\"background\":\"bg\"}",
    )
    .unwrap();
    let line = &lines(&run(&place, &["ada.jsonl", "--dry-run"]))[0];
    assert!(
        line["model"]
            .as_str()
            .unwrap()
            .ends_with("models/ada/generator.onnx")
    );
}

#[test]
fn mistakes_in_jobs_files_are_told_with_their_place() {
    let place = place();
    let message = |name: &str, text: &str| {
        fs::write(place.join(name), text).unwrap();
        let message = ends(&place, 2, &[name, "--dry-run"]);
        let message = message.replace(place.path.to_str().unwrap(), "HERE");
        format!("# {text}\n{message}")
    };
    let cases = [
        message("a.yaml", "- audio: talks/b.wav\n  odrer: hold\n"),
        message("a.yaml", "jobs:\n  - audio: talks/b.wav\n    order: lop\n"),
        message("a.yaml", "- audio: talks/b.wav\n  crf: best\n"),
        message("a.yaml", "- output: b.mp4\n"),
        message("a.yaml", "talks/b.wav\n"),
        message("a.yaml", "- talks/b.wav\n"),
        message(
            "a.yaml",
            "- {audio: talks/b.wav, output: b.mp4, frames: b}\n",
        ),
        message("a.yaml", "- audio: talks/b.wav\n  device: cuda\n"),
        message("a.yaml", "- {audio: talks/b.wav, frames: b, crf: 20}\n"),
        message("a.yaml", "# nothing yet\n"),
        message(
            "a.jsonl",
            "{\"audio\":\"talks/b.wav\"}\n\n{\"audio\":\"talks/b.wav\",\"fps\":0}\n",
        ),
        message("a.jsonl", "{\"audio\":\"talks/b.wav\"\n"),
        message("a.jsonl", "[]\n"),
        message(
            "a.yaml",
            "- {audio: talks/b.wav, output: more/../../b.mp4}\n",
        ),
        message(
            "a.yaml",
            "- {audio: talks/b.wav, output: x.mp4}\n- {audio: speech.wav, output: ./x.mp4}\n",
        ),
        message(
            "a.yaml",
            "- {audio: talks/b.wav, output: x.mp4}\n- {audio: speech.wav, output: x.mp4}\n",
        ),
        message(
            "a.yaml",
            "- {audio: talks/b.wav, id: x}\n- {audio: speech.wav, id: x}\n",
        ),
    ];
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("batch_mistakes", cases.join("\n"));
    });
    assert!(!place.join("out").exists());
    // Two audio files for one clip.
    fs::copy(place.join("talks/b.wav"), place.join("talks/b.mp3")).unwrap();
    let both = ends(&place, 2, &["talks"]);
    assert!(
        both.contains("two jobs write the same output `b.mp4`: `talks/b.mp3` and `talks/b.wav`"),
        "{both}"
    );
    let same = place.run(&["batch", "talks", "-o", "talks"]);
    assert_eq!(same.status.code(), Some(2));
    // The extension distinguishes a clip in two containers.
    let two = "{\"audio\":\"speech.wav\",\"output\":\"x.mp4\"}\n{\"audio\":\"speech.wav\",\"output\":\"x.mkv\"}\n";
    fs::write(place.join("a.jsonl"), two).unwrap();
    let ids: Vec<Value> = lines(&run(&place, &["a.jsonl", "--dry-run"]))
        .iter()
        .map(|l| l["id"].clone())
        .collect();
    assert_eq!(ids, ["x.mp4", "x.mkv"]);
}
