//! Inputs made to break programs: no panic, no hang, little memory, and no file outside the output folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Place, decode, pictures, probe};
use crate::watchdog::watched;

/// Memory limit of a run, MB.
const MOST_MEMORY: f64 = 1000.0;

/// A folder with small frames in `small/`, a fifth of a second of audio in `talk.wav`, and `out/`.
fn place() -> Place {
    let place = Place::new();
    place.backgrounds("small", 2, 64, 64);
    place.wav("talk.wav", 16_000, 1, 0.2, |_, t| (t * 900.0).sin() * 0.3);
    fs::create_dir(place.join("out")).unwrap();
    place
}

/// Runs `render AUDIO -m MODEL -b BACKGROUND` with more arguments.
fn render(place: &Place, [audio, model, background]: [&OsStr; 3], args: &[&OsStr]) -> Output {
    let before = place.names();
    let mut command = place.command(&["render", "--device", "cpu", "--report", "out/r.json"]);
    command.args(["--progress", "json", "-m"]).arg(model);
    command.arg("-b").arg(background).args(args);
    let output = watched(command.arg("--").arg(audio));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(place.names(), before, "{said}");
    let report = fs::read(place.join("out/r.json"));
    let report = report.unwrap_or_else(|e| panic!("no report: {e}; {said}"));
    fs::remove_file(place.join("out/r.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let peak = report["peak_rss_mb"].as_f64().unwrap();
    assert!(peak < MOST_MEMORY, "it took {peak} MB: {said}");
    output
}

/// Runs a command that must fail with exit code 1 or 2; returns message, causes and hint.
fn refused(place: &Place, audio: &str, model: &str, background: &str) -> String {
    let inputs = [audio, model, background].map(OsStr::new);
    let output = render(place, inputs, &["-o", "out/clip.mp4"].map(OsStr::new));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
    assert_eq!(fs::read_dir(place.join("out")).unwrap().count(), 0);
    let failure = said.lines().last().unwrap();
    assert!(failure.starts_with(r#"{"event":"failure""#), "{said}");
    failure.to_owned()
}

/// Runs a command that must succeed; returns the number of frames.
fn rendered(place: &Place, audio: &str, model: &str, background: &str) -> u64 {
    let inputs = [audio, model, background].map(OsStr::new);
    let output = render(place, inputs, &["-o", "out/clip.mp4"].map(OsStr::new));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let clip = place.join("out/clip.mp4");
    let probed = probe(&clip);
    fs::remove_file(clip).unwrap();
    let frames = probed["streams"][0]["nb_frames"].as_str().unwrap();
    frames.parse().unwrap()
}

/// A WAV header: format tag, channels, rate, bytes of a sample of all channels, bits, and the size of the samples.
fn wav_header(tag: u16, channels: u16, rate: u32, block: u16, bits: u16, size: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\xf0\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.saturating_mul(block.into()).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    bytes
}

#[test]
fn sounds_that_promise_too_much() {
    let place = place();
    let samples = [7; 3200];
    let sound = |header: Vec<u8>| [header, samples.to_vec()].concat();
    let plain = |size| wav_header(1, 1, 16_000, 2, 16, size);
    let mut long = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    long.extend([0xff; 28]);
    long.extend(&plain(u32::MAX)[12..]);
    let mut endless_chunk = plain(0)[..36].to_vec();
    endless_chunk.extend(b"junk\xff\xff\xff\xff");
    for (bytes, expected) in [
        (sound(plain(0xFFFF_0000)), "says 4294901760 bytes"),
        (sound(long), "cannot read audio"),
        (sound(endless_chunk), "its header is truncated"),
        (
            sound(wav_header(1, u16::MAX, 16_000, 2, 16, 3200)),
            "cannot read audio",
        ),
        (
            sound(wav_header(1, 0, 16_000, 2, 16, 3200)),
            "cannot read audio",
        ),
        (sound(wav_header(1, 1, 0, 2, 16, 3200)), "cannot read audio"),
        (
            sound(wav_header(1, 1, u32::MAX, 2, 16, 3200)),
            "cannot read audio",
        ),
        (
            sound(wav_header(1, 1, 16_000, 0, 0, 3200)),
            "cannot read audio",
        ),
        (
            sound(wav_header(0x1234, 1, 16_000, 2, 16, 3200)),
            "cannot read audio",
        ),
        (
            sound(wav_header(3, 8, 16_000, 7, 9, 3200)),
            "cannot read audio",
        ),
    ] {
        fs::write(place.join("talk.wav"), bytes).unwrap();
        let said = refused(&place, "talk.wav", "tiny", "small");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // Written by programs that cannot seek back to the header: the audio ends where the file does.
    fs::write(place.join("talk.wav"), sound(plain(u32::MAX))).unwrap();
    assert_eq!(rendered(&place, "talk.wav", "tiny", "small"), 3);
}

#[test]
fn samples_that_are_no_numbers() {
    let place = place();
    let odd = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        1e-42,
        0.5,
    ];
    let mut bytes = wav_header(3, 1, 16_000, 4, 32, 16_000 * 4);
    bytes.extend((0..16_000).flat_map(|i| odd[i % odd.len()].to_le_bytes()));
    fs::write(place.join("talk.wav"), bytes).unwrap();
    let args = ["--frames", "out/frames"].map(OsStr::new);
    let output = render(&place, ["talk.wav", "tiny", "bg"].map(OsStr::new), &args);
    assert!(output.status.success());
    // The mouth is still a mouth: NaN in the networks would paint it black.
    let mean =
        |pixels: &[u8]| pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64;
    for frame in pictures(&place.join("out/frames")) {
        assert!(mean(frame.as_raw()) > 20.0);
    }
    fs::remove_dir_all(place.join("out/frames")).unwrap();
    assert_eq!(rendered(&place, "talk.wav", "tiny", "small"), 25);
}

/// A PNG with these chunks after its header.
fn png(width: u32, height: u32, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ]
    .concat();
    for (kind, content) in [&[(b"IHDR", &header[..])], chunks].concat() {
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(&kind[..]);
        bytes.extend(content);
        bytes.extend(crc(&[&kind[..], content].concat()).to_be_bytes());
    }
    bytes
}

/// The checksum of PNG chunks (ISO/IEC 15948, annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    })
}

#[test]
fn pictures_that_swell() {
    let place = place();
    let frame = place.join("small/frame_0001.png");
    let told = |bytes: &[u8]| {
        // The same size as the first frame, so that the size is no reason to reject it.
        fs::write(place.join("small/frame_0000.png"), bytes).unwrap();
        fs::write(&frame, bytes).unwrap();
        refused(&place, "talk.wav", "tiny", "small")
    };
    for side in [65_535, 8193, u32::MAX >> 1] {
        let said = told(&png(side, side, &[(b"IDAT", b""), (b"IEND", b"")]));
        assert!(said.contains("cannot read background frame"), "{said}");
    }
    // 432 MB of black pixels in about 400 kB.
    let mut bomb = Vec::new();
    let mut encoder = png::Encoder::new(&mut bomb, 12_000, 12_000);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    for _ in 0..12_000 {
        stream.write_all(&vec![0; 36_000]).unwrap();
    }
    stream.finish().unwrap();
    writer.finish().unwrap();
    assert!(bomb.len() < 4_000_000, "{}", bomb.len());
    let said = told(&bomb);
    assert!(
        said.contains("it is 12000x12000; the maximum is 8192x8192"),
        "{said}"
    );
    // A small picture with a colour profile of that size.
    let content = compressed_zeros();
    let profile = [b"p\0\0", &content[..]].concat();
    let said = told(&png(
        64,
        64,
        &[(b"iCCP", &profile), (b"IDAT", b""), (b"IEND", b"")],
    ));
    assert!(said.contains("cannot read background frame"), "{said}");
}

#[test]
fn a_jpeg_that_promises_too_much() {
    let place = place();
    fs::create_dir(place.join("large")).unwrap();
    // Start, 65535x65535, end.
    let bytes =
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9";
    fs::write(place.join("large/0.jpg"), bytes).unwrap();
    fs::write(place.join("large/crop_rects.json"), "[[0, 0, 9, 9]]").unwrap();
    let said = refused(&place, "talk.wav", "tiny", "large");
    assert!(said.contains("background frame `large/0.jpg`"), "{said}");
}

/// 400 MB of zeros as a zlib stream: the picture data of a PNG is one.
fn compressed_zeros() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 20_000, 20_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    for _ in 0..20_000 {
        stream.write_all(&vec![0; 20_000]).unwrap();
    }
    stream.finish().unwrap();
    writer.finish().unwrap();
    let mut at = 8;
    let mut content = Vec::new();
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if &bytes[at + 4..at + 8] == b"IDAT" {
            content.extend(&bytes[at + 8..at + 8 + size]);
        }
        at += 12 + size;
    }
    content
}

#[test]
fn a_picture_of_one_pixel() {
    let place = place();
    fs::create_dir(place.join("dot")).unwrap();
    image::RgbImage::from_pixel(1, 1, image::Rgb([200, 100, 50]))
        .save(place.join("dot/0.png"))
        .unwrap();
    fs::write(place.join("dot/crop_rects.json"), "[[0, 0, 1, 1]]").unwrap();
    let args = ["--frames", "out/frames"].map(OsStr::new);
    let output = render(&place, ["talk.wav", "tiny", "dot"].map(OsStr::new), &args);
    assert!(output.status.success());
    let frames = pictures(&place.join("out/frames"));
    assert!(frames.len() == 5 && frames[0].dimensions() == (1, 1));
    fs::remove_dir_all(place.join("out/frames")).unwrap();
    let args = ["-o", "out/clip.mp4"].map(OsStr::new);
    let output = render(&place, ["talk.wav", "tiny", "dot"].map(OsStr::new), &args);
    assert!(output.status.success(), "{:?}", output.stderr);
    decode(&place.join("out/clip.mp4"), &place.join("decoded"));
    assert_eq!(pictures(&place.join("decoded")).len(), 5);
}

/// Ten levels of YAML lists, each with ten aliases of the one before: 10^10 words if expanded.
fn exploding_yaml(key: &str) -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let before = format!("*a{}, ", i - 1).repeat(10);
        let list = before.trim_end_matches(", ");
        text = format!("{text}a{i}: &a{i} [{list}]\n");
    }
    text + &format!("{key}: *a9\n")
}

#[test]
fn text_that_explodes() {
    let place = place();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        exploding_yaml("model_id"),
        deep.clone(),
        "model_id: &a [*a]\n".into(),
    ] {
        fs::write(place.join("tiny/model.yaml"), text).unwrap();
        let said = refused(&place, "talk.wav", "tiny", "small");
        assert!(said.contains("tiny/model.yaml"), "{said}");
    }
    fs::remove_file(place.join("tiny/model.yaml")).unwrap();
    for text in [
        exploding_yaml("models"),
        format!("models: {deep}"),
        "models: &a [*a]\n".into(),
    ] {
        fs::write(place.join("lipsync.yaml"), text).unwrap();
        let said = refused(&place, "talk.wav", "tiny", "small");
        assert!(
            said.contains("cannot read config `lipsync.yaml`, line "),
            "{said}"
        );
    }
    fs::remove_file(place.join("lipsync.yaml")).unwrap();
    for text in [
        deep,
        "[[0, 0, 1e400, 5], [0, 0, 5, 5]]".into(),
        "[[-9223372036854775808, 0, 9223372036854775807, 5], [0, 0, 5, 5]]".into(),
    ] {
        fs::write(place.join("small/crop_rects.json"), text).unwrap();
        let said = refused(&place, "talk.wav", "tiny", "small");
        assert!(said.contains("small/crop_rects.json"), "{said}");
    }
}

#[test]
fn a_models_name_that_no_tag_takes() {
    let place = place();
    fs::write(
        place.join("tiny/model.yaml"),
        "model_id: \"a\\0b\\n\\x1b[31m<&>\"\nbackground: small\n",
    )
    .unwrap();
    assert_eq!(rendered(&place, "talk.wav", "tiny", "small"), 5);
}

/// The fields of a protocol buffer message, each with its key: numbers as encoded, everything else without its length.
struct Message(Vec<(u64, Vec<u8>)>);

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let number = |bytes: &mut &[u8]| {
            let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
            let (number, rest) = bytes.split_at(end + 1);
            *bytes = rest;
            let parts = number.iter().rev();
            parts.fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
        };
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let content = match key & 7 {
                0 => varint(number(&mut bytes)),
                1 => bytes.split_off(..8).unwrap().to_vec(),
                2 => {
                    let size = number(&mut bytes) as usize;
                    bytes.split_off(..size).unwrap().to_vec()
                }
                _ => bytes.split_off(..4).unwrap().to_vec(),
            };
            fields.push((key, content));
        }
        Self(fields)
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, content) in &self.0 {
            bytes.extend(varint(*key));
            if key & 7 == 2 {
                bytes.extend(varint(content.len() as u64));
            }
            bytes.extend(content);
        }
        bytes
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The key of a length-delimited field.
fn field(number: u64) -> u64 {
    number << 3 | 2
}

/// Moves the weights `name` of a network out of its file: returns the file, which looks for them at `location`, and the
/// weights (onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.external_data).
pub(crate) fn without_weights(network: &[u8], name: &str, location: &str) -> (Vec<u8>, Vec<u8>) {
    let mut model = Message::read(network);
    let mut taken = Vec::new();
    for (_, content) in model.0.iter_mut().filter(|(key, _)| *key == field(7)) {
        let mut graph = Message::read(content);
        for (_, content) in graph.0.iter_mut().filter(|(key, _)| *key == field(5)) {
            let mut tensor = Message::read(content);
            if !tensor.0.contains(&(field(8), name.into())) {
                continue;
            }
            tensor.0.retain(|(key, content)| {
                if *key == field(9) {
                    taken.clone_from(content);
                }
                *key != field(9)
            });
            let size = taken.len().to_string();
            for (key, value) in [("location", location), ("length", size.as_str())] {
                let entry = Message(vec![(field(1), key.into()), (field(2), value.into())]);
                tensor.0.push((field(13), entry.write()));
            }
            tensor.0.push((14 << 3, vec![1]));
            *content = tensor.write();
        }
        *content = graph.write();
    }
    assert!(!taken.is_empty());
    (model.write(), taken)
}

/// The network with other values for the weights `name`.
pub(crate) fn with_weights(network: &[u8], name: &str, values: &[u8]) -> Vec<u8> {
    let mut model = Message::read(network);
    for (_, content) in model.0.iter_mut().filter(|(key, _)| *key == field(7)) {
        let mut graph = Message::read(content);
        for (_, content) in graph.0.iter_mut().filter(|(key, _)| *key == field(5)) {
            let mut tensor = Message::read(content);
            if tensor.0.contains(&(field(8), name.into())) {
                tensor.0.retain(|(key, _)| *key != field(9));
                tensor.0.push((field(9), values.to_vec()));
                *content = tensor.write();
            }
        }
        *content = graph.write();
    }
    model.write()
}

#[test]
fn weights_outside_the_networks_file() {
    let place = place();
    let file = place.join("tiny/audio_encoder.onnx");
    let whole = fs::read(&file).unwrap();
    fs::create_dir(place.join("tiny/sub")).unwrap();
    // Next to the network, and in a folder below: where exporters put large weights.
    for location in ["picks.data", "sub/picks.data"] {
        let (network, weights) = without_weights(&whole, "picks", location);
        fs::write(&file, network).unwrap();
        fs::write(place.join("tiny").join(location), weights).unwrap();
        for model in [
            "tiny",
            "./tiny/generator.onnx",
            place.join("tiny").to_str().unwrap(),
        ] {
            assert_eq!(rendered(&place, "talk.wav", model, "small"), 5);
        }
        fs::remove_file(place.join("tiny").join(location)).unwrap();
    }
    // Anywhere else is refused, although the weights are there.
    let secret = place.join("secret");
    let absolute = secret.to_str().unwrap().to_owned();
    let (_, weights) = without_weights(&whole, "picks", "");
    fs::write(&secret, weights).unwrap();
    std::os::unix::fs::symlink("../secret", place.join("tiny/link")).unwrap();
    for location in ["../secret", "secret", "sub/../../secret", &absolute, "link"] {
        let (network, _) = without_weights(&whole, "picks", location);
        fs::write(&file, network).unwrap();
        let said = refused(&place, "talk.wav", "tiny", "small");
        assert!(
            said.contains("cannot load audio encoder `tiny/audio_encoder.onnx`")
                && (said.contains("outside its folder")
                    || said.contains("cannot read its weights")),
            "{location}: {said}"
        );
    }
}

#[test]
fn names_of_all_kinds() {
    let place = place();
    let long = "l".repeat(246);
    let accents = "é".repeat(123);
    for name in [
        "two words",
        "it's \"quoted\"",
        "new\nline",
        "$(touch pwned); `touch pwned` & *",
        "%d %s %n %06d",
        "pipe:1",
        "-f",
        "\u{1f600} \u{202e}",
        &long,
        &accents,
    ] {
        named(&place, OsStr::new(name));
    }
    named(&place, OsStr::from_bytes(b"caf\xe9"));
}

/// Renders with audio, model, background and output of this name.
fn named(place: &Place, name: &OsStr) {
    let with = |folder: &str, end: &str| {
        let mut path = OsString::from(folder);
        path.push(name);
        path.push(end);
        path
    };
    let base = tempfile::tempdir_in(&place.path).unwrap();
    let inside = |path: &OsStr| base.path().join(path);
    for folder in ["out", "m", "b"] {
        fs::create_dir(inside(folder.as_ref())).unwrap();
    }
    fs::copy(place.join("talk.wav"), inside(&with("", ".wav"))).unwrap();
    for (from, to) in [("tiny", with("m/", "")), ("small", with("b/", ""))] {
        copy(&place.join(from), &inside(&to));
    }
    let run = |args: &[&OsStr]| {
        let mut command = Command::new(crate::support::LIPSYNC);
        command
            .env_remove("LIPSYNC_HOME")
            .env_remove("ORT_DYLIB_PATH");
        command.args(["render", "--device", "cpu", "--progress", "json", "--force"]);
        command
            .arg("-m")
            .arg(with("m/", ""))
            .arg("-b")
            .arg(with("b/", ""));
        command.arg("--report").arg(with("out/", ".jso")).args(args);
        let output = watched(
            command
                .arg("--")
                .arg(with("", ".wav"))
                .current_dir(base.path()),
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{}: {said}", name.display());
        let events = said.lines().map(serde_json::from_str::<Value>);
        events.for_each(|event| drop(event.unwrap_or_else(|e| panic!("{e}: {said}"))));
        let report = fs::read(inside(&with("out/", ".jso")));
        let report = report.unwrap_or_else(|e| panic!("{e}: {said}"));
        serde_json::from_slice::<Value>(&report).unwrap();
        (output, said)
    };
    // `-o -f.mp4` would be parsed as options.
    let mut clip = OsString::from("--output=");
    clip.push(with("out/", ".mp4"));
    let (output, said) = run(&[&clip]);
    let path = inside(&with("out/", ".mp4"));
    assert!(output.status.success(), "{said}");
    assert_eq!(probe(&path)["streams"][0]["nb_frames"], "5");
    for _ in 0..2 {
        let (output, said) = run(&[
            OsStr::new("--frames"),
            &with("out/", ""),
            OsStr::new("--contact-sheet"),
            &with("out/", ".png"),
        ]);
        assert!(output.status.success(), "{said}");
        assert_eq!(pictures(&inside(&with("out/", ""))).len(), 5);
        image::open(inside(&with("out/", ".png"))).unwrap();
    }
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&inside("out".as_ref())), 4);
    assert_eq!(
        names(base.path()),
        4,
        "something was written outside of out"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
