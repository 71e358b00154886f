//! A thousand clips in one process: nothing grows. The test is alone in its process, because it measures all of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and print what they measured"
)]

use std::fs;
use std::path::Path;

use lipsync::Cancel;
use lipsync::audio::AudioFile;
use lipsync::background::Backgrounds;
use lipsync::background::Order;
use lipsync::encode::Container;
use lipsync::encode::FrameSink;
use lipsync::encode::Mark;
use lipsync::encode::PngFolder;
use lipsync::encode::{ClipFile, ClipFormat, ClipSpec};
use lipsync::encode::{Codec, VideoEncoder};
use lipsync::face::Paste;
use lipsync::inference::{Hardware, Networks, Runtime, TuneOptions};
use lipsync::output::{OutputKind, Target};
use lipsync::render::{Clip, FrameSelection};
use lipsync::timeline::{BackgroundIndex, FrameRate};

const CLIPS: usize = 1000;
/// Clips between two measurements.
const INTERVAL: usize = 50;

/// The resources of this process.
#[derive(Debug, PartialEq, Eq)]
struct Resources {
    kilobytes: u64,
    threads: u64,
    files: usize,
}

impl Resources {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.unwrap().split_whitespace().next();
            word.unwrap().parse().unwrap()
        };
        Self {
            kilobytes: number("VmRSS:"),
            threads: number("Threads:"),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }
}

/// Makes the allocator return large free buffers to the system at once. By default it keeps a varying number of them, which
/// could hide a leak.
#[expect(unsafe_code, reason = "only the C library has this setting")]
fn return_free_memory_at_once() {
    unsafe extern "C" {
        fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
    }
    const M_MMAP_THRESHOLD: std::ffi::c_int = -3;
    // SAFETY: mallopt(3) takes two numbers; the only other thread waits for this test.
    assert_eq!(unsafe { mallopt(M_MMAP_THRESHOLD, 256 << 10) }, 1);
}

fn material(folder: &Path) {
    let frames = folder.join("frames");
    fs::create_dir(&frames).unwrap();
    for i in 0..3_u8 {
        let picture = image::RgbImage::from_fn(64, 64, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 3) as u8, 60 * i])
        });
        picture.save(frames.join(format!("{i}.png"))).unwrap();
    }
    let rects = "[[16, 16, 48, 48], [16, 16, 48, 48], [16, 16, 48, 48]]";
    fs::write(frames.join("crop_rects.json"), rects).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(folder.join("talk.wav"), spec).unwrap();
    (0..4410).for_each(|i| wav.write_sample((i % 90 * 200) as i16).unwrap());
    wav.finalize().unwrap();
}

fn render(folder: &Path, networks: &mut Networks, number: usize) {
    let sound = AudioFile::open(&folder.join("talk.wav"), None).unwrap();
    let backgrounds =
        Backgrounds::open(&folder.join("frames"), None, FrameRate::TRAINED, false).unwrap();
    let fps = FrameRate::TRAINED;
    let frames = fps.frames_covering(sound.frames, sound.rate);
    let selection = FrameSelection::Range(0..frames);
    let clip = Clip {
        sound: &sound,
        rest: None,
        backgrounds: &backgrounds,
        cache_bytes: 1 << 20,
        order: Order::PingPong,
        start: BackgroundIndex(0),
        paste: Paste::Seamless,
        fps,
        frames: &selection,
        batch: 2,
    };
    let mark = Mark {
        model: "tiny".into(),
    };
    let as_pictures = number.is_multiple_of(4);
    let target = Target {
        path: folder.join(if as_pictures { "out" } else { "out.mp4" }),
        kind: if as_pictures {
            OutputKind::Frames
        } else {
            OutputKind::File
        },
        force: true,
    };
    let mut sink: Box<dyn FrameSink> = if as_pictures {
        Box::new(PngFolder::create(target, Some(&mark)).unwrap())
    } else {
        let encoder = VideoEncoder::find(&Codec::H264).unwrap();
        let spec = ClipSpec {
            size: backgrounds.size(),
            fps,
            frames,
            part: None,
            format: ClipFormat {
                container: Container::Mp4,
                video: encoder.settings(None, None).unwrap(),
                audio_bitrate: None,
            },
            threads: 2,
            deterministic: false,
            mark: Some(mark),
            #[cfg(feature = "credentials")]
            signer: None,
        };
        Box::new(ClipFile::create(target, spec, &sound).unwrap())
    };
    lipsync::render::run_pipeline(
        clip,
        &mut networks.encoder,
        &mut networks.generators,
        sink.as_mut(),
        &Cancel::default(),
        |_| (),
    )
    .unwrap();
    sink.finish().unwrap();
}

#[test]
fn a_thousand_clips_leave_nothing_behind() {
    return_free_memory_at_once();
    let dir = tempfile::tempdir().unwrap();
    material(dir.path());
    let runtime = Runtime::load(&lipsync::runtime_library().unwrap()).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let mut networks = Networks::load(
        &runtime,
        &tiny.join("tiny_audio_encoder.onnx"),
        &tiny.join("tiny_generator.onnx"),
        Hardware::cpu(2),
        TuneOptions::EXACT,
    )
    .unwrap();
    let mut measured = Vec::new();
    for number in 1..=CLIPS {
        render(dir.path(), &mut networks, number);
        if number % INTERVAL == 0 {
            measured.push(Resources::now());
        }
    }
    let (first, last) = (&measured[0], &measured[measured.len() - 1]);
    println!("after {INTERVAL} clips {first:?}, after {CLIPS} {last:?}");
    // Something that is allocated once, late, is not a leak: a leak grows in most intervals. In some runs, the allocator
    // takes 7 MB once between two of them.
    let mut growth: Vec<i64> = measured
        .windows(2)
        .map(|pair| pair[1].kilobytes as i64 - pair[0].kilobytes as i64)
        .collect();
    growth.sort_unstable();
    let steady = growth[growth.len() / 2] * growth.len() as i64;
    let start = first.kilobytes as f64;
    assert!(steady as f64 <= 0.05 * start, "{steady} kB: {measured:?}");
    assert!(last.kilobytes as f64 <= 1.15 * start, "{measured:?}");
    assert_eq!((last.threads, last.files), (first.threads, first.files));
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["frames", "out", "out.mp4", "talk.wav"]);
}
