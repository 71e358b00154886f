//! Many clips: what comes in and out, what fails, and what is said of it.

mod going_on;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::{Place, assert_fits, pictures, probe};
use crate::watchdog::watched;

/// A place with three sounds in `talks/`, and four small frames in `small/`.
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

/// `batch` of these inputs into `out`, on the CPU with the small networks and frames, and more.
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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What must succeed.
fn ok(place: &Place, more: &[&str]) -> String {
    let output = run(place, more);
    assert!(output.status.success(), "{more:?}: {}", said(&output));
    said(&output)
}

/// What must end with this code.
fn ends(place: &Place, code: i32, more: &[&str]) -> String {
    let output = run(place, more);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{more:?}: {}",
        said(&output)
    );
    said(&output)
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

/// The ids of the clips that came to this end.
fn of_end(report: &Value, end: &str) -> Vec<String> {
    let clips = report["clips"].as_array().unwrap().iter();
    let clips = clips.filter(|clip| clip["end"] == end);
    clips
        .map(|clip| clip["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Every file of a folder that is not hidden, with its bytes. Fails if a part is left.
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

#[test]
fn a_folder_of_sounds_becomes_a_folder_of_the_clips_that_render_makes() {
    let place = place();
    fs::write(place.join("talks/notes.txt"), "no sound").unwrap();
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
        of_end(&report, "rendered"),
        ["b", "day 1/a", "day 1/deep/c"]
    );
    assert_eq!(
        (&report["frames"], &report["totals"]["failed"]),
        (&48.into(), &0.into())
    );
    // A sound by itself, and a folder inside the output's.
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
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        names(&content(&place.join("talks/out"))),
        ["a.mp4", "c.mp4"]
    );
    // What lies in the output folder is no input.
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
    assert!(dry.status.success(), "{}", said(&dry));
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
    // A job's own settings win over the flags.
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
    // What was written is a jobs file that asks for the same, from any folder, in both formats.
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
    // A name of one word is a model's, a path where there is one.
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
    let told = |name: &str, text: &str| {
        fs::write(place.join(name), text).unwrap();
        let said = ends(&place, 2, &[name, "--dry-run"]);
        let cut = said.replace(place.path.to_str().unwrap(), "HERE");
        format!("# {text}\n{cut}")
    };
    let cases = [
        told("a.yaml", "- audio: talks/b.wav\n  odrer: hold\n"),
        told("a.yaml", "jobs:\n  - audio: talks/b.wav\n    order: lop\n"),
        told("a.yaml", "- audio: talks/b.wav\n  crf: best\n"),
        told("a.yaml", "- output: b.mp4\n"),
        told("a.yaml", "talks/b.wav\n"),
        told("a.yaml", "- talks/b.wav\n"),
        told(
            "a.yaml",
            "- {audio: talks/b.wav, output: b.mp4, frames: b}\n",
        ),
        told("a.yaml", "- audio: talks/b.wav\n  device: cuda\n"),
        told("a.yaml", "- {audio: talks/b.wav, frames: b, crf: 20}\n"),
        told("a.yaml", "# nothing yet\n"),
        told(
            "a.jsonl",
            "{\"audio\":\"talks/b.wav\"}\n\n{\"audio\":\"talks/b.wav\",\"fps\":0}\n",
        ),
        told("a.jsonl", "{\"audio\":\"talks/b.wav\"\n"),
        told("a.jsonl", "[]\n"),
        told(
            "a.yaml",
            "- {audio: talks/b.wav, output: more/../../b.mp4}\n",
        ),
        told(
            "a.yaml",
            "- {audio: talks/b.wav, output: x.mp4}\n- {audio: speech.wav, output: ./x.mp4}\n",
        ),
        told(
            "a.yaml",
            "- {audio: talks/b.wav, output: x.mp4}\n- {audio: speech.wav, output: x.mp4}\n",
        ),
        told(
            "a.yaml",
            "- {audio: talks/b.wav, id: x}\n- {audio: speech.wav, id: x}\n",
        ),
    ];
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("batch_mistakes", cases.join("\n"));
    });
    assert!(!place.join("out").exists());
    // Two sounds for one clip.
    fs::copy(place.join("talks/b.wav"), place.join("talks/b.mp3")).unwrap();
    let both = ends(&place, 2, &["talks"]);
    assert!(
        both.contains("two jobs have the output `b.mp4`: `talks/b.mp3` and `talks/b.wav`"),
        "{both}"
    );
    let same = place.run(&["batch", "talks", "-o", "talks"]);
    assert_eq!(same.status.code(), Some(2));
    // The same clip in two kinds of files is told apart by the ending.
    let two = "{\"audio\":\"speech.wav\",\"output\":\"x.mp4\"}\n{\"audio\":\"speech.wav\",\"output\":\"x.mkv\"}\n";
    fs::write(place.join("a.jsonl"), two).unwrap();
    let ids: Vec<Value> = lines(&run(&place, &["a.jsonl", "--dry-run"]))
        .iter()
        .map(|l| l["id"].clone())
        .collect();
    assert_eq!(ids, ["x.mp4", "x.mkv"]);
}

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
    let said = ends(
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
    // What takes time is not told the same twice.
    let steady: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains(" left"))
        .map(|line| {
            line.split_once(" s, in ")
                .map_or(line, |(before, _)| before)
        })
        .collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("batch_failures", steady.join("\n"));
    });
    assert_eq!(
        names(&content(&place.join("out"))),
        ["a.mp4", "deep/c.mp4", "talks/b.mp4"]
    );
    let told = report(&place, "run.json");
    assert_eq!(of_end(&told, "failed"), ["a broken one", "bad", "gone"]);
    assert_eq!(told["error"]["exit_code"], 3);
    let bad = &told["clips"][3]["render"];
    assert!(
        bad["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no model"),
        "{bad}"
    );
    // What is mended is rendered, and nothing else.
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
    let told = report(&place, "run.json");
    assert_eq!(of_end(&told, "rendered"), ["gone"]);
    assert_eq!(of_end(&told, "skipped").len(), 3);
    // Unless it is asked for.
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
    let told = report(&place, "run.json");
    assert_eq!(of_end(&told, "failed"), ["bad"]);
    assert_eq!(of_end(&told, "stopped").len(), 4);
    assert!(content(&place.join("out")).is_empty());
}

#[test]
fn every_event_of_a_clip_carries_its_id() {
    let place = place();
    fs::write(place.join("talks/empty.wav"), "").unwrap();
    let events = |more: &[&str]| -> Vec<Value> {
        let said = said(&run(
            &place,
            &[&["talks", "--progress", "json"], more].concat(),
        ));
        let events: Vec<Value> = said
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

#[test]
fn the_same_bytes_whatever_jobs_batch_and_threads() {
    let place = place();
    let mut first = None;
    let combinations = [
        ("1", "1", "1"),
        ("1", "3", "3"),
        ("2", "1", "2"),
        ("2", "auto", "1"),
        ("3", "2", "4"),
        ("4", "8", "2"),
    ];
    for (jobs, batch, threads) in combinations {
        ok(
            &place,
            &[
                "talks",
                "-q",
                "--force",
                "--jobs",
                jobs,
                "--batch",
                batch,
                "--threads",
                threads,
            ],
        );
        let out = content(&place.join("out"));
        assert_eq!(out.len(), 3);
        assert!(
            *first.get_or_insert_with(|| out.clone()) == out,
            "{jobs}, {batch}, {threads}"
        );
    }
}

#[test]
fn models_that_do_not_fit_beside_each_other_take_turns() {
    let place = place();
    fs::create_dir(place.join("other")).unwrap();
    for network in ["generator", "audio_encoder"] {
        let name = format!("{network}.onnx");
        fs::copy(
            place.join("tiny").join(&name),
            place.join("other").join(&name),
        )
        .unwrap();
    }
    let job = |n: u32| {
        let model = ["tiny", "other"][n as usize % 2];
        format!("- {{audio: talks/day 1/a.wav, model: {model}, output: {n}.mp4}}\n")
    };
    fs::write(place.join("jobs.yaml"), (0..6).map(job).collect::<String>()).unwrap();
    let loads = |memory: &str, jobs: &str| {
        let said = ok(
            &place,
            &[
                "jobs.yaml",
                "-v",
                "--force",
                "--memory-limit",
                memory,
                "--jobs",
                jobs,
            ],
        );
        let count = |what: &str| said.matches(what).count();
        (
            count(" is loaded for "),
            count(" was unloaded to free memory"),
            content(&place.join("out")),
        )
    };
    let (loaded, dropped, roomy) = loads("8", "2");
    assert_eq!((loaded, dropped, roomy.len()), (2, 0, 6));
    // Clips of one model follow each other, so each is loaded once even so.
    let (loaded, dropped, narrow) = loads("0.05", "1");
    assert_eq!((loaded, dropped), (2, 1));
    assert!(narrow == roomy);
}

#[test]
fn many_clips_stay_within_the_memory_limit() {
    let place = Place::new();
    fs::create_dir(place.join("talks")).unwrap();
    for n in 0..14 {
        talk(&place, &format!("talks/{n:02}.wav"), 0.4);
    }
    let output = place.run(&[
        "batch",
        "talks",
        "-o",
        "out",
        "--device",
        "cpu",
        "-q",
        "--report",
        "run.json",
        "--memory-limit",
        "0.5",
        "--threads",
        "2",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let report = report(&place, "run.json");
    assert_eq!(report["totals"]["rendered"], 14);
    let peak = report["peak_rss_mb"].as_f64().unwrap();
    println!("{peak} MB");
    assert!(peak <= 500.0, "{peak} MB");
}
