//! Outputs in all places: the same file twice, links, pipes and devices, folders that others use, signals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{LIPSYNC, Place, pictures, probe};
use crate::watchdog::{Watched, the_error, watched};

/// A render of a fifth of a second.
const RENDER: [&str; 11] = [
    "render",
    "speech.wav",
    "-m",
    "tiny",
    "-b",
    "bg",
    "--device",
    "cpu",
    "--limit",
    "0.2",
    "-q",
];

fn render(place: &Place, args: &[&str]) -> Command {
    place.command(&[&RENDER, args].concat())
}

/// A render that takes some seconds.
fn long_render(place: &Place, args: &[&str]) -> Command {
    let base = [
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--device",
        "cpu",
        "-q",
        "--limit",
        "6",
    ];
    place.command(&[&base, args].concat())
}

fn pipe(place: &Place, name: &str) {
    let made = Command::new("mkfifo").arg(place.join(name)).status();
    assert!(made.unwrap().success());
}

/// Waits until something is written under a hidden name in `folder`.
fn until_written(run: &mut Watched, folder: &Path) {
    let is_part = |entry: fs::DirEntry| {
        let path = entry.path();
        path.extension().is_some_and(|e| e == "part")
            && (path
                .metadata()
                .is_ok_and(|about| about.is_file() && about.len() > 0)
                || fs::read_dir(&path).is_ok_and(|mut frames| frames.next().is_some()))
    };
    run.until("it wrote something", || {
        fs::read_dir(folder).unwrap().flatten().any(is_part)
    });
}

#[test]
fn no_two_outputs_are_one_file_and_no_output_is_an_input() {
    let place = Place::new();
    fs::create_dir(place.join("in")).unwrap();
    fs::copy(place.join("speech.wav"), place.join("in/x.wav")).unwrap();
    fs::copy(place.join("speech.wav"), place.join("talk.mp4")).unwrap();
    fs::create_dir(place.join("frames")).unwrap();
    symlink("talk.mp4", place.join("link.mp4")).unwrap();
    fs::create_dir(place.join("pics")).unwrap();
    for frame in 0..12 {
        let name = format!("{frame}.png");
        fs::copy(place.join("bg").join(&name), place.join("pics").join(&name)).unwrap();
    }
    let before = place.names();
    let same = "are the same file";
    for (args, expected) in [
        (
            "render speech.wav -m tiny -b bg -o a.mp4 --report a.mp4",
            same,
        ),
        (
            "render speech.wav -m tiny -b bg --report bg/../speech.mp4",
            same,
        ),
        (
            "render speech.wav -m tiny -b bg --contact-sheet c.png --report ./c.png",
            same,
        ),
        (
            "render speech.wav -m tiny -b bg -o a.mp4 --contact-sheet a.mp4",
            same,
        ),
        (
            "render speech.wav -m tiny -b bg -o - --report /dev/stdout",
            "both go to stdout",
        ),
        (
            "render speech.wav -m tiny -b bg --frames frames --report frames/r.json",
            "is in the folder of --frames",
        ),
        (
            "render speech.wav -m tiny -b pics --crop-rects bg/crop_rects.json --frames pics -f",
            "--frames would overwrite the background `pics`",
        ),
        (
            "render speech.wav -m tiny -b bg --contact-sheet bg/3.png -f",
            "would overwrite the background frame `bg/3.png`",
        ),
        (
            "render talk.mp4 -m tiny -b bg -o link.mp4 -f",
            "the output would overwrite the audio file `talk.mp4`",
        ),
        (
            "batch in -o out -m tiny -b bg --report out/x.mp4",
            "the output of `in/x.wav` and --report are the same file",
        ),
        (
            "batch in -o out -m tiny -b bg --report out/.lipsync-batch.jsonl",
            same,
        ),
        (
            "render speech.wav -m tiny -b bg -f --report speech.wav",
            "--report would overwrite the audio file `speech.wav`",
        ),
        (
            "inspect speech.wav --png speech.wav -f",
            "--png would overwrite the inspected file",
        ),
        (
            "inspect bg --png bg/3.png -f",
            "--png would overwrite the inspected file",
        ),
        ("inspect speech.wav --png -", "both go to stdout"),
        (
            "compare bg tiny --diff bg -f",
            "--diff would overwrite the reference",
        ),
        ("bench speech.wav -m tiny -b bg --json x --plot x", same),
    ] {
        let words: Vec<&str> = args.split(' ').collect();
        let output = watched(&mut place.command(&words));
        let message = the_error(&output);
        assert!(message.contains(expected), "{args}: {message}");
        assert_eq!(output.status.code(), Some(2), "{args}: {message}");
        assert_eq!(place.names(), before, "{args}");
    }
}

#[test]
fn a_job_does_not_write_what_another_reads() {
    let place = Place::new();
    fs::create_dir(place.join("out")).unwrap();
    fs::copy(place.join("speech.wav"), place.join("out/b.mp4")).unwrap();
    let jobs = "- {audio: speech.wav, output: b.mp4}\n- {audio: out/b.mp4, output: c.mp4}\n";
    fs::write(place.join("jobs.yaml"), jobs).unwrap();
    let args = [
        "batch",
        "jobs.yaml",
        "-o",
        "out",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--force",
    ];
    let output = watched(&mut place.command(&args));
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.starts_with(
            "the output of `jobs.yaml`, line 1 would overwrite the audio file `out/b.mp4`"
        ),
        "{message}"
    );
}

#[test]
fn reports_and_sheets_go_to_stdout_pipes_and_devices() {
    let place = Place::new();
    let is_report = |bytes: &[u8]| {
        let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(json["frames"], 5);
    };
    for report in ["-", "/dev/stdout", "/dev/fd/1"] {
        let output = watched(&mut render(
            &place,
            &["-o", "a.mp4", "-f", "--report", report],
        ));
        assert!(output.status.success(), "{}", the_error(&output));
        is_report(&output.stdout);
    }
    let output = watched(&mut render(&place, &["--contact-sheet", "-"]));
    assert!(image::load_from_memory(&output.stdout).is_ok());
    pipe(&place, "pipe");
    let reader = {
        let path = place.join("pipe");
        thread::spawn(move || fs::read(path).unwrap())
    };
    let output = watched(&mut render(
        &place,
        &["-o", "a.mp4", "-f", "--report", "pipe"],
    ));
    assert!(output.status.success(), "{}", the_error(&output));
    is_report(&reader.join().unwrap());
    // A file that the shell appends to keeps what is in it.
    fs::write(place.join("log"), "before\n").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 3>> log", "sh", LIPSYNC]);
    shell.args(render(&place, &["-o", "a.mp4", "-f", "--report", "/dev/fd/3"]).get_args());
    let output = watched(shell.current_dir(&place.path));
    assert!(output.status.success(), "{}", the_error(&output));
    is_report(
        fs::read(place.join("log"))
            .unwrap()
            .strip_prefix(b"before\n")
            .unwrap(),
    );
    let output = watched(&mut render(
        &place,
        &["-o", "a.mp4", "-f", "--report", "/dev/null"],
    ));
    assert!(output.status.success(), "{}", the_error(&output));
    let output = watched(&mut render(
        &place,
        &["-o", "a.mp4", "-f", "--report", "/dev/full"],
    ));
    assert_eq!(output.status.code(), Some(4));
    assert!(the_error(&output).starts_with("cannot write `/dev/full`\n  Caused by: no space left"));
    assert_eq!(
        place.names(),
        ["a.mp4", "bg", "log", "pipe", "speech.wav", "tiny"]
    );
}

#[test]
fn a_pipe_that_nobody_reads_ends_with_the_first_signal() {
    let place = Place::new();
    pipe(&place, "pipe");
    let mut run = Watched::start(&mut render(&place, &["-o", "a.mp4", "--report", "pipe"]));
    let clip = place.join("a.mp4");
    run.until("the clip was there", || clip.exists());
    thread::sleep(Duration::from_millis(300));
    assert!(run.is_running(), "the report has no reader yet");
    run.signal(Signal::TERM);
    let output = run.end();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(the_error(&output), "interrupted");
    probe(&clip);
}

#[test]
fn clips_and_frames_do_not_go_to_pipes() {
    let place = Place::new();
    for name in ["pipe.mp4", "frames"] {
        pipe(&place, name);
    }
    let before = place.names();
    for (args, expected) in [
        (
            ["-o", "pipe.mp4", "-f"],
            "cannot write `pipe.mp4`: it is a pipe\n",
        ),
        (
            ["--frames", "frames", "-f"],
            "cannot write `frames`: it is a pipe\n",
        ),
        (
            ["--frames", "-", "-f"],
            "`-` means stdout, which takes no folder\n",
        ),
    ] {
        let message = the_error(&watched(&mut render(&place, &args)));
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(place.names(), before);
}

#[test]
fn a_pipe_is_no_input() {
    let place = Place::new();
    for name in ["p", "p.onnx", "p.json", "p.yaml", "p.mp4"] {
        pipe(&place, name);
    }
    for args in [
        &["inspect", "p"][..],
        &["inspect", "p.onnx"],
        &["inspect", "bg", "--crop-rects", "p.json"],
        &[
            "render",
            "speech.wav",
            "-m",
            "tiny",
            "-b",
            "bg",
            "--crop-rects",
            "p.json",
        ],
        &["render", "speech.wav", "-m", "tiny", "-b", "p.mp4"],
        &["--config", "p.yaml", "render", "speech.wav"],
        &["batch", "p.yaml", "-o", "out"],
        &["compare", "p.mp4", "bg"],
        &["join", "p.mp4", "-o", "x.mp4"],
    ] {
        let output = watched(&mut place.command(args));
        // `inspect` says it on stdout, and goes on.
        let message = [output.stdout, output.stderr].concat();
        let message = String::from_utf8_lossy(&message);
        let says = ["it is a pipe", "it is not a file"];
        assert!(
            says.iter().any(|says| message.contains(says)),
            "{args:?}: {message}"
        );
    }
}

#[test]
fn what_others_put_among_the_frames_stays() {
    let place = Place::new();
    fs::create_dir(place.join("frames")).unwrap();
    for name in ["000000.png", "000777.png"] {
        fs::write(place.join("frames").join(name), "an old frame").unwrap();
    }
    let mut run = Watched::start(&mut long_render(&place, &["--frames", "frames", "--force"]));
    until_written(&mut run, &place.path);
    fs::write(place.join("frames/notes.txt"), "mine").unwrap();
    fs::create_dir(place.join("frames/edit")).unwrap();
    let output = run.end();
    assert!(output.status.success(), "{}", the_error(&output));
    assert_eq!(
        fs::read_to_string(place.join("frames/notes.txt")).unwrap(),
        "mine"
    );
    fs::remove_file(place.join("frames/notes.txt")).unwrap();
    fs::remove_dir(place.join("frames/edit")).unwrap();
    assert_eq!(pictures(&place.join("frames")).len(), 108);
    assert_eq!(place.names(), ["bg", "frames", "speech.wav", "tiny"]);
}

#[test]
fn a_clip_whose_name_is_taken_meanwhile_is_kept() {
    let place = Place::new();
    let mut run = Watched::start(&mut long_render(&place, &["-o", "a.mp4"]));
    until_written(&mut run, &place.path);
    fs::write(place.join("a.mp4"), "somebody's work").unwrap();
    let output = run.end();
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(
        fs::read_to_string(place.join("a.mp4")).unwrap(),
        "somebody's work"
    );
    let kept = place
        .names()
        .into_iter()
        .find(|name| name.starts_with("a.kept-"))
        .unwrap();
    assert!(
        message.starts_with(&format!(
            "output `a.mp4` exists\n  Caused by: it appeared during the work; the finished output is kept as `{kept}`\n"
        )),
        "{message}"
    );
    probe(&place.join(&kept));
    // The next run takes it for nobody's leftover.
    assert!(
        watched(&mut render(&place, &["-o", "a.mp4", "-f"]))
            .status
            .success()
    );
    assert!(place.join(&kept).exists());
}

#[test]
fn a_link_is_written_through() {
    let place = Place::new();
    fs::create_dir(place.join("disk")).unwrap();
    symlink("disk/a.mp4", place.join("a.mp4")).unwrap();
    let message = the_error(&watched(&mut render(&place, &["-o", "a.mp4"])));
    assert!(message.starts_with("output `a.mp4` exists"), "{message}");
    let output = watched(&mut render(&place, &["-o", "a.mp4", "-f"]));
    assert!(output.status.success(), "{}", the_error(&output));
    assert!(place.join("a.mp4").is_symlink());
    probe(&place.join("disk/a.mp4"));
    assert_eq!(fs::read_dir(place.join("disk")).unwrap().count(), 1);
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    let place = Place::new();
    for (trap, signal, code) in [
        ("HUP", Signal::HUP, Some(0)),
        ("INT", Signal::INT, Some(0)),
        ("HUP", Signal::TERM, Some(130)),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' {trap}; exec \"$@\""), "sh", LIPSYNC]);
        shell.args(long_render(&place, &["-o", "a.mp4", "-f"]).get_args());
        let mut run = Watched::start(shell.current_dir(&place.path));
        until_written(&mut run, &place.path);
        run.signal(signal);
        let output = run.end();
        assert_eq!(
            output.status.code(),
            code,
            "{trap} ignored, {signal:?} sent"
        );
    }
}

#[test]
#[ignore = "needs the right to mount a file system"]
fn folders_that_cannot_be_renamed() {
    let place = Place::new();
    fs::create_dir(place.join("fs")).unwrap();
    // Only the shell and its children see the mounts. `old` lies in the lower layer of an overlay, `disk` is a mount point.
    let script = "unshare -m sh -c 'mount -t tmpfs none fs && cd fs || exit 77
        mkdir -p low/old up work m && echo old > low/old/000099.png
        mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work m || exit 77
        mkdir m/disk && mount -t tmpfs none m/disk && cd ..
        \"$@\" --frames fs/m/old && \"$@\" --frames fs/m/disk && \"$@\" --frames fs/m/disk || exit 1
        ls -A fs/m fs/m/old fs/m/disk | wc -w' sh \"$@\" || exit $?";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", LIPSYNC]);
    shell.args(render(&place, &["-f"]).get_args());
    let output = watched(shell.current_dir(&place.path));
    assert!(output.status.success(), "{}", the_error(&output));
    // Three headings, two folders, and five frames in each of both.
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "15");
}
