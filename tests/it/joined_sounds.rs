//! Audio files that were joined end to end, that hold more than their header says, or less: all that is there is heard, or
//! mentioned.

use std::fs;

use crate::sounds::{decoded_speech, ffmpeg, streams, wav};
use crate::support::Place;

/// Writes `one.wav`, a tone of 1 s, and `two.wav`, a lower one of 0.5 s with another sample rate and two channels.
fn tones(place: &Place) {
    place.wav("one.wav", 16_000, 1, 1.0, |_, t| 0.5 * (t * 4000.0).sin());
    place.wav("two.wav", 22_050, 2, 0.5, |_, t| 0.5 * (t * 2000.0).sin());
}

/// Joins files.
fn join(place: &Place, files: &[&str], to: &str) {
    let all: Vec<Vec<u8>> = files
        .iter()
        .map(|file| fs::read(place.join(file)).unwrap())
        .collect();
    fs::write(place.join(to), all.concat()).unwrap();
}

/// How long a file is for the networks, in seconds.
fn seconds(place: &Place, file: &str) -> f64 {
    decoded_speech(&place.join(file)).len() as f64 / 16_000.0
}

/// Renders a file and returns what was said.
fn render(place: &Place, file: &str, args: &[&str]) -> String {
    let base = [
        "render", file, "-m", "tiny", "-b", "bg", "-o", "clip.mp4", "-f",
    ];
    place.ok(&[&base[..], args].concat())
}

#[test]
fn joined_wavs_are_heard_to_their_end() {
    let place = Place::new();
    tones(&place);
    join(&place, &["one.wav", "one.wav", "one.wav"], "three.wav");
    let one = decoded_speech(&place.join("one.wav"));
    let three = decoded_speech(&place.join("three.wav"));
    assert!(three == one.repeat(3));
    let said = render(&place, "three.wav", &[]);
    assert!(!said.contains("warning"), "{said}");
    let (_, rate, length, frames) = streams(&place.join("clip.mp4"));
    assert_eq!((rate.as_str(), frames.as_str()), ("16000", "75"));
    assert!((length - 3.0).abs() < 0.001, "{length}");
    // A limit within the second file.
    render(&place, "three.wav", &["--limit", "1.4"]);
    assert_eq!(streams(&place.join("clip.mp4")).3, "35");
    // The clip has their packets only if there is one file.
    let mov = [
        "render",
        "three.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "-o",
        "clip.mov",
    ];
    place.ok(&mov);
    assert_eq!(streams(&place.join("clip.mov")).3, "75");
}

#[test]
fn parts_of_joined_wavs_join_to_the_whole() {
    let place = Place::new();
    tones(&place);
    join(
        &place,
        &["one.wav", "two.wav", "one.wav"].repeat(5),
        "long.wav",
    );
    place.backgrounds("small", 7, 64, 64);
    let base = [
        "render",
        "long.wav",
        "-m",
        "tiny",
        "-b",
        "small",
        "--deterministic",
    ];
    for args in [
        &["-o", "whole.mp4"][..],
        &["--part", "0/2"],
        &["--part", "1/2"],
    ] {
        place.ok(&[&base[..], args].concat());
    }
    place.ok(&[
        "join",
        "long.part0-of-2.mp4",
        "long.part1-of-2.mp4",
        "-o",
        "joined.mp4",
    ]);
    let [whole, joined] =
        ["whole.mp4", "joined.mp4"].map(|name| fs::read(place.join(name)).unwrap());
    assert!(whole == joined);
}

#[test]
fn joined_files_of_different_formats_are_converted() {
    let place = Place::new();
    tones(&place);
    join(&place, &["one.wav", "two.wav", "one.wav"], "mixed.wav");
    assert!((seconds(&place, "mixed.wav") - 2.5).abs() < 0.001);
    let said = render(&place, "mixed.wav", &[]);
    let warning = "3 files were joined into `mixed.wav`, with different formats (16000 Hz, 1 channel from 0.00 s; 16000 Hz, 1 channel from 1.50 s): all are converted to 22050 Hz, 2 channels";
    assert!(said.contains(warning), "{said}");
    // The tones are where they were, at their own pitch.
    let samples = decoded_speech(&place.join("mixed.wav"));
    let crossings = |from: usize, len: usize| {
        let pairs = samples[from..from + len].windows(2);
        pairs
            .filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0))
            .count() as f64
    };
    for (from, hz) in [(4000, 636.6), (18_000, 318.3), (28_000, 636.6)] {
        let found = crossings(from, 4000) * 2.0;
        assert!((found - hz).abs() < 8.0, "{from}: {found} Hz");
    }
}

#[test]
fn chained_and_joined_files_of_all_kinds_are_heard_to_their_end() {
    let place = Place::new();
    tones(&place);
    for (kind, args, together) in [
        ("opus", &["-c:a", "libopus"][..], true),
        ("ogg", &["-c:a", "libvorbis"], true),
        ("spx", &["-c:a", "libspeex", "-ar", "16000"], false),
        ("flac", &[], true),
        ("alaw.wav", &["-c:a", "pcm_alaw"], true),
        ("rf64.wav", &["-rf64", "always"], true),
        ("w64", &[], true),
        ("aiff", &[], true),
        ("caf", &[], true),
        ("m4a", &["-c:a", "alac"], true),
        ("mp3", &[], false),
        ("aac", &[], false),
    ] {
        let [one, two, same, mixed] =
            ["one", "two", "same", "mixed"].map(|name| format!("{name}.{kind}"));
        ffmpeg(
            &place,
            &[&["-i", "one.wav"], args, &[one.as_str()]].concat(),
        );
        ffmpeg(
            &place,
            &[&["-i", "two.wav"], args, &[two.as_str()]].concat(),
        );
        // The same file twice has the same serial number twice, if there is one.
        join(&place, &[&one, &one], &same);
        let (single, double) = (seconds(&place, &one), seconds(&place, &same));
        let slack = if together { 0.001 } else { 0.1 };
        assert!(
            (double - 2.0 * single).abs() < slack,
            "{kind}: {double} s of 2 x {single} s"
        );
        if together {
            join(&place, &[&one, &two], &mixed);
            let both = single + seconds(&place, &two);
            let length = seconds(&place, &mixed);
            assert!(
                (length - both).abs() < 0.001,
                "{kind}: {length} s of {both} s"
            );
        }
    }
    // What is no Ogg is mentioned.
    join(&place, &["one.opus", "two.mp3"], "more.opus");
    let said = render(&place, "more.opus", &[]);
    assert!(
        said.contains("bytes at the end of `more.opus` are not used: they are no Ogg pages"),
        "{said}"
    );
    // Different codecs in one chain.
    join(&place, &["one.opus", "two.ogg"], "chain.ogg");
    assert!((seconds(&place, "chain.ogg") - 1.5).abs() < 0.02);
}

#[test]
fn streams_of_unknown_length_may_be_joined() {
    let place = Place::new();
    let samples: Vec<u8> = (0..16_000_i16).flat_map(i16::to_le_bytes).collect();
    for size in [0, u32::MAX, 0x7FFF_FFFF - 36, 2_000_000_000] {
        let stream = wav(b"", (0, size), &samples, b"");
        fs::write(place.join("streams.wav"), stream.repeat(3)).unwrap();
        assert_eq!(seconds(&place, "streams.wav"), 3.0, "{size:#x}");
    }
}

#[test]
fn what_follows_the_samples_is_heard_or_mentioned() {
    let place = Place::new();
    let samples: Vec<u8> = (0..16_000_i16).flat_map(i16::to_le_bytes).collect();
    let len = samples.len() as u32;
    let chunk = [&b"data"[..], &len.to_le_bytes(), &samples].concat();
    let id3 = [&b"ID3\x03\0\0\0\0\0\x10"[..], &[b'x'; 16]].concat();
    let mp3 = [&id3[..], &samples].concat();
    for (after, length, warning) in [
        (
            &samples[..],
            1.0,
            Some(
                "32000 bytes after the samples of `more.wav` are not used: its header says 32000 bytes of samples; if the rest is sound too, it lasts 1.00 s",
            ),
        ),
        (&mp3, 1.0, Some("32000 bytes after the samples")),
        (&chunk, 2.0, None),
        (&id3, 1.0, None),
        (b"TAG", 1.0, None),
        (&[0; 9000], 1.0, None),
        (b"LIST\x04\0\0\0abcd", 1.0, None),
    ] {
        fs::write(
            place.join("more.wav"),
            wav(b"", (36 + len, len), &samples, after),
        )
        .unwrap();
        let said = render(&place, "more.wav", &[]);
        assert_eq!(seconds(&place, "more.wav"), length, "{said}");
        match warning {
            Some(warning) => assert!(said.contains(warning), "{said}"),
            None => assert!(!said.contains("warning"), "{said}"),
        }
    }
}

#[test]
fn a_truncated_file_is_refused_unless_that_is_allowed() {
    let place = Place::new();
    tones(&place);
    let whole = fs::read(place.join("one.wav")).unwrap();
    fs::write(place.join("cut.wav"), &whole[..20_000]).unwrap();
    let refused = place.run(&["render", "cut.wav", "-m", "tiny", "-b", "bg"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("or pass --allow-truncated to render what is there"),
        "{said}"
    );
    let said = render(&place, "cut.wav", &["--allow-truncated"]);
    let warning = "`cut.wav` is truncated: its header says 32000 bytes of samples, but the file ends after 19956";
    assert!(said.contains(warning), "{said}");
    assert_eq!(streams(&place.join("clip.mp4")).3, "16");
    // Its parts join.
    let base = [
        "render",
        "cut.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--allow-truncated",
    ];
    place.ok(&[&base[..], &["--part", "0/1"]].concat());
    place.ok(&["join", "cut.part0-of-1.mp4", "-o", "joined.mp4"]);
    assert_eq!(streams(&place.join("joined.mp4")).3, "16");
    // In a compressed file.
    let fast = ["-i", "one.wav", "-movflags", "+faststart", "one.m4a"];
    ffmpeg(&place, &fast);
    let whole = fs::read(place.join("one.m4a")).unwrap();
    fs::write(place.join("cut.m4a"), &whole[..whole.len() / 3]).unwrap();
    let said = render(&place, "cut.m4a", &["--allow-truncated"]);
    assert!(
        said.contains("`cut.m4a` is truncated: its header says 1.0"),
        "{said}"
    );
}

#[test]
fn audio_that_ends_before_its_video_is_mentioned() {
    let place = Place::new();
    tones(&place);
    let pictures = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4"];
    let sound = [
        "-i",
        "one.wav",
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
        "early.mp4",
    ];
    ffmpeg(&place, &[&pictures[..], &sound].concat());
    let said = render(&place, "early.mp4", &[]);
    assert!(
        said.contains("the audio of `early.mp4` ends after 1.0"),
        "{said}"
    );
    assert!(said.contains("though the file lasts 4.00 s"), "{said}");
}
