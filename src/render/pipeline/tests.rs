//! The stages with stub networks and sinks: frame order, root causes, panics, frames at rest.

use super::*;
use crate::audio::AudioFile;
use crate::audio::voice_activity::RestSchedule;
use crate::audio::voice_activity::VoiceActivity;
use crate::background::Backgrounds;
use crate::background::order::Order;
use crate::encode::png::PngFolder;
use crate::error::{ErrorReport, Exit};
use crate::face::Paste;
use crate::image::Rect;
use crate::inference::stub::{CopyGenerator, MeanEncoder};
use crate::output::{OutputKind, StagedOutput, Target};
use crate::timeline::{BackgroundIndex, FrameRate};
use anyhow::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Three small background frames and a second of audio in `dir`.
fn fixtures(dir: &Path) -> (PathBuf, PathBuf) {
    let backgrounds = dir.join("backgrounds");
    std::fs::create_dir(&backgrounds).unwrap();
    for i in 0..3_u8 {
        let picture = image::RgbImage::from_pixel(96, 80, image::Rgb([40 * i, 100, 200]));
        picture.save(backgrounds.join(format!("{i}.png"))).unwrap();
    }
    std::fs::write(
        backgrounds.join("crop_rects.json"),
        "[[8,8,72,72],[9,8,73,72],[10,8,74,72]]",
    )
    .unwrap();
    let wav = dir.join("second.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    (0..16_000).for_each(|i| writer.write_sample((i % 300 * 50) as i16).unwrap());
    writer.finalize().unwrap();
    (backgrounds, wav)
}

/// Keeps all frames, or fails at one of them.
#[derive(Default)]
struct MemorySink {
    frames: Vec<Picture>,
    fails_at: Option<usize>,
}

impl FrameSink for MemorySink {
    fn forms(&self) -> FrameFormats {
        FrameFormats::RGB
    }

    fn write(&mut self, frame: &ComposedFrame) -> Result<()> {
        anyhow::ensure!(self.fails_at != Some(self.frames.len()), "the disk is full");
        let mut whole = Picture::default();
        frame.draw(&mut whole)?;
        self.frames.push(whole);
        Ok(())
    }

    fn complete(self: Box<Self>) -> Result<Option<StagedOutput>> {
        Ok(None)
    }
}

/// The simplest clip: one background, no rest, batches of one frame.
fn clip<'a>(
    sound: &'a AudioFile,
    backgrounds: &'a Backgrounds,
    frames: &'a FrameSelection,
) -> Clip<'a> {
    Clip {
        sound,
        rest: None,
        backgrounds,
        cache_bytes: 1 << 20,
        order: Order::Hold,
        start: BackgroundIndex(0),
        paste: Paste::Reference,
        fps: FrameRate::TRAINED,
        frames,
        batch: 1,
    }
}

/// What a test varies.
#[derive(Default)]
struct Setup {
    batch: usize,
    generators: usize,
    rest: Option<RestSchedule>,
    selection: Option<FrameSelection>,
}

fn render(
    setup: &Setup,
    sink: &mut MemorySink,
    cancel: &Cancel,
    on_batch: impl FnMut(usize) -> Result<()> + Send,
) -> Result<Vec<StageTime>> {
    let dir = tempfile::tempdir()?;
    let (backgrounds, wav) = fixtures(dir.path());
    let sound = AudioFile::open(&wav, None)?;
    let backgrounds = Backgrounds::open(&backgrounds, None, FrameRate::TRAINED, false)?;
    let all = FrameRate::TRAINED.frames_covering(sound.frames, sound.rate);
    let whole = FrameSelection::Range(0..all);
    let clip = Clip {
        rest: setup.rest.as_ref(),
        order: Order::PingPong,
        batch: setup.batch.max(1),
        ..clip(
            &sound,
            &backgrounds,
            setup.selection.as_ref().unwrap_or(&whole),
        )
    };
    let on_batch = Mutex::new(on_batch);
    let mut generators: Vec<_> = (0..setup.generators.max(1))
        .map(|_| CopyGenerator {
            on_batch: |batch| on_batch.lock().unwrap()(batch),
            batches: 0,
        })
        .collect();
    run(
        clip,
        &mut MeanEncoder,
        &mut generators,
        sink,
        cancel,
        |_| (),
    )
}

fn batches_of(batch: usize) -> Setup {
    Setup {
        batch,
        ..Setup::default()
    }
}

#[test]
fn all_frames_arrive_in_order_whatever_the_batch_and_however_many_generators() {
    let render = |batch, generators| {
        let mut sink = MemorySink::default();
        render(
            &Setup {
                generators,
                ..batches_of(batch)
            },
            &mut sink,
            &Cancel::default(),
            |_| Ok(()),
        )
        .unwrap();
        sink.frames
    };
    let frames = render(1, 1);
    assert_eq!(frames.len(), 25);
    let blue: Vec<u8> = frames.iter().take(6).map(|f| f.pixels[0]).collect();
    assert_eq!(blue, [0, 40, 80, 40, 0, 40]);
    for (batch, generators) in [(4, 1), (25, 1), (100, 1), (1, 2), (1, 3), (4, 3), (25, 2)] {
        assert!(
            frames == render(batch, generators),
            "batches of {batch}, {generators} generators"
        );
    }
}

#[test]
fn the_root_cause_is_told_wherever_it_lies() {
    let failing = |fails_at, on_batch: fn(usize) -> Result<()>| {
        let mut sink = MemorySink {
            fails_at,
            ..MemorySink::default()
        };
        format!(
            "{:#}",
            render(&batches_of(2), &mut sink, &Cancel::default(), on_batch).unwrap_err()
        )
    };
    assert_eq!(failing(Some(3), |_| Ok(())), "the disk is full");
    assert_eq!(
        failing(None, |n| if n == 4 {
            anyhow::bail!("no memory left")
        } else {
            Ok(())
        }),
        "no memory left"
    );
    assert_eq!(
        failing(None, |n| if n == 2 {
            panic!("index 7 of 6")
        } else {
            Ok(())
        }),
        "the infer stage panicked: index 7 of 6"
    );
}

/// An audio encoder that has a bug.
struct Broken;

impl AudioEncoder for Broken {
    fn encode(&mut self, _: usize, _: &[f32], _: &mut [f32]) -> Result<()> {
        panic!("a bug")
    }
}

/// A PNG folder with a bug after `good` frames.
struct BrokenSink {
    frames: PngFolder,
    good: usize,
}

impl FrameSink for BrokenSink {
    fn forms(&self) -> FrameFormats {
        self.frames.forms()
    }

    fn write(&mut self, frame: &ComposedFrame) -> Result<()> {
        self.good = self.good.checked_sub(1).unwrap_or_else(|| panic!("a bug"));
        self.frames.write(frame)
    }

    fn complete(self: Box<Self>) -> Result<Option<StagedOutput>> {
        Ok(None)
    }
}

/// A rectangle outside the frames, which no check would accept.
const OUTSIDE: Rect = Rect {
    x0: 200,
    y0: 200,
    x1: 240,
    y1: 240,
};

/// The error if `stage` of a render into a PNG folder panics. Nothing may be left of the folder.
fn panicked(stage: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (backgrounds, wav) = fixtures(dir.path());
    let sound = AudioFile::open(&wav, None).unwrap();
    let mut backgrounds = Backgrounds::open(&backgrounds, None, FrameRate::TRAINED, false).unwrap();
    if stage == "prepare" {
        backgrounds = backgrounds.with_rect(OUTSIDE);
    }
    let whole = FrameSelection::Range(0..25);
    let clip = Clip {
        batch: 2,
        ..clip(&sound, &backgrounds, &whole)
    };
    let mut generator = CopyGenerator {
        on_batch: |n| {
            assert!(n < 2 || stage != "infer", "a bug");
            Ok(())
        },
        batches: 0,
    };
    let encoder: &mut dyn AudioEncoder = match stage {
        "listen" => &mut Broken,
        _ => &mut MeanEncoder,
    };
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let target = Target {
        path: out.join("frames"),
        kind: OutputKind::Frames,
        force: false,
    };
    let frames = PngFolder::create(target, None).unwrap();
    let good = if stage == "encode" { 3 } else { 25 };
    let mut sink = BrokenSink { frames, good };
    let error = run(
        clip,
        encoder,
        std::slice::from_mut(&mut generator),
        &mut sink,
        &Cancel::default(),
        |_| (),
    )
    .unwrap_err();
    drop(sink);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{stage}");
    failure_text(&error)
}

/// Message and cause of an error with exit code 1.
fn failure_text(error: &Error) -> String {
    assert_eq!(ErrorReport::of(error).exit, Exit::Failed);
    format!("{error:#}")
}

#[test]
fn a_panic_names_its_stage_and_leaves_nothing() {
    for stage in ["listen", "infer", "encode"] {
        let said = panicked(stage);
        assert_eq!(said, format!("the {stage} stage panicked: a bug"));
    }
    let said = panicked("prepare");
    // What it says next depends on the build: with overflow checks, a subtraction fails before the range does.
    assert!(said.starts_with("the prepare stage panicked: "), "{said}");
}

#[test]
fn a_panic_of_the_compositor_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (backgrounds, wav) = fixtures(dir.path());
    let sound = AudioFile::open(&wav, None).unwrap();
    let backgrounds = Backgrounds::open(&backgrounds, None, FrameRate::TRAINED, false).unwrap();
    let whole = FrameSelection::Range(0..25);
    let clip = Clip {
        batch: 1,
        ..clip(&sound, &backgrounds, &whole)
    };
    let broken = Background {
        place: 0,
        rect: OUTSIDE,
        crop: Picture::new(crate::face::CROP, crate::face::CROP),
        area: Rect {
            x0: 0,
            y0: 0,
            x1: 8,
            y1: 8,
        },
        area_pixels: Picture::new(8, 8),
        rgb: None,
        yuv420: None,
    };
    let pool = Pool::<Vec<f32>>::default();
    let mut output = pool.take();
    output.resize(OUTPUT_LEN, 0.0);
    let (inferred_out, inferred_in) = sync_channel(BATCHES_AHEAD);
    let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
    let mut backgrounds = Pool::<Vec<Arc<Background>>>::default().take();
    backgrounds.push(Arc::new(broken));
    let painted = InferredBatch {
        backgrounds,
        output,
    };
    inferred_out.send(painted).unwrap();
    drop(inferred_out);
    let end = thread::scope(|scope| {
        let stage = spawn(scope, "composite", move |timer| {
            composite(clip, &[inferred_in], &frames_out, timer)
        });
        stage.unwrap().join().unwrap()
    });
    assert!(frames_in.recv().is_err(), "the queue behind it is closed");
    let said = failure_text(&root_cause([end].into_iter()).unwrap_err());
    assert!(said.starts_with("the composite stage panicked: "), "{said}");
}

#[test]
fn a_cancelled_run_stops_and_says_interrupted() {
    let cancel = Cancel::default();
    let (mut sink, at_third) = (MemorySink::default(), cancel.clone());
    let error = render(&batches_of(1), &mut sink, &cancel, move |n| {
        if n == 2 {
            at_third.cancel();
        }
        Ok(())
    });
    assert_eq!(ErrorReport::of(&error.unwrap_err()).exit, Exit::Interrupted);
    assert!(sink.frames.len() < 25);
}

#[test]
fn frames_at_rest_pass_the_generator_by_and_are_the_background() {
    let rest = RestSchedule::in_pauses(&VoiceActivity {
        speech: vec![0.4..0.6],
        seconds: 1.0,
        noise_db: -80.0,
        speech_db: -30.0,
    });
    let mut expected = None;
    for batch in [1, 4, 100] {
        let setup = Setup {
            batch,
            rest: Some(rest.clone()),
            ..Setup::default()
        };
        let mut sink = MemorySink::default();
        let times = render(&setup, &mut sink, &Cancel::default(), |_| Ok(())).unwrap();
        let frames_of = |name| times.iter().find(|t| t.name == name).unwrap().frames;
        // At rest until 0.17 s and from 0.81 s on: frames 0..=4 and 21..=24.
        assert_eq!((frames_of("infer"), frames_of("listen")), (16, 16));
        assert_eq!((frames_of("composite"), frames_of("encode")), (25, 25));
        assert_eq!(*expected.get_or_insert(sink.frames.clone()), sink.frames);
    }
}

#[test]
fn picked_frames_are_those_of_the_whole_clip() {
    let render = |selection| {
        let setup = Setup {
            batch: 2,
            selection,
            ..Setup::default()
        };
        let mut sink = MemorySink::default();
        render(&setup, &mut sink, &Cancel::default(), |_| Ok(())).unwrap();
        sink.frames
    };
    let all = render(None);
    let picked = render(Some(FrameSelection::Picked(vec![0, 7, 8, 24])));
    assert!(picked == [0, 7, 8, 24].map(|i| all[i].clone()));
    assert!(render(Some(FrameSelection::Range(9..14))) == all[9..14]);
}
