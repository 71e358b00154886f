//! Bytes do not depend on jobs, batch and threads; memory limits hold.

use std::fs;

use super::{content, ok, place, report, stderr, talk};
use crate::support::Place;

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
        let text = ok(
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
        let count = |what: &str| text.matches(what).count();
        (
            count(" is loaded for "),
            count(" was unloaded to free memory"),
            content(&place.join("out")),
        )
    };
    let (loaded, dropped, roomy) = loads("8", "2");
    assert_eq!((loaded, dropped, roomy.len()), (2, 0, 6));
    // Clips of one model are rendered one after the other, so each model is still loaded only once.
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
    assert!(output.status.success(), "{}", stderr(&output));
    let report = report(&place, "run.json");
    assert_eq!(report["totals"]["rendered"], 14);
    let peak = report["peak_rss_mb"].as_f64().unwrap();
    println!("{peak} MB");
    assert!(peak <= 500.0, "{peak} MB");
}
