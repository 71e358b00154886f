//! Runs that are killed, full disks, and files that change while they are in use: an output is complete or missing, one
//! error says why, and nothing hangs.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{LIPSYNC, Place, probe};
use crate::watchdog::{Watched, ended, the_error, watched};

/// How many times each signal is sent.
const MOMENTS: u64 = 20;

/// A place with four small frames in `small/` and `talk.wav` of `seconds`.
fn place(seconds: f64) -> Place {
    let place = Place::new();
    place.backgrounds("small", 4, 64, 64);
    talk(&place, seconds);
    place
}

fn talk(place: &Place, seconds: f64) {
    place.wav("talk.wav", 16_000, 1, seconds, |_, t| {
        (t * 700.0).sin() * (t * 9.0).sin() * 0.4
    });
}

/// `render talk.wav` on the CPU over `small/`, with more arguments.
fn render(place: &Place, args: &[&str]) -> Command {
    render_over(place, "small", args)
}

fn render_over(place: &Place, backgrounds: &str, args: &[&str]) -> Command {
    let base = [
        "render", "talk.wav", "-m", "tiny", "--device", "cpu", "-q", "-b",
    ];
    place.command(&[&base[..], &[backgrounds], args].concat())
}

/// A shell that runs `script`, whose `"$@"` is `render`.
fn shell(script: &str, render: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]);
    command.arg(LIPSYNC).args(render.get_args());
    command.current_dir(render.get_current_dir().unwrap());
    for variable in ["LIPSYNC_HOME", "ORT_DYLIB_PATH"] {
        command.env_remove(variable);
    }
    command
}

/// Unfinished outputs in a folder.
fn staged_outputs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.to_str().unwrap().contains(".part"))
        .collect()
}

/// Waits until an unfinished output in `folder` is not empty any more.
fn until_written(run: &mut Watched, folder: &Path) -> PathBuf {
    let written = || {
        staged_outputs(folder).into_iter().find(|staged| {
            if staged.is_dir() {
                fs::read_dir(staged).is_ok_and(|mut entries| entries.next().is_some())
            } else {
                staged.metadata().is_ok_and(|about| about.len() > 0)
            }
        })
    };
    run.until("it wrote something", || written().is_some());
    written().unwrap()
}

/// The outputs to test, with their arguments.
const OUTPUTS: [(&str, &[&str]); 3] = [
    ("out/clip.mp4", &["-o", "out/clip.mp4"]),
    ("out/clip.mkv", &["-o", "out/clip.mkv"]),
    ("out/frames", &["--frames", "out/frames"]),
];

/// The number of frames of an output; none if it does not exist. Fails if it is incomplete.
fn frames_of(path: &Path) -> Option<u64> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries.for_each(|entry| drop(image::open(entry.unwrap().path()).unwrap()));
        return Some(fs::read_dir(path).unwrap().count() as u64);
    }
    path.exists().then(|| {
        probe(path);
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v", "-count_frames"])
            .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
            .arg(path)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{} is damaged", path.display());
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().trim_end_matches(',').parse().unwrap()
    })
}

/// Pseudo-random numbers, 0..1, the same on every run (Knuth's MMIX generator).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Kills runs at random moments, and checks what they leave.
fn kill_at_random(signal: Signal, seed: u64) {
    let place = place(3.0);
    fs::create_dir(place.join("out")).unwrap();
    let duration = OUTPUTS.map(|(name, args)| {
        let started = Instant::now();
        let output = watched(&mut render(&place, args));
        assert!(output.status.success(), "{}", the_error(&output));
        let duration = started.elapsed();
        assert_eq!(frames_of(&place.join(name)), Some(75));
        duration
    });
    let (mut moments, mut ends, mut slowest) = (Moments(seed), Vec::new(), Duration::ZERO);
    for round in 0..MOMENTS {
        let which = round as usize % OUTPUTS.len();
        let (name, args) = OUTPUTS[which];
        let path = place.join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        let mut run = Watched::start(&mut render(&place, args));
        // The first at once, the others at any moment.
        let wait = duration[which].mul_f64(if round == 0 { 0.0 } else { moments.next() });
        let until = Instant::now() + wait;
        while Instant::now() < until && run.is_running() {
            thread::sleep(Duration::from_millis(1));
        }
        let (running, hit) = (run.is_running(), Instant::now());
        if running {
            run.signal(signal);
        }
        let output = run.end();
        slowest = slowest.max(hit.elapsed());
        let frames = frames_of(&path);
        ends.push(format!("{} {frames:?}", ended(&output)));
        match (output.status.code(), output.status.signal()) {
            // It was finished, or had just committed the output.
            (Some(0), _) => assert_eq!(frames, Some(75), "{name}"),
            (Some(130), _) if signal != Signal::KILL => {
                assert_eq!(the_error(&output), "interrupted");
                assert_eq!(frames, None, "{name}");
            }
            // Killed by the signal itself: before the program had its handler, or because there is none for SIGKILL.
            (None, Some(number)) if number == signal.as_raw() => {
                assert!(matches!(frames, None | Some(75)), "{name}: {frames:?}");
                if signal != Signal::KILL {
                    assert_eq!(frames, None, "{name}");
                }
            }
            _ => panic!("{name}: {} {:?}", ended(&output), output.stderr),
        }
        if signal != Signal::KILL {
            assert_eq!(
                staged_outputs(&place.join("out")),
                [] as [PathBuf; 0],
                "{name}"
            );
        }
    }
    println!("{signal:?}: ended within {slowest:?}; {ends:?}");
    assert!(
        ends.iter().any(|how| !how.starts_with("exit 0")),
        "no run was hit: {ends:?}"
    );
    // The next run removes what killed runs left.
    for (name, args) in OUTPUTS {
        let output = watched(&mut render(&place, &[args, &["--force"]].concat()));
        assert!(output.status.success(), "{}", the_error(&output));
        assert_eq!(frames_of(&place.join(name)), Some(75));
    }
    assert_eq!(staged_outputs(&place.join("out")), [] as [PathBuf; 0]);
}

#[test]
fn interrupted_at_any_moment() {
    kill_at_random(Signal::INT, 1);
}

#[test]
fn terminated_at_any_moment() {
    kill_at_random(Signal::TERM, 2);
}

#[test]
fn killed_at_any_moment() {
    kill_at_random(Signal::KILL, 3);
}

#[test]
fn killed_while_frames_are_replaced() {
    let place = place(1.0);
    let args = ["--frames", "frames", "--force"];
    assert!(watched(&mut render(&place, &args)).status.success());
    let mut moments = Moments(4);
    for _ in 0..10 {
        let mut run = Watched::start(&mut render(&place, &args));
        let staged = until_written(&mut run, &place.path);
        let count = |path: &Path| fs::read_dir(path).map_or(0, Iterator::count);
        // The last frames, the rename, the removal of the old folder.
        let at = 20 + (moments.next() * 6.0) as usize;
        while run.is_running() && staged.exists() && count(&staged) < at {
            thread::yield_now();
        }
        run.signal(Signal::KILL);
        run.end();
        assert_eq!(frames_of(&place.join("frames")), Some(25));
    }
    assert!(watched(&mut render(&place, &args)).status.success());
    assert_eq!(staged_outputs(&place.path), [] as [PathBuf; 0]);
}

#[test]
fn a_second_signal_ends_a_run_that_is_stuck() {
    let place = place(60.0);
    // Nobody reads what it writes to stdout.
    let mut child = render(&place, &["-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let pipe = child.stdout.take().unwrap();
    // A pipe holds 64 KiB.
    while rustix::io::ioctl_fionread(&pipe).unwrap() < 60_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(started.elapsed().as_secs() < 120, "it writes nothing");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    let signal = || rustix::process::kill_process(pid, Signal::INT).unwrap();
    signal();
    thread::sleep(Duration::from_millis(500));
    let was_stuck = child.try_wait().unwrap().is_none();
    let hit = Instant::now();
    signal();
    while child.try_wait().unwrap().is_none() {
        if hit.elapsed().as_secs() > 60 {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(2));
    }
    println!("ended {:?} after the second signal", hit.elapsed());
    assert!(was_stuck, "the first signal was enough");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(pipe);
    assert_eq!(
        place.names(),
        ["bg", "small", "speech.wav", "talk.wav", "tiny"]
    );
}

/// Renders `args` with a limit on file sizes, like a full disk or quota; returns the error.
fn full(place: &Place, args: &[&str], blocks: u32) -> String {
    let script = format!("ulimit -f {blocks} && exec \"$@\"");
    let before = place.names();
    let output = watched(&mut shell(&script, &render(place, args)));
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(4), "{args:?}: {message}");
    assert!(
        message.contains("bytes per file (`ulimit -f`)\nhint: raise it"),
        "{args:?}: {message}"
    );
    assert_eq!(place.names(), before, "{args:?}");
    message
}

#[test]
fn files_that_may_not_grow_as_large() {
    let place = place(20.0);
    // Blocks of 512 bytes.
    for name in ["clip.mp4", "clip.mov", "clip.mkv", "clip.webm"] {
        let message = full(&place, &["-o", name], 40);
        assert!(
            message.starts_with(&format!("cannot write `{name}`")),
            "{message}"
        );
    }
    let message = full(&place, &["--frames", "frames"], 1);
    assert!(message.starts_with("cannot write `frames`"), "{message}");
    let message = full(&place, &["--contact-sheet", "sheet.png"], 8);
    assert!(message.starts_with("cannot write `sheet.png`"), "{message}");
    // Frames that are smaller than the report on them.
    place.backgrounds("dots", 2, 8, 8);
    let args = [
        "--frames",
        "frames",
        "--no-mark",
        "--limit",
        "0.1",
        "--report",
        "r.json",
    ];
    let script = "ulimit -f 1 && exec \"$@\"";
    let output = watched(&mut shell(script, &render_over(&place, "dots", &args)));
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.starts_with("cannot write `r.json`"), "{message}");
    assert!(!place.join("r.json").exists() && staged_outputs(&place.path).is_empty());
    assert_eq!(frames_of(&place.join("frames")), Some(3));
}

#[test]
fn a_sound_that_is_copied_to_a_full_disk() {
    let place = place(20.0);
    // Packets are copied, many at a time.
    for name in ["talk.m4a", "talk.mp3"] {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-i", "talk.wav", "-b:a", "320k", name])
            .current_dir(&place.path)
            .status();
        assert!(status.unwrap().success());
        for blocks in [2, 20, 80] {
            let script = format!("ulimit -f {blocks} && exec \"$@\"");
            let render = swap(&render(&place, &["-o", "clip.mp4"]), "talk.wav", name);
            let output = watched(&mut shell(&script, &render));
            let message = the_error(&output);
            assert_eq!(output.status.code(), Some(4), "{message}");
            assert!(message.starts_with("cannot write `clip.mp4`"), "{message}");
            assert!(!place.join("clip.mp4").exists() && staged_outputs(&place.path).is_empty());
        }
    }
}

/// The same command with one argument for another.
fn swap(command: &Command, from: &str, to: &str) -> Command {
    let mut other = Command::new(command.get_program());
    let args = command.get_args();
    other.args(args.map(|arg| if arg == from { to.as_ref() } else { arg }));
    other.current_dir(command.get_current_dir().unwrap());
    other
}

#[test]
#[ignore = "needs the right to mount a file system"]
fn a_small_disk() {
    let place = place(20.0);
    fs::create_dir(place.join("disk")).unwrap();
    for (name, args) in [
        ("disk/clip.mp4", &["-o", "disk/clip.mp4"][..]),
        ("disk/clip.mkv", &["-o", "disk/clip.mkv"]),
        ("disk/frames", &["--frames", "disk/frames"]),
        ("disk/sheet.png", &["--contact-sheet", "disk/sheet.png"]),
    ] {
        // Only the shell and its children see the mount, and it disappears with them.
        let script = "unshare -m sh -c 'mount -t tmpfs -o size=32k none disk || exit 77
            \"$@\"; code=$?; ls -A disk; exit $code' sh \"$@\" || exit $?";
        let output = watched(&mut shell(script, &render(&place, args)));
        assert_eq!(output.status.code(), Some(4), "{name}: {}", stderr(&output));
        let message = the_error(&output);
        assert!(
            message.starts_with(&format!("cannot write `{name}`"))
                && message.contains("no space left on device\n\nhint: free space"),
            "{message}"
        );
        assert!(output.stdout.is_empty(), "{name} leaves something behind");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_full_stdout() {
    let place = place(2.0);
    for args in [&["-o", "-"][..], &["--dry-run"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = render(&place, args).stdout(full).output().unwrap();
        let message = the_error(&output);
        assert_eq!(output.status.code(), Some(4), "{message}");
        assert!(
            message.starts_with("cannot write to stdout\n  Caused by: no space left on device"),
            "{message}"
        );
    }
}

/// Starts a long render into `out/`, runs `harm` once it writes, and returns its error.
fn harmed(place: &Place, render: &mut Command, harm: impl FnOnce(&Path)) -> String {
    let out = place.join("out");
    fs::create_dir(&out).unwrap();
    let mut run = Watched::start(render);
    let staged = until_written(&mut run, &out);
    assert!(run.is_running());
    harm(&staged);
    let output = run.end();
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    if out.exists() {
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{message}");
        fs::remove_dir(&out).unwrap();
    }
    message
}

/// Removes a path atomically, even while something writes into it.
fn take_away(path: &Path) {
    let away = path.with_file_name("away");
    fs::rename(path, &away).unwrap();
    let _ = fs::remove_file(&away).or_else(|_| fs::remove_dir_all(&away));
}

#[test]
fn a_part_that_is_removed() {
    let place = place(20.0);
    for (name, args) in OUTPUTS {
        let message = harmed(&place, &mut render(&place, args), |staged| {
            // Out of the folder, as a cleanup script would.
            let away = place.join("away");
            fs::rename(staged, &away).unwrap();
        });
        let _ = fs::remove_file(place.join("away"));
        let _ = fs::remove_dir_all(place.join("away"));
        assert!(
            message.starts_with(&format!("cannot write `{name}`\n"))
                && message.contains("was removed by another program"),
            "{message}"
        );
        let message = harmed(&place, &mut render(&place, args), |_| {
            take_away(&place.join("out"));
        });
        assert!(
            message.starts_with(&format!("cannot write `{name}`\n")),
            "{message}"
        );
        assert!(!place.join("out").exists());
    }
}

#[test]
fn background_frames_that_change() {
    let place = place(60.0);
    place.backgrounds("other", 1, 32, 32);
    place.backgrounds("many", 40, 64, 64);
    let frame = place.join("many/frame_0030.png");
    let whole = fs::read(&frame).unwrap();
    let other = fs::read(place.join("other/frame_0000.png")).unwrap();
    // Nothing is cached: each frame is read again and again.
    let args = ["--memory-limit", "0.001", "-o", "out/clip.mp4"];
    let with = |harm: &dyn Fn()| {
        fs::write(&frame, &whole).unwrap();
        harmed(&place, &mut render_over(&place, "many", &args), |_| harm())
    };
    let message = with(&|| fs::remove_file(&frame).unwrap());
    assert!(
        message.starts_with(
            "cannot read background frame `many/frame_0030.png`\n  Caused by: no such file"
        ),
        "{message}"
    );
    let message = with(&|| fs::write(&frame, &whole[..whole.len() / 2]).unwrap());
    assert!(
        message.starts_with("cannot read background frame `many/frame_0030.png`"),
        "{message}"
    );
    let message = with(&|| fs::write(&frame, b"").unwrap());
    assert!(
        message.starts_with("cannot read background frame `many/frame_0030.png`"),
        "{message}"
    );
    let message = with(&|| fs::write(&frame, &other).unwrap());
    assert!(
        message.starts_with("background frame `many/frame_0030.png` changed while it was in use"),
        "{message}"
    );
    let message = with(&|| fs::remove_dir_all(place.join("many")).unwrap());
    assert!(
        message.starts_with("cannot read background frame `many/"),
        "{message}"
    );
}

#[test]
fn sounds_that_are_cut_while_they_are_read() {
    let place = place(60.0);
    for name in ["talk.flac", "talk.m4a"] {
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-i", "talk.wav", name])
            .current_dir(&place.path)
            .status();
        assert!(status.unwrap().success());
    }
    for name in ["talk.wav", "talk.flac", "talk.m4a"] {
        let whole = fs::read(place.join(name)).unwrap();
        fs::create_dir(place.join("out")).unwrap();
        let mut command = swap(&render(&place, &["-o", "out/c.mp4"]), "talk.wav", name);
        let mut run = Watched::start(&mut command);
        until_written(&mut run, &place.join("out"));
        let file = OpenOptions::new().write(true).open(place.join(name));
        file.unwrap().set_len(whole.len() as u64 / 2).unwrap();
        let output = run.end();
        let message = the_error(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.starts_with(&format!("cannot read audio `{name}`\n  Caused by: ")),
            "{message}"
        );
        // Which of the two depends on whether it is opened again or read at that moment.
        let is_named = message.contains("the file became shorter while it was being read")
            || message.contains("the file ends after");
        assert!(is_named || name != "talk.wav", "{message}");
        assert_eq!(fs::read_dir(place.join("out")).unwrap().count(), 0);
        fs::remove_dir(place.join("out")).unwrap();
    }
}

#[test]
fn networks_that_are_cut_or_swapped() {
    let place = place(0.2);
    let (generator, encoder) = (
        place.join("tiny/generator.onnx"),
        place.join("tiny/audio_encoder.onnx"),
    );
    let before = place.names();
    let refused = || {
        let output = watched(&mut render(&place, &[]));
        let message = the_error(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_eq!(place.names(), before);
        message
    };
    for file in [&generator, &encoder] {
        let whole = fs::read(file).unwrap();
        for eighth in 0..8 {
            fs::write(file, &whole[..whole.len() * eighth / 8]).unwrap();
            let message = refused();
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(message.contains(&format!("`tiny/{name}`")), "{message}");
        }
        fs::write(file, whole).unwrap();
    }
    fs::rename(&generator, place.join("tiny/kept.onnx")).unwrap();
    symlink("audio_encoder.onnx", &generator).unwrap();
    let message = refused();
    assert!(
        message.starts_with("`tiny/generator.onnx` cannot serve as generator"),
        "{message}"
    );
}

#[test]
fn a_pipe_is_no_sound() {
    let place = place(0.2);
    let status = Command::new("mkfifo").arg(place.join("pipe.wav")).status();
    assert!(status.unwrap().success());
    // Nobody writes into it: opening it would hang.
    let message = |name| {
        let output = watched(&mut swap(
            &render(&place, &["-o", "c.mp4"]),
            "talk.wav",
            name,
        ));
        assert_eq!(output.status.code(), Some(1));
        the_error(&output)
    };
    for name in ["pipe.wav", "/dev/zero"] {
        let message = message(name);
        assert!(
            message.starts_with(&format!(
                "cannot read audio `{name}`\n  Caused by: it is a pipe or a device"
            )),
            "{message}"
        );
    }
}

/// `render` of a short clip after `script`, which sets a limit; returns exit code and error.
fn limited(place: &Place, limit: &str) -> (Option<i32>, String) {
    let script = format!("ulimit {limit} && exec \"$@\"");
    let output = watched(&mut shell(&script, &render(place, &["-o", "clip.mp4"])));
    assert!(!place.join("clip.mp4").exists());
    (output.status.code(), the_error(&output))
}

#[test]
fn a_limit_that_is_reached_is_named() {
    let place = place(0.2);
    let (code, message) = limited(&place, "-n 6");
    assert_eq!(code, Some(4), "{message}");
    assert!(
        message.contains("too many open files")
            && message.contains("the limit is 6 open files (`ulimit -n`)")
            && message.contains("hint: raise it with `ulimit -n"),
        "{message}"
    );
    // Too little for FFmpeg's libraries.
    let (code, message) = limited(&place, "-v 200000");
    assert_eq!(code, Some(4), "{message}");
    assert!(
        message.contains("the limit is 204 MB of address space (`ulimit -v`)")
            && message.contains("hint: raise it with `ulimit -v unlimited`"),
        "{message}"
    );
}

#[test]
fn a_limit_on_threads_is_named() {
    let place = place(0.2);
    let out = place.join("out");
    fs::create_dir(&out).unwrap();
    let mut program = PathBuf::from(LIPSYNC);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // The limit does not bind root: run as another user, with a copy of the program that the user may run.
        program = place.join("lipsync");
        fs::copy(LIPSYNC, &program).unwrap();
        for path in [place.path.parent().unwrap(), &place.path] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let render = render(&place, &["-o", "out/clip.mp4"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -u 1 && exec \"$@\"", "sh"]);
    command.arg(program).args(render.get_args());
    command.current_dir(&place.path);
    if is_root {
        command.uid(65_533).gid(65_533);
    }
    let output = watched(&mut command);
    let message = the_error(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(
        message.starts_with("cannot start a thread\n  Caused by: resource temporarily unavailable")
            && message.contains("1 threads of this user (`ulimit -u`)"),
        "{message}"
    );
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}
