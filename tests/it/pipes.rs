//! Audio through a pipe: stdin, or a named pipe.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::sounds::{ffmpeg, streams, wav};
use crate::support::Place;

/// Runs `render -` with these bytes on stdin.
fn render(place: &Place, bytes: Vec<u8>, args: &[&str]) -> Output {
    let base = ["render", "-", "-m", "tiny", "-b", "bg"];
    let mut child = place
        .command(&[&base[..], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The program may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_clip_from_stdin_is_the_clip_from_the_file() {
    let place = Place::new();
    ffmpeg(&place, &["-i", "speech.wav", "speech.m4a"]);
    ffmpeg(&place, &["-i", "speech.wav", "speech.mp3"]);
    for (file, output, codec) in [
        ("speech.wav", "a.mp4", "aac"),
        ("speech.wav", "a.mov", "pcm_s16le"),
        ("speech.m4a", "a.mp4", "aac"),
        ("speech.mp3", "a.mkv", "mp3"),
    ] {
        let common = ["-m", "tiny", "-b", "bg", "--deterministic", "-f", "-o"];
        place.ok(&[&["render", file], &common[..], &["file.mkv"]].concat());
        fs::remove_file(place.join("file.mkv")).unwrap();
        place.ok(&[&["render", file], &common[..], &[output]].concat());
        let expected = fs::read(place.join(output)).unwrap();
        let bytes = fs::read(place.join(file)).unwrap();
        let rendered = render(&place, bytes, &["--deterministic", "-f", "-o", output]);
        assert!(rendered.status.success(), "{file}: {}", said(&rendered));
        assert!(
            fs::read(place.join(output)).unwrap() == expected,
            "{file} in {output}"
        );
        if output != "a.mkv" {
            assert_eq!(streams(&place.join(output)).0, codec);
        }
    }
}

#[test]
fn any_size_past_the_end_of_a_stream_means_until_the_end() {
    let place = Place::new();
    let samples: Vec<u8> = (0..16_000_i16).flat_map(i16::to_le_bytes).collect();
    for size in [0, u32::MAX, 0x7FFF_FFFF, 2_000_000_000, 0xFFFF_FF00, 40_000] {
        let bytes = wav(b"", (0, size), &samples, b"");
        let rendered = render(&place, bytes, &["-o", "a.mp4", "-f"]);
        assert!(rendered.status.success(), "{size:#x}: {}", said(&rendered));
        assert!(!said(&rendered).contains("warning"), "{}", said(&rendered));
        assert_eq!(streams(&place.join("a.mp4")).3, "25", "{size:#x}");
    }
}

#[test]
fn what_is_no_sound_from_stdin_is_refused() {
    let place = Place::new();
    let bytes = fs::read(place.join("speech.wav")).unwrap();
    for (bytes, args, code, why) in [
        (
            Vec::new(),
            &["-o", "a.mp4"][..],
            1,
            "nothing came through the pipe (0 bytes)",
        ),
        (
            b"hello".to_vec(),
            &["-o", "a.mp4"],
            1,
            "cannot read audio `-`",
        ),
        (
            bytes.clone(),
            &[],
            2,
            "no output is named for the audio from `-`",
        ),
        (
            bytes,
            &["-o", "a.mp4", "--part", "0/2"],
            2,
            "--part needs an audio file, not a pipe",
        ),
    ] {
        let refused = render(&place, bytes, args);
        assert_eq!(refused.status.code(), Some(code), "{why}");
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    assert!(!place.names().contains(&"a.mp4".to_owned()));
}

#[test]
fn a_named_pipe_is_read_once_and_names_the_clip() {
    let place = Place::new();
    let pipe = place.join("voice.pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let bytes = fs::read(place.join("speech.wav")).unwrap();
    let writer = thread::spawn(move || fs::write(&pipe, bytes));
    place.ok(&["render", "voice.pipe", "-m", "tiny", "-b", "bg"]);
    writer.join().unwrap().unwrap();
    assert_eq!(streams(&place.join("voice.mp4")).0, "aac");
}

#[test]
fn waiting_for_a_pipe_can_be_interrupted() {
    let place = Place::new();
    assert!(
        Command::new("mkfifo")
            .arg(place.join("never"))
            .status()
            .unwrap()
            .success()
    );
    for audio in ["never", "-"] {
        let mut child = place
            .command(&["render", audio, "-m", "tiny", "-b", "bg", "-o", "a.mp4"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        // Until the program handles signals, it would just be killed.
        thread::sleep(Duration::from_millis(500));
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{audio}");
        drop(stdin);
    }
    assert!(!place.names().iter().any(|name| name.contains("a.mp4")));
}
