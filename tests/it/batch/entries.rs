//! Names and entries of folders that are not as usual: each is rendered or fails alone, and none stops the others.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::Value;

use super::{args, content, ends, ids_of, lines, names, ok, place, report, run, stderr, talk};
use crate::support::{LIPSYNC, assert_fits};
use crate::watchdog::watched;

/// Two names that look alike as text are two clips, also when the run is resumed.
#[test]
fn names_that_are_not_utf_8() {
    let place = place();
    let name = |bytes: &[u8]| place.join("talks").join(OsStr::from_bytes(bytes));
    talk(&place, "x.wav", 0.3);
    talk(&place, "other.wav", 0.2);
    fs::rename(place.join("x.wav"), name(b"x\xff.wav")).unwrap();
    fs::rename(place.join("other.wav"), name(b"x\xfe.wav")).unwrap();
    ok(&place, &["talks", "--report", "run.json"]);
    let rendered = ["b", "day 1/a", "day 1/deep/c", r"x\xfe", r"x\xff"];
    let mut ids = ids_of(&report(&place, "run.json"), "rendered");
    ids.sort_unstable();
    assert_eq!(ids, rendered);
    let clip = |bytes: &[u8]| place.join("out").join(OsStr::from_bytes(bytes));
    assert!(clip(b"x\xff.mp4").is_file() && clip(b"x\xfe.mp4").is_file());
    ok(&place, &["talks", "--resume", "--report", "run.json"]);
    assert_eq!(ids_of(&report(&place, "run.json"), "skipped").len(), 5);
    // Only the one that changed.
    fs::copy(place.join("talks/b.wav"), name(b"x\xff.wav")).unwrap();
    ok(&place, &["talks", "--resume", "--report", "run.json"]);
    let again = report(&place, "run.json");
    assert_eq!(ids_of(&again, "rendered"), [r"x\xff"]);
    // A jobs file cannot hold such a path.
    let output = run(&place, &["talks", "--dry-run", "--force"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    assert!(stderr(&run(&place, &["talks", "--dry-run", "--force"])).contains("is not UTF-8"));
}

#[test]
fn entries_that_cannot_be_read() {
    let place = place();
    let link = |to: &str, name: &str| symlink(to, place.join("talks").join(name)).unwrap();
    link("nowhere.wav", "gone.wav");
    link("nowhere", "gone too");
    // Its id would be that of a clip.
    link("nowhere", "b");
    link(".", "all");
    link("itself", "day 1/itself");
    // Editors lock files with such links; hidden files are skipped.
    link("me@here.1", ".#b.wav");
    // Neither of these is read.
    link("/dev/zero", "zero.wav");
    link("../bg/crop_rects.json", "rectangles");
    let status = Command::new("mkfifo")
        .arg(place.join("talks/pipe.wav"))
        .status();
    assert!(status.unwrap().success());
    let failed = ["all", "talks/b", "day 1/itself", "gone.wav", "gone too"];
    let text = ends(&place, 3, &["talks", "--report", "run.json"]);
    for told in [
        "cannot read `talks/all`: it is a link to `talks`, which contains it",
        "cannot read `talks/day 1/itself`: too many levels of symbolic links",
        "cannot read `talks/gone too`: it is a link to `nowhere`, which does not exist",
        "put the file back, or remove the link",
        "rendered 3 of 8 clips, 5 failed",
        "error: 5 of 8 clips failed",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let finished = report(&place, "run.json");
    assert_fits("batch-report.schema.json", &finished);
    assert_eq!(ids_of(&finished, "failed"), failed);
    assert_eq!(ids_of(&finished, "rendered").len(), 3);
    assert_eq!(names(&content(&place.join("out"))).len(), 3);
    // The same entries fail when the run is resumed, as events, and in a dry run.
    let output = run(&place, &["talks", "--resume", "--progress", "json"]);
    let text = stderr(&output);
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in &events {
        assert_fits("progress.schema.json", event);
    }
    let failures = events
        .iter()
        .filter(|e| e["event"] == "failure" && e["id"].is_string());
    assert_eq!((failures.count(), output.status.code()), (5, Some(3)));
    let output = run(&place, &["talks", "--force", "--dry-run"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output).len(), 3);
    // They do not move the other clips between shards, and each is listed by one shard.
    let of_shard = |shard: &str| {
        ends(
            &place,
            3,
            &["talks", "--force", "--shard", shard, "--report", "run.json"],
        );
        let report = report(&place, "run.json");
        (ids_of(&report, "rendered"), ids_of(&report, "failed").len())
    };
    let with = ["0/2", "1/2"].map(of_shard);
    assert_eq!(with[0].1 + with[1].1, 5);
    for name in ["gone.wav", "gone too", "all", "day 1/itself", "b"] {
        fs::remove_file(place.join("talks").join(name)).unwrap();
    }
    for (shard, (rendered, _)) in ["0/2", "1/2"].into_iter().zip(with) {
        ok(
            &place,
            &["talks", "--force", "--shard", shard, "--report", "run.json"],
        );
        assert_eq!(ids_of(&report(&place, "run.json"), "rendered"), rendered);
    }
}

#[test]
fn a_folder_that_may_not_be_read() {
    let place = place();
    let sealed = place.join("talks/lost+found");
    fs::create_dir(&sealed).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o000)).unwrap();
    let mut program = std::path::PathBuf::from(LIPSYNC);
    let is_root = rustix::process::geteuid().is_root();
    fs::create_dir(place.join("out")).unwrap();
    if is_root {
        // Root may read everything: run as `nobody`, with a copy of the program that `nobody` may run.
        program = place.join("lipsync");
        fs::copy(LIPSYNC, &program).unwrap();
        let runtime = lipsync::runtime_library().unwrap();
        fs::copy(runtime, place.join("libonnxruntime.so")).unwrap();
        for path in [place.path.parent().unwrap(), &place.path] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(place.join("out"), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new(program);
    command.args(args(&["talks"])).current_dir(&place.path);
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    let output = watched(&mut command);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains("failed  lost+found  cannot read `talks/lost+found`: permission denied"),
        "{text}"
    );
    assert_eq!(names(&content(&place.join("out"))).len(), 3);
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o755)).unwrap();
}
