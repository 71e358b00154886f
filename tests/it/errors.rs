//! Mistakes that users make: each has one clear message (a snapshot) and the right exit code, and leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::support::{LIPSYNC, Place};

/// Exit code and stderr; the folder where the command ran is written as `[here]`.
fn outcome(place: &Place, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.replace(place.path.to_str().unwrap(), "[here]");
    format!(
        "exit {}\n{}",
        output.status.code().unwrap_or(-1),
        said.trim_end()
    )
}

/// Runs a command that must fail and leave the folder as it was; returns its outcome.
pub(crate) fn refused(place: &Place, args: &[&str]) -> String {
    let before = place.names();
    let output = place.run(args);
    assert!(output.stdout.is_empty());
    assert_eq!(place.names(), before, "{args:?} left something");
    // Where the networks run differs between machines.
    let outcome = outcome(place, &output);
    let lines = outcome
        .lines()
        .filter(|line| !line.starts_with("networks run on "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The outcome of `render AUDIO` with the small networks and frames.
fn render(place: &Place, audio: &str) -> String {
    refused(place, &["render", audio, "-m", "tiny", "-b", "bg"])
}

/// The outcome of `render speech.wav` with the small networks and frames, and more arguments.
fn render_with(place: &Place, args: &[&str]) -> String {
    let base = ["render", "speech.wav", "-m", "tiny", "-b", "bg"];
    refused(place, &[&base, args].concat())
}

macro_rules! snapshot {
    ($name:expr, $value:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, $value)
        })
    };
}
pub(crate) use snapshot;

#[test]
fn sounds() {
    let place = Place::new();
    snapshot!("sound_missing", render(&place, "nowhere.wav"));
    snapshot!("sound_is_a_folder", render(&place, "bg"));
    fs::write(place.join("empty.wav"), b"").unwrap();
    snapshot!("sound_empty", render(&place, "empty.wav"));
    fs::write(
        place.join("it's text.wav"),
        b"this is not sound, but it is long enough to be looked at",
    )
    .unwrap();
    snapshot!("sound_not_wav", render(&place, "it's text.wav"));
    let whole = fs::read(place.join("speech.wav")).unwrap();
    fs::write(place.join("cut.wav"), &whole[..5044]).unwrap();
    snapshot!("sound_cut_off", render(&place, "cut.wav"));
    fs::write(place.join("header.wav"), &whole[..20]).unwrap();
    snapshot!("sound_header_cut_off", render(&place, "header.wav"));
    place.wav("none.wav", 16_000, 1, 0.0, |_, _| 0.0);
    snapshot!("sound_without_samples", render(&place, "none.wav"));
    place.wav("slow.wav", 1_000, 1, 1.0, |_, _| 0.0);
    snapshot!("sound_of_a_strange_rate", render(&place, "slow.wav"));
}

#[test]
fn backgrounds() {
    let place = Place::new();
    let with = |folder: &str| {
        refused(
            &place,
            &["render", "speech.wav", "-m", "tiny", "-b", folder],
        )
    };
    snapshot!("background_missing", with("nowhere"));
    fs::create_dir(place.join("empty")).unwrap();
    snapshot!("background_empty", with("empty"));
    fs::remove_file(place.join("bg/7.png")).unwrap();
    snapshot!("background_lacks_a_number", with("bg"));
    fs::copy(place.join("bg/6.png"), place.join("bg/7.png")).unwrap();
    fs::copy(place.join("bg/6.png"), place.join("bg/frame_7.png")).unwrap();
    snapshot!("background_has_a_number_twice", with("bg"));
    fs::rename(place.join("bg/frame_7.png"), place.join("bg/cover.png")).unwrap();
    snapshot!("background_without_a_number", with("bg"));
    fs::remove_file(place.join("bg/cover.png")).unwrap();
    place.backgrounds("other", 1, 50, 40);
    fs::copy(place.join("other/frame_0000.png"), place.join("bg/7.png")).unwrap();
    snapshot!("background_of_another_size", with("bg"));
    fs::write(place.join("bg/7.png"), b"not a picture").unwrap();
    snapshot!("background_damaged", with("bg"));
    // The header is intact, the data damaged: noticed only while the clip is being written.
    let whole = fs::read(place.join("bg/6.png")).unwrap();
    fs::write(place.join("bg/7.png"), &whole[..whole.len() / 2]).unwrap();
    snapshot!("background_damaged_inside", with("bg"));
}

#[test]
fn rectangles() {
    let place = Place::new();
    let rects = place.join("bg/crop_rects.json");
    let whole = fs::read_to_string(&rects).unwrap();
    let with = |text: &str| {
        fs::write(&rects, text).unwrap();
        render(&place, "speech.wav")
    };
    snapshot!(
        "rectangle_outside",
        with(&whole.replace("[82, 62, 286, 266]", "[182, 62, 386, 266]"))
    );
    snapshot!(
        "rectangle_inside_out",
        with(&whole.replace("[82, 62, 286, 266]", "[286, 62, 82, 266]"))
    );
    snapshot!("rectangles_too_few", with("[[80, 60, 280, 260]]"));
    snapshot!("rectangles_not_json", with("80 60 280 260"));
    snapshot!("rectangles_of_three_numbers", with("[[80, 60, 280]]"));
    fs::remove_file(&rects).unwrap();
    snapshot!("rectangles_missing", render(&place, "speech.wav"));
}

#[test]
fn models() {
    let place = Place::new();
    let with = |model: &str| {
        refused(
            &place,
            &[
                "render",
                "speech.wav",
                "-b",
                "bg",
                "--device",
                "cpu",
                "-q",
                "-m",
                model,
            ],
        )
    };
    snapshot!("model_unknown", with("grace"));
    snapshot!("model_missing", with("models/grace"));
    fs::create_dir(place.join("half")).unwrap();
    fs::copy(
        place.join("tiny/generator.onnx"),
        place.join("half/generator.onnx"),
    )
    .unwrap();
    snapshot!("model_without_audio_encoder", with("half"));
    fs::copy(
        place.join("tiny/generator.onnx"),
        place.join("half/audio_encoder.onnx"),
    )
    .unwrap();
    snapshot!("model_of_wrong_shapes", with("half"));
    fs::write(place.join("half/audio_encoder.onnx"), "not a network").unwrap();
    snapshot!("model_not_onnx", with("half"));
    fs::write(
        place.join("tiny/model.yaml"),
        "model_id: t\nfamily: wav2lip-96\n",
    )
    .unwrap();
    snapshot!("model_of_another_family", with("tiny"));
    fs::write(place.join("tiny/model.yaml"), "model_id: [t\n").unwrap();
    snapshot!("model_yaml_broken", with("tiny"));
    fs::write(
        place.join("tiny/model.yaml"),
        "model_id: t\nfamliy: synctalk-328\n",
    )
    .unwrap();
    snapshot!("model_yaml_unknown_key", with("tiny"));
}

#[test]
fn outputs() {
    let place = Place::new();
    let with = |args: &[&str]| render_with(&place, args);
    snapshot!("output_folder_missing", with(&["-o", "no/such/clip.mp4"]));
    fs::write(place.join("taken.mp4"), "somebody's work").unwrap();
    snapshot!("output_exists", with(&["-o", "taken.mp4"]));
    assert_eq!(
        fs::read_to_string(place.join("taken.mp4")).unwrap(),
        "somebody's work"
    );
    snapshot!("output_is_a_folder", with(&["-o", "bg"]));
    snapshot!("output_of_another_kind", with(&["-o", "clip.avi"]));
    snapshot!(
        "output_would_replace_frames_of_others",
        with(&["--frames", "tiny", "--force"])
    );
    fs::rename(place.join("speech.wav"), place.join("speech.mp4")).unwrap();
    let itself = refused(
        &place,
        &["render", "speech.mp4", "-m", "tiny", "-b", "bg", "--force"],
    );
    snapshot!("output_is_the_sound", itself);
}

/// Names with bytes that are not UTF-8 work everywhere: as inputs, outputs and folders, and for the current folder.
#[test]
fn names_that_are_not_utf_8() {
    let place = Place::new();
    let odd = |name: &[u8]| OsStr::from_bytes(name).to_owned();
    let folder = place.path.join(odd(b"n\xff"));
    fs::create_dir(&folder).unwrap();
    for name in ["bg", "tiny", "speech.wav"] {
        fs::rename(place.join(name), folder.join(name)).unwrap();
    }
    let (sound, clip) = (odd(b"s\xe9:%d.wav"), odd(b"s\xe9:%d.mp4"));
    fs::rename(folder.join("speech.wav"), folder.join(&sound)).unwrap();
    let ok = |args: &[&str], paths: &[&OsStr]| {
        let mut command = place.command(args);
        let output = command.args(paths).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let base = ["render", "-q", "-m", "tiny", "-b", "bg", "--limit", "0.4"];
    ok(&base, &[&sound]);
    assert!(folder.join(&clip).is_file());
    let more = [&base[..], &["--part", "0/1", "--report"]].concat();
    let (report, part) = (odd(b"r\xff.json"), odd(b"s\xe9:%d.part0-of-1.mp4"));
    ok(&more, &[&report, &sound]);
    ok(
        &["join", "-q"],
        &[
            &part,
            OsStr::new("--audio"),
            &sound,
            OsStr::new("-o"),
            &odd(b"j\xff.mkv"),
        ],
    );
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join(report)).unwrap()).unwrap();
    assert_eq!(report["input"]["path"], "s\u{fffd}:%d.wav", "{report}");
    let frames = [&base[..], &["--frames"]].concat();
    ok(
        &frames,
        &[
            &odd(b"f\xff"),
            &sound,
            OsStr::new("--contact-sheet"),
            &odd(b"c\xff.png"),
        ],
    );
    assert!(ok(&["inspect"], &[&clip]).starts_with("video `s\u{fffd}:%d.mp4`"));
    assert!(ok(&["inspect", "--json"], &[&sound]).contains("\"sound\""));
    ok(&["compare"], &[&clip, &part]);
    let of_video = [
        "render",
        "-q",
        "-m",
        "tiny",
        "--crop-rects",
        "v.json",
        "--limit",
        "0.2",
        "-o",
        "v.mp4",
        "-b",
    ];
    let rects = ["[100, 100, 200, 200]"; 10].join(",");
    fs::write(folder.join("v.json"), format!("[{rects}]")).unwrap();
    ok(&of_video, &[&clip, &sound]);
    ok(
        &["batch", "-q", "-m", "tiny", "-b", "bg", "-o"],
        &[&odd(b"o\xff"), &sound],
    );
    assert!(folder.join(odd(b"o\xff")).join(&clip).is_file());
}

#[test]
fn a_read_only_folder() {
    let place = Place::new();
    let folder = place.join("sealed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = place.command(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "-o",
        "sealed/clip.mp4",
    ]);
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root: run as `nobody`, with a copy of the program that `nobody` may run.
        for path in [place.path.parent().unwrap(), &place.path] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(LIPSYNC, place.join("lipsync")).unwrap();
        command = Command::new(place.join("lipsync"));
        command.args([
            "render",
            "speech.wav",
            "-m",
            "tiny",
            "-b",
            "bg",
            "-o",
            "sealed/clip.mp4",
        ]);
        command.current_dir(&place.path).uid(65_534).gid(65_534);
    }
    snapshot!(
        "output_folder_read_only",
        outcome(&place, &command.output().unwrap())
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn usage() {
    let place = Place::new();
    let with = |args: &[&str]| render_with(&place, args);
    snapshot!("usage_start_frame", with(&["--start-frame", "12"]));
    snapshot!("usage_limit", with(&["--limit", "0"]));
    snapshot!("usage_batch", with(&["--batch", "0"]));
    snapshot!("usage_device", with(&["--device", "gpu"]));
    snapshot!("usage_order", with(&["--order", "random"]));
    snapshot!("usage_two_outputs", with(&["-o", "a.mp4", "--frames", "b"]));
    let nothing = refused(&place, &["render", "speech.wav", "-m", "tiny"]);
    snapshot!("usage_no_background", nothing);
    snapshot!("usage_no_such_command", refused(&place, &["rander"]));
    #[cfg(not(feature = "credentials"))]
    snapshot!(
        "usage_credentials",
        with(&["--credentials", "me.pem", "--key", "me.key"])
    );
}

#[test]
fn variables() {
    let place = Place::new();
    let outcome = |variable: &str, value: &str| {
        let args = [
            "render",
            "speech.wav",
            "-m",
            "tiny",
            "-b",
            "bg",
            "-o",
            "c.mp4",
            "--dry-run",
        ];
        let mut command = place.command(&args);
        if variable == "LIPSYNC_MODEL" {
            command = place.command(&["render", "speech.wav", "-b", "bg", "-o", "c.mp4"]);
        }
        let outcome = outcome(&place, &command.env(variable, value).output().unwrap());
        let lines = outcome
            .lines()
            .filter(|line| !line.starts_with("networks run on "));
        lines.collect::<Vec<_>>().join("\n")
    };
    for empty in [
        "CODEC", "CRF", "FPS", "COLOR", "PROGRESS", "DEVICE", "THREADS", "NO_MARK", "HOME",
        "CONFIG",
    ] {
        assert_eq!(outcome(&format!("LIPSYNC_{empty}"), ""), "exit 0");
    }
    for empty in ["ORT_DYLIB_PATH", "TMPDIR", "XDG_CACHE_HOME", "NO_COLOR"] {
        assert_eq!(outcome(empty, ""), "exit 0", "{empty}");
    }
    let wrong = [
        ("LIPSYNC_CRF", "high"),
        ("LIPSYNC_CRF", "99"),
        ("LIPSYNC_PRESET", "hasty"),
        ("LIPSYNC_PROGRESS", "none of these"),
        ("LIPSYNC_AUDIO_BITRATE", "1000"),
        ("LIPSYNC_START_FRAME", "12"),
        ("LIPSYNC_MODEL", "nobody"),
        ("LIPSYNC_CODEX", "h265"),
        ("LIPSYNC_SERVICE_PORT", "80"),
    ];
    let told = wrong.map(|(name, value)| format!("{name}={value}: {}", outcome(name, value)));
    snapshot!("variables", told.join("\n\n"));
    fs::write(place.join("lipsync.yaml"), "output:\n  crf: 60\n").unwrap();
    snapshot!("value_of_the_file", render_with(&place, &[]));
}

#[test]
fn the_machine() {
    let place = Place::new();
    let args = ["render", "speech.wav", "-m", "tiny", "-b", "bg", "-q"];
    let with = |variable: &str, value: &str| {
        let output = place.command(&args).env(variable, value).output().unwrap();
        outcome(&place, &output)
    };
    snapshot!("runtime_missing", with("ORT_DYLIB_PATH", "nowhere.so"));
    fs::write(place.join("text.so"), "not a library").unwrap();
    snapshot!("runtime_not_a_library", with("ORT_DYLIB_PATH", "text.so"));
    let bundled = place
        .command(&["render", "-q"])
        .env("LIPSYNC_HOME", "bg")
        .output()
        .unwrap();
    snapshot!("home_is_not_one", outcome(&place, &bundled));
    let alone = place.join("lipsync");
    fs::copy(LIPSYNC, &alone).unwrap();
    let alone = |args: &[&str]| {
        outcome(
            &place,
            &Command::new(&alone)
                .args(args)
                .current_dir(&place.path)
                .output()
                .unwrap(),
        )
    };
    snapshot!("home_not_found", alone(&["render", "-q"]));
    snapshot!("runtime_not_found", alone(&args));
    let cuda = [&args[..], &["--device", "cuda"]].concat();
    snapshot!("cuda_not_available", refused(&place, &cuda));
}

#[test]
#[cfg_attr(feature = "credentials", ignore = "the help has two more options")]
fn help() {
    let place = Place::new();
    for (name, args) in [
        ("help", &["--help"][..]),
        ("help_batch", &["batch", "--help"]),
        ("help_bench", &["bench", "--help"]),
        ("help_render", &["render", "--help"]),
    ] {
        let output = place.run(args);
        assert!(output.status.success());
        snapshot!(name, String::from_utf8_lossy(&output.stdout));
    }
}
