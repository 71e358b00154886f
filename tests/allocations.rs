//! A render allocates at the beginning: twice the frames need no more allocations.
//!
//! Counts Rust's allocations in all threads, but not those of FFmpeg and ONNX Runtime. The test is alone in its process,
//! because it counts all of them.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "only an allocator can count; tests fail by panicking and print what they measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use lipsync::Cancel;
use lipsync::audio::AudioFile;
use lipsync::background::Backgrounds;
use lipsync::background::Order;
use lipsync::encode::Container;
use lipsync::encode::{ClipFile, ClipFormat, ClipSpec};
use lipsync::encode::{Codec, VideoEncoder};
use lipsync::face::{OUTPUT_LEN, Paste};
use lipsync::inference::{AudioEncoder, Face, Generator};
use lipsync::output::{OutputKind, Target};
use lipsync::render::{Clip, FrameSelection};
use lipsync::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// Frames of the shorter render.
const FRAMES: u64 = 100;
/// The thread pool's queue allocates a new block for every 63 tasks from outside, and frees the last one.
const TOLERANCE: usize = 20;

/// The system's allocator, with a count of allocations.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Networks with constant output.
struct Constant;

impl AudioEncoder for Constant {
    fn encode(&mut self, _: usize, _: &[f32], embeddings: &mut [f32]) -> Result<()> {
        embeddings.fill(0.5);
        Ok(())
    }
}

impl Generator for Constant {
    fn generate(&mut self, faces: &[Face<'_>], _: &[f32], output: &mut [f32]) -> Result<()> {
        assert_eq!(output.len(), faces.len() * OUTPUT_LEN);
        output.fill(0.25);
        Ok(())
    }
}

/// Frames of an odd size with a rectangle at odd coordinates, and audio for twice [`FRAMES`].
fn material(folder: &Path) {
    let frames = folder.join("frames");
    fs::create_dir(&frames).unwrap();
    for i in 0..5_u8 {
        let picture = image::RgbImage::from_fn(161, 121, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 3) as u8, 40 * i])
        });
        picture.save(frames.join(format!("{i}.png"))).unwrap();
    }
    let rects = "[[31, 21, 131, 121], [31, 21, 131, 121], [31, 21, 131, 121], [31, 21, 131, 121], [31, 21, 131, 121]]";
    fs::write(frames.join("crop_rects.json"), rects).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(folder.join("talk.wav"), spec).unwrap();
    (0..FRAMES * 2 * 640).for_each(|i| wav.write_sample((i % 90 * 200) as i16).unwrap());
    wav.finalize().unwrap();
}

/// Allocations of a render of `frames` frames, from the first batch to the last frame in the encoder.
fn allocations(folder: &Path, frames: u64, batch: usize, paste: Paste) -> usize {
    let fps = FrameRate::TRAINED;
    let sound = AudioFile::open(
        &folder.join("talk.wav"),
        Some(fps.seconds(FrameIndex(frames))),
    )
    .unwrap();
    let backgrounds = Backgrounds::open(&folder.join("frames"), None, fps, false).unwrap();
    let selection = FrameSelection::Range(0..frames);
    let clip = Clip {
        sound: &sound,
        rest: None,
        backgrounds: &backgrounds,
        cache_bytes: 10 << 20,
        order: Order::PingPong,
        start: BackgroundIndex(0),
        paste,
        fps,
        frames: &selection,
        batch,
    };
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
        mark: None,
        #[cfg(feature = "credentials")]
        signer: None,
    };
    let target = Target {
        path: folder.join("out.mp4"),
        kind: OutputKind::File,
        force: true,
    };
    let mut sink = ClipFile::create(target, spec, &sound).unwrap();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut generators = [Constant, Constant];
    lipsync::render::run_pipeline(
        clip,
        &mut Constant,
        &mut generators,
        &mut sink,
        &Cancel::default(),
        |_| (),
    )
    .unwrap();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn twice_the_frames_take_no_more_allocations() {
    let dir = tempfile::tempdir().unwrap();
    material(dir.path());
    for (batch, paste) in [
        (1, Paste::Seamless),
        (3, Paste::Seamless),
        (2, Paste::Reference),
    ] {
        let render = |frames| allocations(dir.path(), frames, batch, paste);
        // The first run also allocates what a process needs once.
        render(FRAMES);
        let (once, twice) = (render(FRAMES), render(2 * FRAMES));
        println!("{paste:?}, batches of {batch}: {once} for {FRAMES} frames, {twice} for twice");
        assert!(
            twice <= once + TOLERANCE,
            "{paste:?}, batches of {batch}: {once}, then {twice}"
        );
    }
}
