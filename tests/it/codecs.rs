//! Codecs, containers and the mark: other programs find in the file what was asked for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lipsync::audio::AudioFile;
use lipsync::encode::Container;
use lipsync::encode::FrameSink;
use lipsync::encode::Mark;
use lipsync::encode::PngFolder;
use lipsync::encode::VideoEncoder;
use lipsync::encode::{ClipFile, ClipFormat, ClipSpec};
use lipsync::error::{ErrorReport, Exit};
use lipsync::image::{Picture, Size};
use lipsync::output::{OutputKind, Target};
use lipsync::timeline::FrameRate;
use serde_json::Value;

use crate::support::{LIPSYNC, Place, composed, decode, difference, pictures, probe, psnr};

const SIZE: usize = 128;
const COLOURS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];

/// Red, green, blue and white quarters, with alpha that rises from left to right and moves from frame to frame.
fn quarters(shift: usize) -> Picture {
    let mut picture = Picture::new(SIZE, SIZE);
    let mut alpha = vec![0; SIZE * SIZE];
    for y in 0..SIZE {
        for x in 0..SIZE {
            let colour = COLOURS[y / (SIZE / 2) * 2 + x / (SIZE / 2)];
            picture.pixels[(y * SIZE + x) * 3..][..3].copy_from_slice(&colour);
            alpha[y * SIZE + x] = ((x + shift) * 2 % 256) as u8;
        }
    }
    picture.alpha = Some(alpha);
    picture
}

fn target(path: &Path) -> Target {
    Target {
        path: path.to_owned(),
        kind: OutputKind::File,
        force: true,
    }
}

/// A clip of one second with `codec`, in the container that `name` selects.
fn spec(name: &str, codec: &str, fps: FrameRate) -> ClipSpec {
    ClipSpec {
        size: Size {
            width: SIZE as u32,
            height: SIZE as u32,
        },
        fps,
        frames: fps.frames_covering(16_000, 16_000),
        part: None,
        format: ClipFormat {
            container: Container::of(Path::new(name)).unwrap(),
            video: VideoEncoder::find(&codec.parse().unwrap())
                .unwrap()
                .settings(None, None)
                .unwrap(),
            audio_bitrate: None,
        },
        threads: 2,
        deterministic: false,
        mark: None,
        #[cfg(feature = "credentials")]
        signer: None,
    }
}

fn second(place: &Place) -> AudioFile {
    let name = "second.wav";
    place.wav(name, 16_000, 1, 1.0, |_, t| (t * 2000.0).sin() * 0.3);
    AudioFile::open(&place.join(name), None).unwrap()
}

/// Writes the frames of `spec` to `name`.
fn write(place: &Place, name: &str, spec: ClipSpec) -> PathBuf {
    let path = place.join(name);
    let frames = spec.frames;
    let mut clip = Box::new(ClipFile::create(target(&path), spec, &second(place)).unwrap());
    for i in 0..frames {
        clip.write(&composed(&quarters(i as usize))).unwrap();
    }
    clip.finish().unwrap();
    path
}

fn stream<'a>(probed: &'a Value, kind: &str) -> &'a Value {
    let streams = probed["streams"].as_array().unwrap();
    streams.iter().find(|s| s["codec_type"] == kind).unwrap()
}

fn rate(num: u32, den: u32) -> FrameRate {
    FrameRate::new(num, den).unwrap()
}

/// Presentation timestamps of the video packets, sorted, and their time base, as ffprobe reads them.
fn times(path: &Path) -> (Vec<i64>, String) {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v"])
        .args([
            "-show_entries",
            "packet=pts:stream=time_base",
            "-of",
            "json",
        ])
        .arg(path)
        .output()
        .unwrap();
    let probed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = probed["packets"].as_array().unwrap().iter();
    let mut times: Vec<i64> = packets.map(|p| p["pts"].as_i64().unwrap()).collect();
    times.sort_unstable();
    let base = probed["streams"][0]["time_base"]
        .as_str()
        .unwrap()
        .to_owned();
    (times, base)
}

#[test]
fn each_codec_keeps_colours_in_each_container() {
    let place = Place::new();
    let wanted: Vec<_> = (0..25)
        .map(|i| image::RgbImage::from_raw(128, 128, quarters(i).pixels).unwrap())
        .collect();
    for (name, codec, found, sound, tag) in [
        ("h264.mp4", "h264", "h264", "aac", "avc1"),
        ("h264.mov", "h264", "h264", "pcm_s16le", "avc1"),
        ("h264.mkv", "h264", "h264", "pcm_s16le", ""),
        ("h265.mp4", "h265", "hevc", "aac", "hvc1"),
        ("h265.mov", "h265", "hevc", "pcm_s16le", "hvc1"),
        ("h265.mkv", "h265", "hevc", "pcm_s16le", ""),
        ("av1.mp4", "av1", "av1", "aac", "av01"),
        ("av1.webm", "av1", "av1", "opus", ""),
        ("vp9.webm", "libvpx-vp9", "vp9", "opus", ""),
        ("prores.mov", "prores4444", "prores", "pcm_s16le", "ap4h"),
        ("prores.mkv", "prores4444", "prores", "pcm_s16le", ""),
    ] {
        let path = write(&place, name, spec(name, codec, FrameRate::TRAINED));
        let probed = probe(&path);
        let video = stream(&probed, "video");
        assert_eq!(video["codec_name"], found, "{name}");
        assert_eq!(stream(&probed, "audio")["codec_name"], sound, "{name}");
        if !tag.is_empty() {
            assert_eq!(video["codec_tag_string"], tag, "{name}");
        }
        for key in ["color_space", "color_transfer", "color_primaries"] {
            assert_eq!(video[key], "bt709", "{name}: {key}");
        }
        assert_eq!(video["color_range"], "tv", "{name}");
        let start: f64 = video["start_time"].as_str().unwrap().parse().unwrap();
        assert!(start.abs() < 1e-6, "{name} starts at {start}");
        let duration = &probed["format"]["duration"];
        let duration: f64 = duration.as_str().unwrap().parse().unwrap();
        // Matroska ends with a whole block of audio.
        assert!((0.96..=1.07).contains(&duration), "{name} lasts {duration}");
        let folder = place.join(&format!("{name} frames"));
        decode(&path, &folder);
        let decoded = pictures(&folder);
        assert_eq!(decoded.len(), 25, "{name}");
        for (i, colour) in COLOURS.iter().enumerate() {
            let (x, y) = ((i as u32 % 2) * 64 + 32, (i as u32 / 2) * 64 + 32);
            let got = decoded[12].get_pixel(x, y).0;
            let (most, _) = difference(&got, colour);
            assert!(most <= 3, "{name}: {got:?} for {colour:?}");
        }
        let quality = psnr(&wanted, &decoded);
        assert!(quality >= 38.0, "{name}: {quality:.1} dB");
    }
}

#[test]
fn prores_keeps_alpha() {
    let place = Place::new();
    let spec = spec("a.mov", "prores4444", FrameRate::TRAINED);
    let path = write(&place, "a.mov", spec);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args(["-pix_fmt", "rgba", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    let frames: Vec<&[u8]> = output.stdout.chunks_exact(SIZE * SIZE * 4).collect();
    assert_eq!(frames.len(), 25);
    for (i, frame) in frames.iter().enumerate() {
        let got: Vec<u8> = frame.chunks_exact(4).map(|p| p[3]).collect();
        let (most, _) = difference(&got, &quarters(i).alpha.unwrap());
        assert!(most <= 1, "frame {i}: alpha is off by {most}");
    }
}

#[test]
fn odd_sizes_and_opaque_pictures_become_prores() {
    let place = Place::new();
    let mut spec = spec("a.mov", "prores4444", FrameRate::TRAINED);
    (spec.size.width, spec.size.height, spec.frames) = (61, 35, 25);
    let path = place.join("a.mov");
    let mut clip = Box::new(ClipFile::create(target(&path), spec, &second(&place)).unwrap());
    let mut picture = Picture::new(61, 35);
    picture.pixels.fill(200);
    (0..25).for_each(|_| clip.write(&composed(&picture)).unwrap());
    clip.finish().unwrap();
    let folder = place.join("frames");
    decode(&path, &folder);
    let decoded = image::open(folder.join("000024.png")).unwrap().into_rgba8();
    assert_eq!(decoded.dimensions(), (61, 35));
    assert_eq!(decoded.get_pixel(60, 34).0[3], 255);
    assert!(decoded.get_pixel(60, 34).0[0].abs_diff(200) <= 1);
}

#[test]
fn frame_rates_are_kept_without_drift() {
    let place = Place::new();
    for (num, den) in [(24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60, 1)] {
        let fps = rate(num, den);
        for name in ["a.mp4", "a.mov", "a.mkv"] {
            let path = write(&place, name, spec(name, "h264", fps));
            let probed = probe(&path);
            assert_eq!(
                stream(&probed, "video")["avg_frame_rate"],
                format!("{num}/{den}"),
                "{name}"
            );
            let (times, base) = times(&path);
            assert_eq!(
                times.len() as u64,
                fps.frames_covering(1, 1),
                "{name} {fps}"
            );
            let (base_num, base_den) = base.split_once('/').unwrap();
            let base: [i64; 2] = [base_num, base_den].map(|n| n.parse().unwrap());
            for (i, time) in times.into_iter().enumerate() {
                // time * base against i * den / num, in units of 1 / (base_den * num).
                let off = time * base[0] * i64::from(num) - i as i64 * i64::from(den) * base[1];
                // Matroska's timestamps are rounded to milliseconds.
                let most = if name == "a.mkv" { i64::from(num) } else { 0 };
                assert!(
                    off.abs() <= most,
                    "{name} at {fps}: frame {i} is off by {off}"
                );
            }
        }
    }
}

#[test]
fn deterministic_clips_do_not_depend_on_threads() {
    let place = Place::new();
    for (name, codec) in [
        ("a.mp4", "h264"),
        ("a.mkv", "h264"),
        ("a.mp4", "h265"),
        ("a.webm", "av1"),
        ("a.mov", "prores4444"),
    ] {
        let bytes = [1, 3].map(|threads| {
            let mut spec = spec(name, codec, FrameRate::TRAINED);
            (spec.threads, spec.deterministic) = (threads, true);
            spec.mark = Some(Mark { model: "m".into() });
            fs::read(write(&place, name, spec)).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{codec} in {name}");
    }
}

#[test]
fn stdout_gets_a_clip_that_plays() {
    let place = Place::new();
    for codec in ["h264", "av1"] {
        let output = place.run(&[
            "render",
            "speech.wav",
            "-m",
            "tiny",
            "-b",
            "bg",
            "--codec",
            codec,
            "-o",
            "-",
        ]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("wrote to stdout: 108 frames"), "{stderr}");
        assert!(!stderr.contains("Svt"), "{stderr}");
        assert_eq!(place.names(), ["bg", "speech.wav", "tiny"]);
        let piped = place.path.parent().unwrap().join("piped.mp4");
        fs::write(&piped, &output.stdout).unwrap();
        let probed = probe(&piped);
        assert_eq!(stream(&probed, "video")["codec_name"], codec);
        let (times, base) = times(&piped);
        let unit: i64 = base.strip_prefix("1/").unwrap().parse().unwrap();
        let wanted: Vec<i64> = (0..108).map(|i| i * unit / 25).collect();
        assert_eq!(times, wanted, "{codec}");
        assert!(marked(&output.stdout));
    }
}

#[test]
fn a_reader_that_goes_away_is_an_error_not_a_panic() {
    let place = Place::new();
    let mut command = place.command(&["render", "speech.wav", "-m", "tiny", "-b", "bg", "-o", "-"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.ends_with("error: cannot write to stdout\n  Caused by: broken pipe\n"),
        "{stderr}"
    );
}

#[test]
fn a_full_disk_is_told_with_a_way_out() {
    let place = Place::new();
    let mut command = place.command(&["render", "speech.wav", "-m", "tiny", "-b", "bg", "-o", "-"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.ends_with(
            "error: cannot write to stdout\n  Caused by: no space left on device\n\nhint: free space or choose another place with -o\n"
        ),
        "{stderr}"
    );
    // A limit of 20 KiB on file sizes fails the same writes.
    for args in [
        &["-o", "clip.mp4"][..],
        &["-o", "clip.mkv"],
        &["--frames", "clip.mp4"],
    ] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -f 20; exec \"$@\"", "sh", LIPSYNC])
            .args(["render", "speech.wav", "-m", "tiny", "-b", "bg"])
            .args(args)
            .current_dir(&place.path)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let name = args[1];
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(
            stderr.ends_with(&format!(
                "error: cannot write `{name}`\n  Caused by: file too large\n             the limit is 10240 bytes per file (`ulimit -f`)\n\nhint: raise it with `ulimit -f unlimited`\n"
            )),
            "{stderr}"
        );
        assert_eq!(place.names(), ["bg", "speech.wav", "tiny"]);
    }
}

#[test]
fn a_clip_whose_part_vanishes_fails_and_leaves_nothing() {
    let place = Place::new();
    for name in ["a.mp4", "a.mkv"] {
        let spec = spec(name, "h264", FrameRate::TRAINED);
        let path = place.join(name);
        let mut clip = Box::new(ClipFile::create(target(&path), spec, &second(&place)).unwrap());
        (0..25).for_each(|i| clip.write(&composed(&quarters(i))).unwrap());
        let hidden = place.names().into_iter().find(|n| n.starts_with(".a."));
        fs::remove_file(place.join(&hidden.unwrap())).unwrap();
        let report = ErrorReport::of(&clip.finish().unwrap_err());
        assert_eq!(report.message, format!("cannot write `{}`", path.display()));
        assert!(
            report.causes[0].ends_with("was removed by another program"),
            "{:?}",
            report.causes
        );
        assert_eq!(report.exit, Exit::Failed);
        assert_eq!(place.names(), ["bg", "second.wav", "speech.wav", "tiny"]);
    }
}

#[test]
fn every_encoder_can_be_stopped_at_any_time() {
    let place = Place::new();
    for codec in ["h264", "h265", "av1"] {
        for frames in [0, 1, 20] {
            let spec = spec("a.mp4", codec, FrameRate::TRAINED);
            let path = place.join("a.mp4");
            let mut clip = ClipFile::create(target(&path), spec, &second(&place)).unwrap();
            (0..frames).for_each(|i| clip.write(&composed(&quarters(i))).unwrap());
            drop(clip);
            assert_eq!(place.names(), ["bg", "second.wav", "speech.wav", "tiny"]);
        }
    }
}

/// Type and content of the last box of an MP4 or MOV.
fn last_box(file: &[u8]) -> (String, Vec<u8>) {
    let (mut at, mut last) = (0, (String::new(), Vec::new()));
    while at < file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let kind = String::from_utf8(file[at + 4..at + 8].to_vec()).unwrap();
        last = (kind, file[at + 8..at + size].to_vec());
        at += size;
    }
    last
}

/// Whether the file ends with XMP that says it is partly generated.
fn marked(file: &[u8]) -> bool {
    let (kind, content) = last_box(file);
    let uuid = b"\xBE\x7A\xCF\xCB\x97\xA9\x42\xE8\x9C\x71\x99\x94\x91\xE3\xAF\xAC";
    kind == "uuid" && content.starts_with(uuid) && says_generated(&content[16..])
}

fn says_generated(xmp: &[u8]) -> bool {
    let text = std::str::from_utf8(xmp).unwrap();
    text.contains(
        "Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia\"",
    )
}

#[test]
fn clips_say_that_they_are_generated_unless_told_not_to() {
    let place = Place::new();
    let statement = format!(
        "AI-generated media: the mouth was rendered by lipsync {} with model tiny",
        env!("CARGO_PKG_VERSION")
    );
    for name in ["a.mp4", "a.mov", "a.mkv", "a.webm"] {
        place.render(&["-o", name, "--limit", "0.5"]);
        let tags = &probe(&place.join(name))["format"]["tags"];
        let matroska = name == "a.mkv" || name == "a.webm";
        let comment = if matroska { "COMMENT" } else { "comment" };
        assert_eq!(tags[comment], statement, "{name}");
        let file = fs::read(place.join(name)).unwrap();
        if matroska {
            let source = tags["DIGITAL_SOURCE_TYPE"].as_str().unwrap();
            assert!(source.ends_with("compositeWithTrainedAlgorithmicMedia"));
        } else {
            assert!(marked(&file), "{name}");
        }
        place.render(&["-o", name, "--limit", "0.5", "--no-mark", "--force"]);
        let file = fs::read(place.join(name)).unwrap();
        for word in ["lipsync", "AI-generated", "TrainedAlgorithmicMedia"] {
            let found = file.windows(word.len()).any(|w| w == word.as_bytes());
            assert!(!found, "{name} says {word}");
        }
    }
}

/// The text of a PNG's first `iTXt` chunk.
fn xmp_of_png(path: &Path) -> Option<String> {
    let decoder = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap()));
    let reader = decoder.read_info().unwrap();
    let chunk = reader.info().utf8_text.first()?;
    assert_eq!(chunk.keyword, "XML:com.adobe.xmp");
    Some(chunk.get_text().unwrap())
}

#[test]
fn frames_say_it_too_and_keep_alpha() {
    let place = Place::new();
    let folder = place.join("frames");
    for mark in [Some(Mark { model: "m".into() }), None] {
        let target = Target {
            path: folder.clone(),
            kind: OutputKind::Frames,
            force: true,
        };
        let mut sink = Box::new(PngFolder::create(target, mark.as_ref()).unwrap());
        let with_alpha = quarters(3);
        let opaque = Picture {
            alpha: None,
            ..quarters(0)
        };
        sink.write(&composed(&with_alpha)).unwrap();
        sink.write(&composed(&opaque)).unwrap();
        sink.finish().unwrap();
        let read = image::open(folder.join("000000.png")).unwrap();
        let image::DynamicImage::ImageRgba8(read) = read else {
            panic!("{:?}", read.color());
        };
        for (got, (rgb, a)) in read.pixels().zip(
            with_alpha
                .pixels
                .chunks_exact(3)
                .zip(with_alpha.alpha.as_ref().unwrap()),
        ) {
            assert_eq!(got.0, [rgb[0], rgb[1], rgb[2], *a]);
        }
        let read = image::open(folder.join("000001.png")).unwrap();
        let image::DynamicImage::ImageRgb8(read) = read else {
            panic!("{:?}", read.color());
        };
        assert_eq!(read.as_raw(), &opaque.pixels);
        let xmp = xmp_of_png(&folder.join("000001.png"));
        assert_eq!(xmp.is_some(), mark.is_some());
        assert!(xmp.is_none_or(|text| says_generated(text.as_bytes())));
    }
}

#[test]
fn prores_is_named_mov_and_webm_gets_av1() {
    let place = Place::new();
    place.render(&["--codec", "prores4444", "--limit", "0.2"]);
    place.render(&["-o", "b.webm", "--limit", "0.2"]);
    let codec = |name: &str| stream(&probe(&place.join(name)), "video")["codec_name"].clone();
    assert_eq!(
        (codec("speech.mov"), codec("b.webm")),
        ("prores".into(), "av1".into())
    );
}

#[test]
fn a_missing_encoder_is_told_with_those_that_are_there() {
    let place = Place::new();
    let output = place.run(&[
        "render",
        "speech.wav",
        "-m",
        "tiny",
        "-b",
        "bg",
        "--codec",
        "h264_nope",
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    for part in [
        "error: FFmpeg on this machine has no encoder `h264_nope`\n",
        "these video encoders are present: libx264, ",
        "apt install libavcodec-extra",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert_eq!(place.names(), ["bg", "speech.wav", "tiny"]);
}

#[test]
fn settings_and_containers_that_do_not_fit() {
    let place = Place::new();
    let errors: Vec<String> = [
        &["--crf", "52"][..],
        &["--codec", "av1", "--crf", "0"],
        &["--preset", "fats"],
        &["--codec", "av1", "--preset", "14"],
        &["--codec", "prores4444", "--crf", "3"],
        &["--codec", "prores4444", "--preset", "fast"],
        &["--codec", "prores4444", "-o", "a.mp4"],
        &["--codec", "h264", "-o", "a.webm"],
        &["--codec", "prores4444", "-o", "-"],
        &["--audio-bitrate", "900k"],
        &["--audio-bitrate", "much"],
        &["--codec", "h265", "--frames", "pngs"],
    ]
    .into_iter()
    .map(|args| {
        let base = ["render", "speech.wav", "-m", "tiny", "-b", "bg"];
        let output = place.run(&[&base, args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("$ {}\n{}", args.join(" "), stderr.trim_end())
    })
    .collect();
    assert_eq!(place.names(), ["bg", "speech.wav", "tiny"]);
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("settings_that_do_not_fit", errors.join("\n\n"));
    });
}
