//! Runs that are resumed, killed, lock each other out, or share the work.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    CLIPS, args, content, ends, ids_of, lines, names, ok, place, report, run, stderr, talk,
};
use crate::support::golden;
use crate::watchdog::{Watched, ended, watched};

#[test]
fn a_run_is_gone_on_with_and_nobody_elses_file_is_touched() {
    let place = place();
    let resume = |more: &[&str]| {
        ok(
            &place,
            &[&["talks", "--resume", "--report", "run.json"], more].concat(),
        );
        ids_of(&report(&place, "run.json"), "rendered")
    };
    assert_eq!(resume(&[]).len(), 3);
    assert_eq!(resume(&[]), [] as [&str; 0]);
    // Without --resume, existing outputs are an error, and stay.
    let whole = content(&place.join("out"));
    assert!(ends(&place, 3, &["talks"]).contains("output `out/b.mp4` exists"));
    assert!(content(&place.join("out")) == whole);
    // Each of these changes makes clips outdated.
    talk(&place, "talks/b.wav", 1.2);
    assert_eq!(resume(&[]), ["b"]);
    assert_eq!(resume(&["--crf", "30"]).len(), 3);
    fs::copy(
        place.join("small/frame_0002.png"),
        place.join("small/frame_0001.png"),
    )
    .unwrap();
    assert_eq!(resume(&["--crf", "30"]).len(), 3);
    let rects = "[[10,10,40,40],[10,10,40,40],[10,10,40,40],[10,10,40,40]]";
    fs::write(place.join("small/crop_rects.json"), rects).unwrap();
    assert_eq!(resume(&["--crf", "30"]).len(), 3);
    fs::copy(
        golden("../models/bright_generator.onnx"),
        place.join("tiny/generator.onnx"),
    )
    .unwrap();
    assert_eq!(resume(&["--crf", "30"]).len(), 3);
    assert_eq!(
        resume(&["--crf", "30", "--threads", "1", "--jobs", "1"]),
        [] as [&str; 0]
    );
    // New times alone change nothing.
    fs::write(
        place.join("out/b.mp4"),
        fs::read(place.join("out/b.mp4")).unwrap(),
    )
    .unwrap();
    assert_eq!(resume(&["--crf", "30"]), [] as [&str; 0]);
    fs::remove_file(place.join("out/b.mp4")).unwrap();
    assert_eq!(resume(&["--crf", "30"]), ["b"]);
    // A clip that somebody has changed, and a file of somebody else.
    let theirs: &[u8] = b"somebody's work";
    fs::write(place.join("out/b.mp4"), theirs).unwrap();
    talk(&place, "talks/new.wav", 0.3);
    fs::write(place.join("out/new.mp4"), theirs).unwrap();
    let text = ends(&place, 3, &["talks", "--resume", "--crf", "30"]);
    assert!(
        text.contains("new  output `out/new.mp4` exists: it was not written by lipsync batch"),
        "{text}"
    );
    for name in ["out/b.mp4", "out/new.mp4"] {
        assert_eq!(fs::read(place.join(name)).unwrap(), theirs, "{name}");
    }
    assert_eq!(resume(&["--crf", "30", "--force"]), ["b", "new"]);
}

/// Numbers from 0 to 1, the same on every run (Knuth's MMIX generator).
struct RandomMoments(u64);

impl RandomMoments {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn killed_at_ten_random_moments_and_gone_on_with() {
    let place = place();
    for n in 0..5 {
        talk(
            &place,
            &format!("talks/more {n}.wav"),
            0.5 + 0.2 * f64::from(n),
        );
    }
    fs::write(
        place.join("jobs.yaml"),
        "- {audio: talks/b.wav, frames: pngs}\n- {audio: talks/b.wav, output: b2.mkv}\n",
    )
    .unwrap();
    let inputs = ["talks", "jobs.yaml", "-q", "--resume"];
    let started = Instant::now();
    ok(&place, &inputs);
    let lasts = started.elapsed();
    let undisturbed = content(&place.join("out"));
    assert_eq!(undisturbed.len(), 8 + 1 + 25);
    fs::remove_dir_all(place.join("out")).unwrap();
    let (mut moments, mut hits, mut finished) = (RandomMoments(5), 0, 0);
    while hits < 10 {
        let mut run = Watched::start(&mut place.command(&args(&inputs)));
        let until = Instant::now() + lasts.mul_f64(moments.next());
        while Instant::now() < until && run.is_running() {
            thread::sleep(Duration::from_millis(1));
        }
        if run.is_running() {
            run.signal(Signal::KILL);
        }
        let output = run.end();
        if output.status.success() {
            // It finished before it was killed: start over.
            assert!(content(&place.join("out")) == undisturbed);
            fs::remove_dir_all(place.join("out")).unwrap();
            finished += 1;
        } else {
            assert_eq!(ended(&output), "signal 9");
            hits += 1;
        }
    }
    println!("{lasts:?} undisturbed; {hits} killed, {finished} finished before");
    ok(&place, &inputs);
    let out = content(&place.join("out"));
    assert_eq!(names(&out), names(&undisturbed));
    assert!(out == undisturbed);
}

#[test]
fn an_interrupted_run_keeps_what_is_finished() {
    let place = place();
    talk(&place, "talks/long.wav", 120.0);
    let mut run =
        Watched::start(&mut place.command(&args(&["talks", "--report", "run.json", "-q"])));
    let (one, other) = (place.join("out/b.mp4"), place.join("out/day 1/a.mp4"));
    run.until("clips were finished", || one.exists() && other.exists());
    run.signal(Signal::INT);
    let output = run.end();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let out = content(&place.join("out"));
    assert!(out.contains_key(Path::new("b.mp4")) && !out.contains_key(Path::new("long.mp4")));
    let report = report(&place, "run.json");
    assert_eq!(report["error"]["exit_code"], 130);
    assert!(ids_of(&report, "stopped").contains(&"long".to_owned()));
}

#[test]
fn a_second_run_in_the_folder_says_who_is_there() {
    let place = place();
    talk(&place, "talks/long.wav", 600.0);
    let start = |more: &[&str]| {
        Watched::start(&mut place.command(&args(&[&["talks/long.wav", "-q"], more].concat())))
    };
    let lock = |name: &str| {
        let path = place.join("out").join(name);
        move || fs::read(&path).is_ok_and(|text| text.ends_with(b"\n"))
    };
    let mut first = start(&[]);
    first.until("it has the lock", lock(".lipsync-batch.lock"));
    let who = format!("process {} on `", first.id());
    for more in [
        &["talks"][..],
        &["talks", "--resume"],
        &["talks", "--shard", "0/2"],
    ] {
        let text = ends(&place, 1, more);
        let there = "another run is using output folder `out`";
        assert!(text.contains(there) && text.contains(&who), "{text}");
    }
    first.signal(Signal::KILL);
    first.end();
    // A shard locks out whole runs, and a second run of itself.
    let mut shard = start(&["--shard", "0/2"]);
    shard.until("it has the lock", lock(".lipsync-batch.0-of-2.lock"));
    let who = format!("process {} on `", shard.id());
    for more in [&["talks"][..], &["talks", "--shard", "0/2"]] {
        let text = ends(&place, 1, more);
        assert!(text.contains(&who), "{text}");
    }
    ok(&place, &["talks/day 1", "--shard", "1/2"]);
    shard.signal(Signal::KILL);
    shard.end();
}

#[test]
fn shards_share_the_work_and_find_each_others() {
    let place = place();
    let all = lines(&run(&place, &["talks", "--dry-run"]));
    let mut shared = Vec::new();
    for shard in ["0/2", "1/2"] {
        let mine = lines(&run(&place, &["talks", "--dry-run", "--shard", shard]));
        let frames: u64 = mine
            .iter()
            .map(|line| line["frames"].as_u64().unwrap())
            .sum();
        assert!((23..=25).contains(&frames), "{shard}: {frames} of 48");
        shared.extend(mine);
    }
    shared.sort_by_key(|line| line["id"].as_str().unwrap().to_owned());
    assert_eq!(shared, all);
    // The variables of an array job select the shard.
    let mut command = place.command(&args(&["talks", "-q"]));
    command
        .env("SLURM_ARRAY_TASK_ID", "5")
        .env("SLURM_ARRAY_TASK_MIN", "5");
    assert!(
        watched(command.env("SLURM_ARRAY_TASK_COUNT", "2"))
            .status
            .success()
    );
    assert_eq!(names(&content(&place.join("out"))), ["b.mp4"]);
    let mut command = place.command(&args(&["talks", "-q", "--report", "run.json"]));
    command
        .env("JOB_COMPLETION_INDEX", "1")
        .env("JOB_COMPLETION_COUNT", "2");
    assert!(watched(&mut command).status.success());
    assert_eq!(report(&place, "run.json")["shard"], "1-of-2");
    assert_eq!(names(&content(&place.join("out"))), CLIPS);
    // A whole run finds the clips that the shards have finished.
    ok(&place, &["talks", "--resume", "--report", "run.json"]);
    assert_eq!(report(&place, "run.json")["totals"]["skipped"], 3);
    let mut command = place.command(&args(&["talks"]));
    let output = watched(command.env("JOB_COMPLETION_INDEX", "1"));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("JOB_COMPLETION_COUNT is not set"),
        "{}",
        stderr(&output)
    );
}
