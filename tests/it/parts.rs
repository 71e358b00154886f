//! Parts of a clip, rendered separately and joined: byte-identical to the whole clip, playable on their own, with clear
//! errors.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::errors::{refused, snapshot};
use crate::support::{Place, assert_fits, probe};

/// A place with speech-like audio of `seconds` (with pauses) and small frames.
fn place(seconds: f64) -> Place {
    let place = Place::new();
    place.wav("talk.wav", 16_000, 1, seconds, |_, t| {
        let loud = (TAU * 1.5 * t).sin().max(0.0) * f64::from(u8::from(t % 5.0 < 4.0));
        (TAU * 180.0 * t + 3.0 * (TAU * 0.7 * t).sin()).sin() * loud * 0.6
    });
    place.backgrounds("small", 7, 64, 64);
    place
}

/// Renders the talk with the small networks, deterministically.
fn render(place: &Place, args: &[&str]) -> String {
    let base = [
        "render",
        "talk.wav",
        "-m",
        "tiny",
        "-b",
        "small",
        "--deterministic",
    ];
    place.ok(&[&base, args].concat())
}

/// Renders `of` parts and returns their names.
fn parts(place: &Place, of: u64, extension: &str, args: &[&str]) -> Vec<String> {
    let rendered = (0..of).map(|k| {
        render(place, &[&["--part", &format!("{k}/{of}")], args].concat());
        format!("talk.part{k}-of-{of}.{extension}")
    });
    rendered.collect()
}

/// Joins parts, given in reverse order.
fn join(place: &Place, parts: &[String], output: &str, args: &[&str]) -> String {
    let parts = parts.iter().rev().map(String::as_str);
    let command: Vec<&str> = ["join"].into_iter().chain(parts).collect();
    place.ok(&[&command[..], &["-o", output], args].concat())
}

fn assert_same(place: &Place, whole: &str, joined: &str) {
    let [a, b] = [whole, joined].map(|name| fs::read(place.join(name)).unwrap());
    assert!(
        a == b,
        "{whole} and {joined} differ: {} and {} bytes",
        a.len(),
        b.len()
    );
}

/// Decoding and presentation timestamps of the video packets, in frames of `ticks`, and which are key frames.
fn packets(path: &Path, ticks: i64) -> Vec<(i64, i64, bool)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "json"])
        .args(["-show_entries", "packet=dts,pts,flags"])
        .arg(path)
        .output()
        .unwrap();
    let probed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = probed["packets"].as_array().unwrap().iter();
    let number = |packet: &Value, name: &str| {
        let ticked = packet[name].as_i64().unwrap();
        assert_eq!(ticked % ticks, 0);
        ticked / ticks
    };
    packets
        .map(|packet| {
            let is_key = packet["flags"].as_str().unwrap().starts_with('K');
            (number(packet, "dts"), number(packet, "pts"), is_key)
        })
        .collect()
}

/// The interleaved samples of a clip's audio, 16 bits.
fn samples(path: &Path) -> Vec<i16> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:a", "-f", "s16le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let values = output.stdout.as_chunks().0.iter();
    values.map(|&b| i16::from_le_bytes(b)).collect()
}

fn wav_samples(path: &Path) -> Vec<i16> {
    let mut wav = hound::WavReader::open(path).unwrap();
    wav.samples::<i16>().map(Result::unwrap).collect()
}

#[test]
fn joined_parts_are_the_whole_clip_to_the_byte() {
    // 541 frames: two segments and a bit.
    let place = place(21.63);
    render(&place, &["-o", "whole.mp4"]);
    for of in [1, 2, 3] {
        let parts = parts(&place, of, "mp4", &["-f"]);
        let stderr = join(&place, &parts, "joined.mp4", &["-f"]);
        let parts = if of == 1 {
            "1 part"
        } else {
            &format!("{of} parts")
        };
        assert!(
            stderr.contains(&format!("wrote `joined.mp4`: {parts}, 541 frames, 21.63 s")),
            "{stderr}"
        );
        assert_same(&place, "whole.mp4", "joined.mp4");
    }
    let packets = packets(&place.join("joined.mp4"), 512);
    let keys: Vec<i64> = packets.iter().filter(|p| p.2).map(|p| p.1).collect();
    assert_eq!(keys, [0, 250, 500], "a key frame at each segment");
    assert!(
        packets.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "decoding timestamps increase"
    );
    let mut shown: Vec<i64> = packets.iter().map(|p| p.1).collect();
    shown.sort_unstable();
    assert!(shown.into_iter().eq(0..541), "each frame once");
    assert!(packets.iter().any(|p| p.0 != p.1), "with B-frames");
}

#[test]
fn all_codecs_and_containers_join() {
    // 276 frames at 25 fps.
    let place = place(11.03);
    for (codec, extension, output, options) in [
        (
            "h264",
            "mp4",
            "h264.mkv",
            &["--silence", "rest", "--fps", "29.97"][..],
        ),
        ("h265", "mp4", "h265.mp4", &["--audio-bitrate", "64"]),
        (
            "av1",
            "mp4",
            "av1.webm",
            &["--start-frame", "3", "--order", "loop"],
        ),
        ("libvpx-vp9", "mp4", "vp9.webm", &["--no-mark"]),
        ("prores4444", "mov", "prores.mov", &["--limit", "10.5"]),
    ] {
        let args = [&["--codec", codec], options].concat();
        render(&place, &[&args[..], &["-o", output]].concat());
        let parts = parts(&place, 2, extension, &[&args[..], &["-f"]].concat());
        let joined = format!("joined-{output}");
        join(&place, &parts, &joined, &[]);
        assert_same(&place, output, &joined);
    }
}

/// Parts from machines with different numbers of cores can be joined.
#[test]
fn threads_do_not_part_the_parts() {
    let place = place(11.03);
    for codec in ["h264", "h265"] {
        for (k, threads) in ["1", "2"].iter().enumerate() {
            let part = format!("{k}/2");
            let base = [
                "render", "talk.wav", "-m", "tiny", "-b", "small", "-f", "--codec", codec,
            ];
            place.ok(&[&base[..], &["--threads", threads, "--part", &part]].concat());
        }
        let names = [0, 1].map(|k| format!("talk.part{k}-of-2.mp4"));
        join(&place, &names, "joined.mp4", &["-f"]);
        let probed = probe(&place.join("joined.mp4"));
        assert_eq!(probed["streams"][0]["nb_frames"], "276", "{codec}");
    }
}

#[test]
fn a_part_plays_by_itself_and_has_its_sound_to_the_sample() {
    let place = place(21.63);
    place.wav("stereo.wav", 44_100, 2, 11.03, |channel, t| {
        (TAU * (200.0 + 50.0 * f64::from(channel)) * t).sin() * 0.5
    });
    for (audio, extension, codec, frames) in [
        ("talk.wav", "mp4", "flac", [250, 291]),
        ("stereo.wav", "mp4", "flac", [250, 26]),
        ("stereo.wav", "mov", "pcm_s24le", [250, 26]),
    ] {
        let mut decoded = Vec::new();
        for (k, frames) in frames.iter().enumerate() {
            let (part, name) = (format!("{k}/2"), format!("part{k}.{extension}"));
            let base = [
                "render", audio, "-m", "tiny", "-b", "small", "-f", "-o", &name,
            ];
            place.ok(&[&base[..], &["--part", &part, "--report", "report.json"]].concat());
            let probed = probe(&place.join(&name));
            let [video, audio] = [0, 1].map(|n| &probed["streams"][n]);
            assert_eq!(video["nb_frames"], frames.to_string());
            assert_eq!(video["start_time"], "0.000000");
            assert_eq!(audio["codec_name"], codec);
            let report = fs::read_to_string(place.join("report.json")).unwrap();
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_fits("report.schema.json", &report);
            assert_eq!(report["frames"], *frames);
            assert_eq!(report["part"]["index"], k);
            assert_eq!(report["part"]["first_frame"], 250 * k);
            decoded.extend(samples(&place.join(&name)));
        }
        assert!(
            decoded == wav_samples(&place.join(audio)),
            "{audio} in {extension}"
        );
    }
}

/// Three minutes in eight parts: no clicks where they meet.
#[test]
fn a_long_clip_has_no_clicks() {
    let place = place(180.0);
    // A smooth tone: a break would be a large step.
    place.wav("talk.wav", 16_000, 1, 180.0, |_, t| {
        (TAU * 110.0 * t).sin() * 0.7
    });
    let fps = ["--fps", "10"];
    render(&place, &[&fps[..], &["-o", "whole.mp4"]].concat());
    let parts = parts(&place, 8, "mp4", &fps);
    join(&place, &parts, "joined.mp4", &[]);
    assert_same(&place, "whole.mp4", "joined.mp4");
    let decoded = samples(&place.join("joined.mp4"));
    let original = wav_samples(&place.join("talk.wav"));
    let step = |samples: &[i16]| {
        let pairs = samples.windows(2);
        pairs
            .map(|p| i32::from(p[0]).abs_diff(i32::from(p[1])))
            .max()
            .unwrap()
    };
    // 250 frames last 25 s. AAC adds a little noise.
    let largest = step(&original) + step(&original) / 10;
    for join in 1..=7 {
        let at = join * 25 * 16_000;
        let near = step(&decoded[at - 800..at + 800]);
        assert!(
            near <= largest,
            "a step of {near} at {} s, {largest} in the input",
            join * 25
        );
    }
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let place = place(21.63);
    let names = parts(&place, 3, "mp4", &[]);
    let [a, b, c] = [0, 1, 2].map(|k| names[k].as_str());
    let join = |args: &[&str]| refused(&place, &[&["join"], args].concat());
    snapshot!("join_part_missing", join(&[a, c, "-o", "x.mp4"]));
    snapshot!("join_part_twice", join(&[a, b, c, b, "-o", "x.mp4"]));
    snapshot!(
        "join_not_a_part",
        join(&[a, "small/frame_0000.png", "-o", "x.mp4"])
    );
    snapshot!("join_part_lost", join(&[a, "nowhere.mp4", "-o", "x.mp4"]));
    snapshot!("join_no_kind", join(&[a, b, c, "-o", "x.avi"]));
    snapshot!("join_into_webm", join(&[a, b, c, "-o", "x.webm"]));
    snapshot!("join_over_a_part", join(&[a, b, c, "-f", "-o", b]));
    snapshot!(
        "join_another_sound",
        join(&[a, b, c, "-o", "x.mp4", "--audio", "speech.wav"])
    );
    fs::rename(place.join("talk.wav"), place.join("moved.wav")).unwrap();
    snapshot!(
        "join_sound_gone",
        join(&[a, b, c, "-o", "x.mp4"]).replace(place.path.to_str().unwrap(), "[here]")
    );
    place.ok(&["join", a, b, c, "-o", "x.mp4", "--audio", "moved.wav"]);
    snapshot!(
        "join_output_exists",
        join(&[a, b, c, "-o", "x.mp4", "--audio", "moved.wav"])
    );
    fs::rename(place.join("moved.wav"), place.join("talk.wav")).unwrap();
    fs::remove_file(place.join("x.mp4")).unwrap();
    render(&place, &["--part", "1/3", "--crf", "30", "-f"]);
    snapshot!("join_other_crf", join(&[a, b, c, "-o", "x.mp4"]));
    render(&place, &["--part", "1/3", "--start-frame", "2", "-f"]);
    snapshot!("join_other_start", join(&[a, b, c, "-o", "x.mp4"]));
    render(&place, &["--part", "1/2", "-f", "-o", b]);
    snapshot!("join_other_count", join(&[a, b, c, "-o", "x.mp4"]));
    render(&place, &["-f", "-o", b]);
    snapshot!("join_whole_clip", join(&[a, b, c, "-o", "x.mp4"]));
}

/// A truncated part is refused, wherever it ends.
#[test]
fn a_damaged_part_is_refused() {
    let place = place(11.03);
    let names = parts(&place, 2, "mp4", &[]);
    let bytes = fs::read(place.join(&names[0])).unwrap();
    for length in [bytes.len() / 20, bytes.len() / 2, bytes.len() * 9 / 10] {
        fs::write(place.join(&names[0]), &bytes[..length]).unwrap();
        let stderr = refused(&place, &["join", &names[0], &names[1], "-o", "x.mp4"]);
        assert!(stderr.starts_with("exit 1\n"), "{stderr}");
        assert!(
            stderr.contains("talk.part0-of-2.mp4") && stderr.contains("hint: render"),
            "{stderr}"
        );
    }
}

#[test]
fn what_cannot_be_a_part_is_said_before_any_work() {
    let place = place(11.03);
    let with = |args: &[&str]| {
        let base = ["render", "talk.wav", "-m", "tiny", "-b", "small"];
        refused(&place, &[&base, args].concat())
    };
    snapshot!("part_beyond_the_end", with(&["--part", "0/3"]));
    snapshot!("part_unclear", with(&["--part", "2/2"]));
    snapshot!("part_in_matroska", with(&["--part", "0/2", "-o", "x.mkv"]));
    snapshot!("part_in_a_stream", with(&["--part", "0/2", "-o", "-"]));
    snapshot!("part_as_frames", with(&["--part", "0/2", "--frames", "x"]));
}
