//! Sounds of all kinds: their clip lasts as long, and what is heard stays where it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use lipsync::audio::Sound;

use crate::support::{Place, probe};

/// When the click sounds, in seconds.
const CLICK: f64 = 1.5;

/// Runs the ffmpeg program in the place.
fn ffmpeg(place: &Place, args: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .current_dir(&place.path)
        .status()
        .unwrap();
    assert!(status.success(), "ffmpeg {args:?}");
}

/// Silence of 3 s with a click in it, in `click.wav`.
fn click(place: &Place) {
    place.wav("click.wav", 44_100, 1, 3.0, |_, t| {
        if (CLICK..CLICK + 0.002).contains(&t) {
            0.9
        } else {
            0.0
        }
    });
}

/// The time of the loudest sample, in seconds.
fn loudest(samples: &[f32], rate: f64) -> f64 {
    let by_level = |a: &(usize, &f32), b: &(usize, &f32)| a.1.abs().total_cmp(&b.1.abs());
    samples.iter().enumerate().max_by(by_level).unwrap().0 as f64 / rate
}

/// What the networks hear of a file, at 16 kHz.
fn heard(path: &Path) -> Vec<f32> {
    let mut reader = Sound::open(path, None).unwrap().speech().unwrap();
    let mut samples = Vec::new();
    while reader.read(&mut samples).unwrap() {}
    samples
}

/// A clip's sound as the ffmpeg program decodes it, mono at 48 kHz.
fn decoded(place: &Place, clip: &str) -> Vec<f32> {
    let args = ["-v", "error", "-i", clip, "-vn", "-ac", "1", "-ar", "48000"];
    let output = Command::new("ffmpeg")
        .args(args)
        .args(["-f", "f32le", "-"])
        .current_dir(&place.path)
        .output()
        .unwrap();
    let samples = output.stdout.as_chunks().0.iter();
    samples.map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Name of the codec, rate and seconds of the clip's sound; frames of its video.
fn streams(clip: &Path) -> (String, String, f64, String) {
    let probed = probe(clip);
    let streams = probed["streams"].as_array().unwrap();
    let find = |kind| streams.iter().find(|s| s["codec_type"] == kind).unwrap();
    let (audio, video) = (find("audio"), find("video"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (
        text(&audio["codec_name"]),
        text(&audio["sample_rate"]),
        text(&audio["duration"]).parse().unwrap(),
        text(&video["nb_frames"]),
    )
}

/// Renders a file with a click and looks where the click is for the networks and in the clip.
fn click_stays(place: &Place, file: &str, codec: &str) {
    let samples = heard(&place.join(file));
    let at = loudest(&samples, 16_000.0);
    assert!((at - CLICK).abs() < 0.005, "{file}: heard at {at}");
    let lasts = samples.len() as f64 / 16_000.0;
    assert!((lasts - 3.0).abs() < 0.03, "{file}: heard for {lasts} s");
    place.ok(&[
        "render", file, "-m", "tiny", "-b", "bg", "-o", "clip.mp4", "-f",
    ]);
    let at = loudest(&decoded(place, "clip.mp4"), 48_000.0);
    assert!((at - CLICK).abs() < 0.005, "{file}: in the clip at {at}");
    let (name, _, seconds, frames) = streams(&place.join("clip.mp4"));
    assert_eq!(name, codec, "{file}");
    assert!(
        (seconds - lasts).abs() < 0.001,
        "{file}: {seconds} s of {lasts}"
    );
    assert_eq!(frames, format!("{}", (lasts * 25.0).ceil()), "{file}");
}

#[test]
fn a_click_stays_where_it_was() {
    let place = Place::new();
    click(&place);
    for (file, args, codec) in [
        ("a.mp3", &["-c:a", "libmp3lame"][..], "mp3"),
        ("a.m4a", &["-c:a", "aac"], "aac"),
        ("alac.m4a", &["-c:a", "alac"], "alac"),
        ("a.flac", &["-c:a", "flac"], "aac"),
        ("a.ogg", &["-c:a", "libvorbis"], "aac"),
        ("a.opus", &["-c:a", "libopus"], "opus"),
        ("a.mka", &["-c:a", "libopus"], "opus"),
        ("a.aiff", &[], "aac"),
    ] {
        ffmpeg(&place, &[&["-i", "click.wav"], args, &[file]].concat());
        click_stays(&place, file, codec);
    }
    click_stays(&place, "click.wav", "aac");
}

#[test]
fn the_sound_of_a_video_stays_with_its_pictures() {
    let place = Place::new();
    click(&place);
    let pictures = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=3"];
    for (file, args, codec) in [
        ("a.mp4", &["-c:v", "libx264", "-c:a", "aac"][..], "aac"),
        ("a.mov", &["-c:v", "libx264", "-c:a", "pcm_s24be"], "aac"),
        ("a.mkv", &["-c:v", "libx264", "-c:a", "libopus"], "opus"),
        ("a.webm", &["-c:v", "libvpx", "-c:a", "libvorbis"], "aac"),
        ("a.avi", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"], "aac"),
    ] {
        let inputs = [&pictures[..], &["-i", "click.wav"]].concat();
        ffmpeg(&place, &[&inputs, args, &[file]].concat());
        click_stays(&place, file, codec);
    }
    // The same sound, begun half a second after the pictures: the click is heard half a second later.
    let late = [
        "-itsoffset",
        "0.5",
        "-i",
        "click.wav",
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
    ];
    ffmpeg(&place, &[&pictures[..], &late, &["late.mp4"]].concat());
    let samples = heard(&place.join("late.mp4"));
    let at = loudest(&samples, 16_000.0);
    assert!((at - CLICK - 0.5).abs() < 0.005, "heard at {at}");
    assert!((samples.len() as f64 / 16_000.0 - 3.5).abs() < 0.03);
}

#[test]
fn a_pause_in_the_time_stamps_is_silence() {
    let place = Place::new();
    click(&place);
    // Half a second is taken out after the first; what follows keeps its time.
    let gap = "aselect='not(between(t,0.5,1))'";
    let args = ["-i", "click.wav", "-af", gap, "-c:a", "flac", "gap.mka"];
    ffmpeg(&place, &args);
    click_stays(&place, "gap.mka", "aac");
}
