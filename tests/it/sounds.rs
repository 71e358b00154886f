//! Audio files of all kinds: the clip is as long as its audio, and everything is heard at the same time as before.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use lipsync::audio::AudioFile;

use crate::support::{Place, probe};

/// Time of the click, in seconds.
const CLICK: f64 = 1.5;

/// Runs the ffmpeg program in the test folder.
pub(crate) fn ffmpeg(place: &Place, args: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .current_dir(&place.path)
        .status()
        .unwrap();
    assert!(status.success(), "ffmpeg {args:?}");
}

/// Writes `click.wav`: 3 s of silence with a click.
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
fn time_of_loudest(samples: &[f32], rate: f64) -> f64 {
    let by_level = |a: &(usize, &f32), b: &(usize, &f32)| a.1.abs().total_cmp(&b.1.abs());
    samples.iter().enumerate().max_by(by_level).unwrap().0 as f64 / rate
}

/// What the networks get of a file: mono at 16 kHz.
pub(crate) fn decoded_speech(path: &Path) -> Vec<f32> {
    let mut reader = AudioFile::open(path, None).unwrap().speech().unwrap();
    let mut samples = Vec::new();
    while reader.read(&mut samples).unwrap() {}
    samples
}

/// The audio of a clip as the ffmpeg program decodes it, mono at 48 kHz.
fn decoded_clip_audio(place: &Place, clip: &str) -> Vec<f32> {
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

/// Codec, sample rate and duration of the audio track, and number of video frames.
pub(crate) fn streams(clip: &Path) -> (String, String, f64, String) {
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

/// Renders a file with a click, and checks the time of the click for the networks and in the clip.
fn click_stays(place: &Place, file: &str, codec: &str) {
    let samples = decoded_speech(&place.join(file));
    let at = time_of_loudest(&samples, 16_000.0);
    assert!(
        (at - CLICK).abs() < 0.005,
        "{file}: for the networks at {at}"
    );
    let duration = samples.len() as f64 / 16_000.0;
    assert!((duration - 3.0).abs() < 0.03, "{file}: {duration} s");
    place.ok(&[
        "render", file, "-m", "tiny", "-b", "bg", "-o", "clip.mp4", "-f",
    ]);
    let at = time_of_loudest(&decoded_clip_audio(place, "clip.mp4"), 48_000.0);
    assert!((at - CLICK).abs() < 0.005, "{file}: in the clip at {at}");
    let (name, _, seconds, frames) = streams(&place.join("clip.mp4"));
    assert_eq!(name, codec, "{file}");
    assert!(
        (seconds - duration).abs() < 0.001,
        "{file}: {seconds} s of {duration}"
    );
    assert_eq!(frames, format!("{}", (duration * 25.0).ceil()), "{file}");
}

#[test]
fn a_click_stays_where_it_was() {
    let place = Place::new();
    click(&place);
    for (file, args, codec) in [
        ("a.mp3", &["-c:a", "libmp3lame"][..], "aac"),
        ("a.m4a", &["-c:a", "aac"], "aac"),
        ("alac.m4a", &["-c:a", "alac"], "alac"),
        ("a.flac", &["-c:a", "flac"], "aac"),
        ("a.ogg", &["-c:a", "libvorbis"], "aac"),
        ("a.opus", &["-c:a", "libopus"], "aac"),
        ("a.mka", &["-c:a", "libopus"], "aac"),
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
        ("a.mkv", &["-c:v", "libx264", "-c:a", "libopus"], "aac"),
        ("a.webm", &["-c:v", "libvpx", "-c:a", "libvorbis"], "aac"),
        ("a.avi", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"], "aac"),
    ] {
        let inputs = [&pictures[..], &["-i", "click.wav"]].concat();
        ffmpeg(&place, &[&inputs, args, &[file]].concat());
        click_stays(&place, file, codec);
    }
    // The same audio, starting half a second after the video: the click is half a second later.
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
    let samples = decoded_speech(&place.join("late.mp4"));
    let at = time_of_loudest(&samples, 16_000.0);
    assert!((at - CLICK - 0.5).abs() < 0.005, "at {at}");
    assert!((samples.len() as f64 / 16_000.0 - 3.5).abs() < 0.03);
}

#[test]
fn a_pause_in_the_time_stamps_is_silence() {
    let place = Place::new();
    click(&place);
    // Half a second is cut out after the first; the rest keeps its timestamps.
    let gap = "aselect='not(between(t,0.5,1))'";
    let args = ["-i", "click.wav", "-af", gap, "-c:a", "flac", "gap.mka"];
    ffmpeg(&place, &args);
    click_stays(&place, "gap.mka", "aac");
}

/// Writes `tone.wav`: a tone of 1 s at 16 kHz.
fn tone(place: &Place) {
    place.wav("tone.wav", 16_000, 1, 1.0, |_, t| 0.5 * (t * 2000.0).sin());
}

#[test]
fn every_kind_of_wav_is_read_alike() {
    let place = Place::new();
    tone(&place);
    let tone = decoded_speech(&place.join("tone.wav"));
    for (file, args, tolerance) in [
        ("u8.wav", &["-c:a", "pcm_u8"][..], 1e-2),
        ("s24.wav", &["-c:a", "pcm_s24le"], 0.0),
        ("s32.wav", &["-c:a", "pcm_s32le"], 0.0),
        ("f32.wav", &["-c:a", "pcm_f32le"], 0.0),
        ("f64.wav", &["-c:a", "pcm_f64le"], 0.0),
        ("alaw.wav", &["-c:a", "pcm_alaw"], 2e-2),
        ("mulaw.wav", &["-c:a", "pcm_mulaw"], 2e-2),
        ("rf64.wav", &["-rf64", "always"], 0.0),
        ("wave64.w64", &[], 0.0),
        ("big-endian.aiff", &[], 0.0),
        ("lossless.flac", &[], 0.0),
    ] {
        ffmpeg(&place, &[&["-i", "tone.wav"], args, &[file]].concat());
        let samples = decoded_speech(&place.join(file));
        assert_eq!(samples.len(), tone.len(), "{file}");
        for (i, (got, expected)) in samples.iter().zip(&tone).enumerate() {
            assert!(
                (got - expected).abs() <= tolerance,
                "{file} {i}: {got}, expected {expected}"
            );
        }
    }
}

/// A WAV file with these samples, other chunks before and after them, and the stated sizes of file and data.
pub(crate) fn wav(before: &[u8], sizes: (u32, u32), samples: &[u8], after: &[u8]) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(sizes.0.to_le_bytes());
    bytes.extend(b"WAVE");
    bytes.extend(before);
    // PCM, 1 channel, 16000 Hz, 32000 bytes per second, 2 bytes per sample, 16 bits.
    bytes.extend(b"fmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0");
    bytes.extend(b"data");
    bytes.extend(sizes.1.to_le_bytes());
    bytes.extend(samples);
    bytes.extend(after);
    bytes
}

#[test]
fn sizes_and_chunks_of_all_writers_are_understood() {
    let place = Place::new();
    let samples: Vec<u8> = (0..2000_i16).flat_map(|i| (i * 16).to_le_bytes()).collect();
    let len = samples.len() as u32;
    let odd = b"LIST\x05\0\0\0abcde\0";
    let read = |name: &str, bytes: Vec<u8>| {
        fs::write(place.join(name), bytes).unwrap();
        let samples = decoded_speech(&place.join(name));
        assert_eq!(samples.len(), 2000, "{name}");
        assert_eq!(samples[1], 16.0 / 32_768.0, "{name}");
    };
    read("plain.wav", wav(b"", (36 + len, len), &samples, b""));
    read("odd.wav", wav(odd, (64 + len, len), &samples, odd));
    let (unknown, espeak, arecord) = (u32::MAX, 0x7FFF_F000, 0x8000_0000);
    let servers = [
        0xFFFF_FF00,
        unknown - 36,
        i32::MAX as u32,
        i32::MAX as u32 - 36,
        2_000_000_000,
    ];
    for size in [unknown, espeak, arecord].into_iter().chain(servers) {
        read(
            "pipe.wav",
            wav(b"", (size.saturating_add(36), size), &samples, b""),
        );
    }
    read("crashed.wav", wav(b"", (0, 0), &samples, b""));
    read("recorder.wav", wav(b"", (36, 0), &samples, b""));
    ffmpeg(&place, &["-i", "plain.wav", "-rf64", "always", "rf64.wav"]);
    let mut rf64 = fs::read(place.join("rf64.wav")).unwrap();
    // RF64 with 64-bit sizes that were never filled in.
    let at = rf64.windows(4).position(|w| w == b"ds64").unwrap();
    rf64[at + 8..at + 32].fill(0);
    read("rf64-pipe.wav", rf64);
}

#[test]
fn unused_bits_of_a_sample_are_its_lowest() {
    let place = Place::new();
    let samples: Vec<u8> = (0..2000_i32)
        .flat_map(|i| (i << 20).to_le_bytes())
        .collect();
    let len = samples.len() as u32;
    // 24 valid bits in 4 bytes: 1 channel, 16000 Hz, 64000 bytes per second, 4 bytes per sample, 32 bits, and 22 more
    // bytes with the number of valid bits, the speaker position and the sub-format for integers.
    let format =
        b"fmt \x28\0\0\0\xfe\xff\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0\x16\0\x18\0\x04\0\0\0\
        \x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    let bytes = [
        b"RIFF",
        &(60 + len).to_le_bytes()[..],
        b"WAVE",
        format,
        b"data",
        &len.to_le_bytes(),
        &samples,
    ];
    fs::write(place.join("wide.wav"), bytes.concat()).unwrap();
    let samples = decoded_speech(&place.join("wide.wav"));
    assert_eq!(samples.len(), 2000);
    assert_eq!(samples[1], 16.0 / 32_768.0);
}

#[test]
fn a_wav_through_a_pipe_is_read_to_its_end() {
    let place = Place::new();
    tone(&place);
    let piped = Command::new("ffmpeg")
        .args(["-v", "error", "-i", "tone.wav", "-f", "wav", "-"])
        .current_dir(&place.path)
        .output()
        .unwrap();
    assert_eq!(&piped.stdout[4..8], [0xFF; 4]);
    fs::write(place.join("piped.wav"), piped.stdout).unwrap();
    assert!(decoded_speech(&place.join("piped.wav")) == decoded_speech(&place.join("tone.wav")));
}

#[test]
fn numbers_that_are_no_sound_are_silence() {
    let place = Place::new();
    let path = place.join("wild.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 44_100,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for i in 0..44_100 {
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let sample = wild.get(i % 100).copied().unwrap_or(0.1);
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    assert!(decoded_speech(&path).iter().all(|s| s.abs() < 1.0));
    place.ok(&["render", "wild.wav", "-m", "tiny", "-b", "bg"]);
}

#[test]
fn a_limit_shortens_any_sound() {
    let place = Place::new();
    click(&place);
    ffmpeg(&place, &["-i", "click.wav", "long.m4a"]);
    place.ok(&[
        "render", "long.m4a", "-m", "tiny", "-b", "bg", "--limit", "1.7",
    ]);
    let (_, _, seconds, frames) = streams(&place.join("long.mp4"));
    assert_eq!(frames, "43");
    assert!((seconds - 1.7).abs() < 0.001, "{seconds}");
    let at = time_of_loudest(&decoded_clip_audio(&place, "long.mp4"), 48_000.0);
    assert!((at - CLICK).abs() < 0.005, "{at}");
}

#[test]
fn a_name_that_is_not_utf_8_and_a_cover_picture_do_not_matter() {
    let place = Place::new();
    click(&place);
    place.backgrounds("cover", 1, 32, 32);
    let cover = [
        "-i",
        "cover/frame_0000.png",
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "copy",
    ];
    let kind = ["-disposition:v", "attached_pic", "a.m4a"];
    ffmpeg(
        &place,
        &[&["-i", "click.wav"], &cover[..], &kind[..]].concat(),
    );
    let path = place.path.join(OsStr::from_bytes(b"caf\xe9.m4a"));
    fs::rename(place.join("a.m4a"), &path).unwrap();
    let at = time_of_loudest(&decoded_speech(&path), 16_000.0);
    assert!((at - CLICK).abs() < 0.005, "{at}");
}

#[test]
fn joined_files_are_heard_to_their_end() {
    let place = Place::new();
    click(&place);
    ffmpeg(&place, &["-i", "click.wav", "one.mp3"]);
    let one = fs::read(place.join("one.mp3")).unwrap();
    fs::write(place.join("two.mp3"), [&one[..], &one].concat()).unwrap();
    let samples = decoded_speech(&place.join("two.mp3"));
    let duration = samples.len() as f64 / 16_000.0;
    assert!((duration - 6.0).abs() < 0.1, "{duration}");
    let second = time_of_loudest(&samples[3 * 16_000..], 16_000.0);
    assert!((second - CLICK).abs() < 0.06, "{second}");
}

#[test]
fn speech_is_heard_from_any_channel() {
    let place = Place::new();
    for channels in 1..=8_u16 {
        for (speaker, level) in [(0, 0.4), (2, 0.8 * 0.707)] {
            if speaker >= channels {
                continue;
            }
            place.wav("in.wav", 48_000, channels, 0.5, |c, _| {
                if c == speaker { 0.8 } else { 0.0 }
            });
            let samples = decoded_speech(&place.join("in.wav"));
            let expected = if channels == 1 { 0.8 } else { level };
            assert!(
                (samples[4000] - expected).abs() < 0.01,
                "{channels}, {speaker}: {}",
                samples[4000]
            );
        }
        place.ok(&["render", "in.wav", "-m", "tiny", "-b", "bg", "-f"]);
    }
}

#[test]
fn channels_out_of_phase_do_not_cancel() {
    let place = Place::new();
    place.wav("against.wav", 16_000, 2, 1.0, |c, t| {
        (t * 2000.0).sin() * [0.4, -0.5][usize::from(c)]
    });
    ffmpeg(&place, &["-i", "against.wav", "against.flac"]);
    for file in ["against.wav", "against.flac"] {
        let loudest = decoded_speech(&place.join(file));
        let loudest = loudest.iter().fold(0.0_f32, |all, s| all.max(s.abs()));
        assert!((loudest - 0.5).abs() < 0.01, "{file}: {loudest}");
        let said = place.ok(&["render", file, "-m", "tiny", "-b", "bg", "-f"]);
        assert!(
            said.contains("so the networks hear channel 2 alone"),
            "{said}"
        );
    }
}

#[test]
fn silence_is_a_warning() {
    let place = Place::new();
    place.wav("silent.wav", 16_000, 1, 0.5, |_, _| 0.0);
    place.wav("quiet.wav", 16_000, 2, 0.5, |_, t| {
        (t * 2000.0).sin() * 1e-3
    });
    // Longer than what is measured at first, and loud only between those stretches.
    place.wav("click.wav", 16_000, 1, 60.0, |_, t| {
        if (30.15..30.25).contains(&t) {
            (t * 2000.0).sin()
        } else {
            0.0
        }
    });
    place.wav("gone.wav", 16_000, 1, 60.0, |_, _| 0.0);
    for (file, warning) in [
        (
            "silent.wav",
            Some("`silent.wav` is silent: the mouth will stay closed"),
        ),
        (
            "quiet.wav",
            Some("`quiet.wav` is nearly silent: its loudest 0.1 s has -63 dBFS"),
        ),
        ("click.wav", None),
        ("gone.wav", Some("`gone.wav` is silent")),
        ("speech.wav", None),
    ] {
        let args = [
            "render",
            file,
            "-m",
            "tiny",
            "-b",
            "bg",
            "--contact-sheet",
            "c.png",
            "-f",
        ];
        let said = place.ok(&[&args[..], &["--report", "r.json"]].concat());
        match warning {
            Some(warning) => assert!(said.contains(warning), "{file}: {said}"),
            None => assert!(!said.contains("silent"), "{file}: {said}"),
        }
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(place.join("r.json")).unwrap()).unwrap();
        let count = report["warnings"].as_array().unwrap().len();
        assert_eq!(count, usize::from(warning.is_some()), "{file}: {report}");
    }
}

#[test]
fn mp3_and_opus_become_aac_for_players_that_lack_them() {
    let place = Place::new();
    tone(&place);
    for (args, file) in [
        (&["-c:a", "libmp3lame"][..], "a.mp3"),
        (&["-c:a", "libopus"], "a.opus"),
    ] {
        ffmpeg(&place, &[&["-i", "tone.wav"], args, &[file]].concat());
        let base = ["render", file, "-m", "tiny", "-b", "bg", "-f", "-v", "-o"];
        for (output, said_to_be) in [
            ("a.mp4", "audio encoded as aac".to_owned()),
            ("a.mov", "audio encoded as aac".to_owned()),
            ("a.mkv", format!("audio copied ({})", &file[2..])),
        ] {
            let said = place.ok(&[&base[..], &[output]].concat());
            assert!(said.contains(&said_to_be), "{file} {output}: {said}");
        }
    }
}

/// Renders a file that must fail, and returns the message.
fn refused(place: &Place, file: &str) -> String {
    let output = place.run(&["render", file, "-m", "tiny", "-b", "bg"]);
    assert_eq!(output.status.code(), Some(1), "{file}");
    String::from_utf8(output.stderr)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Writes files without audio, with unsupported or changing formats, and truncated or damaged ones.
fn write_unusable_files(place: &Place) {
    let pictures = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=1"];
    ffmpeg(
        place,
        &[&pictures[..], &["-c:v", "libx264", "mute.mp4"]].concat(),
    );
    ffmpeg(
        place,
        &[
            "-i",
            "click.wav",
            "-ac",
            "16",
            "-c:a",
            "pcm_alaw",
            "many.wav",
        ],
    );
    let noise = [
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=duration=3:amplitude=0.3:seed=1",
    ];
    for file in ["whole.flac", "whole.m4a", "whole.mp3"] {
        ffmpeg(
            place,
            &[&noise[..], &["-movflags", "+faststart", file]].concat(),
        );
    }
    // Two sample rates, one after the other, as if two files were joined.
    ffmpeg(place, &["-i", "click.wav", "-ar", "44100", "one.mp3"]);
    ffmpeg(place, &["-i", "click.wav", "-ar", "22050", "other.mp3"]);
    let joined = [
        fs::read(place.join("one.mp3")).unwrap(),
        fs::read(place.join("other.mp3")).unwrap(),
    ];
    fs::write(place.join("joined.mp3"), joined.concat()).unwrap();
    for kind in ["flac", "m4a"] {
        let whole = fs::read(place.join(&format!("whole.{kind}"))).unwrap();
        fs::write(
            place.join(&format!("cut.{kind}")),
            &whole[..whole.len() / 2],
        )
        .unwrap();
    }
    let mut damaged = fs::read(place.join("whole.flac")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20_000].fill(0);
    fs::write(place.join("damaged.flac"), damaged).unwrap();
    let list = "ffconcat version 1.0\nfile click.wav\n";
    fs::write(place.join("list.ffconcat"), list).unwrap();
}

#[test]
fn what_is_no_whole_sound_is_refused() {
    let place = Place::new();
    click(&place);
    write_unusable_files(&place);
    let files = [
        "bg/0.png",
        "mute.mp4",
        "many.wav",
        "joined.mp3",
        "cut.flac",
        "cut.m4a",
        "damaged.flac",
        "list.ffconcat",
    ];
    // Where files end depends on their encoders.
    let is_time = |word: &&str| word.contains('.') && word.parse::<f64>().is_ok();
    let masked = |text: String| {
        let words = text.split(' ');
        let words: Vec<&str> = words.map(|w| if is_time(&w) { "#" } else { w }).collect();
        words.join(" ")
    };
    let messages = files.map(|file| masked(refused(&place, file)));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("sounds_refused", messages.join("\n\n"));
    });
}
