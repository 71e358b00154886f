//! The stages of a render, each on its own thread, joined by short queues:
//!
//! ```text
//! listen ---windows---\
//!                      infer --pictures--> composite --frames--> encode (the calling thread)
//! prepare --inputs----/
//! ```
//!
//! Data flows one way. Every queue is bounded, so memory is. A stage that ends closes its queues, which ends the others;
//! of all that they report, the real cause is told.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use crate::activity::Rest;
use crate::audio::Sound;
use crate::background::{Background, BackgroundCache, BackgroundFolder};
use crate::cancel::Cancel;
use crate::encode::FrameSink;
use crate::error::{Exit, Fault, Report};
use crate::face::{self, INPUT_LEN, OUTPUT_LEN, Paste, Paster};
use crate::frame::{BackgroundIndex, FrameIndex, FrameRate, Picture};
use crate::infer::{AudioEncoder, Generator};
use crate::listen::Listener;
use crate::order::Order;
use crate::pool::{Pool, Pooled};
use crate::window::WINDOW_LEN;

/// Batches that wait between two stages.
const BATCHES_AHEAD: usize = 1;
/// Finished frames that wait for the encoder.
const FRAMES_AHEAD: usize = 2;

/// Frames at rest that may travel along in a batch.
const RESTING_ALONG: usize = 8;

/// Which frames of a clip are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These and all between.
    Range(Range<u64>),
    /// These alone, in rising order.
    Picked(Vec<u64>),
}

impl Selection {
    /// How many frames that are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::Picked(frames) => frames.len() as u64,
        }
    }

    /// The `n`-th of them, from 0.
    pub fn get(&self, n: u64) -> Option<FrameIndex> {
        match self {
            Self::Range(range) => Some(range.start + n).filter(|frame| range.contains(frame)),
            Self::Picked(frames) => frames.get(n as usize).copied(),
        }
        .map(FrameIndex)
    }
}

/// What is to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Clip<'a> {
    /// The speech.
    pub sound: &'a Sound,
    /// Where the mouth rests; without it, the networks paint every frame.
    pub rest: Option<&'a Rest>,
    /// The presenter.
    pub backgrounds: &'a BackgroundFolder,
    /// Memory for decoded backgrounds, bytes.
    pub keep_bytes: usize,
    /// How the background pictures follow each other.
    pub order: Order,
    /// The first background picture.
    pub start: BackgroundIndex,
    /// How the new mouth gets into the frame.
    pub paste: Paste,
    /// Frames a second of the clip.
    pub fps: FrameRate,
    /// Frames to render.
    pub frames: &'a Selection,
    /// Frames that go through the generator at a time.
    pub batch: usize,
}

/// A frame to render.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    frame: FrameIndex,
    /// How much of the networks' mouth it shows, 0..=1.
    weight: f32,
}

impl Moment {
    fn needs_the_generator(&self) -> bool {
        self.weight > 0.0
    }
}

impl<'a> Clip<'a> {
    /// The frames, in groups of up to `batch` that go through the generator and some that rest.
    fn batches(self) -> impl Iterator<Item = Vec<Moment>> + use<'a> {
        let mut moments = (0..self.frames.count())
            .filter_map(move |n| self.frames.get(n))
            .map(move |frame| Moment {
                frame,
                weight: self
                    .rest
                    .map_or(1.0, |rest| rest.weight(self.fps.seconds(frame))),
            })
            .peekable();
        std::iter::from_fn(move || {
            let mut batch: Vec<Moment> = Vec::new();
            let mut painted = 0;
            while painted < self.batch && batch.len() < self.batch + RESTING_ALONG {
                let Some(moment) = moments.next() else { break };
                painted += usize::from(moment.needs_the_generator());
                batch.push(moment);
            }
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// The background picture of a frame.
    pub fn background(&self, frame: FrameIndex) -> BackgroundIndex {
        self.order
            .background(frame, self.backgrounds.count(), self.start)
    }
}

/// Audio windows `[n, 16, 512]` of a batch's painted frames.
struct Heard {
    windows: Pooled<Vec<f32>>,
}

/// The backgrounds of a batch, and the network inputs `[n, 6, 320, 320]` of its painted frames.
struct Prepared {
    backgrounds: Vec<Arc<Background>>,
    input: Pooled<Vec<f32>>,
}

/// The backgrounds of a batch, and the network outputs `[n, 3, 320, 320]` of its painted frames.
struct Painted {
    backgrounds: Vec<Arc<Background>>,
    output: Pooled<Vec<f32>>,
}

/// Why a stage ended early, from light to heavy.
enum Stop {
    /// A neighbour closed the queue: it knows why.
    Closed,
    /// This is why.
    Cause(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Cause(error.into())
    }
}

type Stage = Result<(), Stop>;

/// How a stage spent its time.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    /// Which stage.
    pub name: &'static str,
    /// Time at work.
    pub busy: Duration,
    /// Time spent waiting for its neighbours.
    pub wait: Duration,
    /// Frames that it handled; frames at rest pass some stages by.
    pub frames: u64,
}

/// Measures a stage, which sends and receives through it.
struct Clock {
    name: &'static str,
    started: Instant,
    wait: Duration,
    frames: u64,
}

impl Clock {
    fn start(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
            wait: Duration::ZERO,
            frames: 0,
        }
    }

    fn send<T>(&mut self, queue: &SyncSender<T>, item: T) -> Stage {
        let since = Instant::now();
        let sent = queue.send(item).map_err(|_| Stop::Closed);
        self.wait += since.elapsed();
        sent
    }

    fn receive<T>(&mut self, queue: &Receiver<T>) -> Result<T, Stop> {
        let since = Instant::now();
        let item = queue.recv().map_err(|_| Stop::Closed);
        self.wait += since.elapsed();
        item
    }

    fn stop(self) -> StageTime {
        StageTime {
            name: self.name,
            busy: self.started.elapsed().saturating_sub(self.wait),
            wait: self.wait,
            frames: self.frames,
        }
    }
}

/// Renders `clip` into `sink`, calls `progress` with the number of frames written so far, and tells where time went.
///
/// The sink is not finished: an error or a cancelled run leaves it to be dropped.
pub fn run(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    generator: &mut dyn Generator,
    sink: &mut dyn FrameSink,
    cancel: &Cancel,
    progress: impl FnMut(u64),
) -> Result<Vec<StageTime>> {
    let (heard_out, heard_in) = sync_channel(BATCHES_AHEAD);
    let (prepared_out, prepared_in) = sync_channel(BATCHES_AHEAD);
    let (painted_out, painted_in) = sync_channel(BATCHES_AHEAD);
    let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
    thread::scope(|scope| {
        // Each stage owns its ends of the queues: they close when it ends, however it ends.
        let threads = [
            spawn(scope, "listen", move |clock| {
                listen(clip, encoder, &heard_out, cancel, clock)
            })?,
            spawn(scope, "prepare", move |clock| {
                prepare(clip, &prepared_out, cancel, clock)
            })?,
            spawn(scope, "infer", move |clock| {
                infer(
                    clip,
                    generator,
                    &heard_in,
                    &prepared_in,
                    &painted_out,
                    clock,
                )
            })?,
            spawn(scope, "composite", move |clock| {
                composite(clip, &painted_in, &frames_out, clock)
            })?,
        ];
        let last = guarded("encode", move |clock| {
            encode(clip, sink, &frames_in, cancel, progress, clock)
        });
        let ends = threads.map(|thread| thread.join().unwrap_or(Err(Stop::Closed)));
        root_cause(ends.into_iter().chain([last]))
    })
}

fn listen(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    out: &SyncSender<Heard>,
    cancel: &Cancel,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let mut listener = Listener::new(clip.sound, clip.fps, encoder)?;
    for mut batch in clip.batches() {
        cancel.check()?;
        batch.retain(Moment::needs_the_generator);
        let mut windows = pool.take();
        windows.resize(batch.len() * WINDOW_LEN, 0.0);
        for (moment, window) in batch.iter().zip(windows.chunks_exact_mut(WINDOW_LEN)) {
            listener.window(moment.frame, window)?;
            clock.frames += 1;
        }
        clock.send(out, Heard { windows })?;
    }
    Ok(())
}

fn prepare(
    clip: Clip<'_>,
    out: &SyncSender<Prepared>,
    cancel: &Cancel,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let mut cache = BackgroundCache::new(clip.backgrounds, clip.keep_bytes);
    for batch in clip.batches() {
        cancel.check()?;
        let indices: Vec<_> = batch.iter().map(|m| clip.background(m.frame)).collect();
        let backgrounds = cache.get(&indices)?;
        let painted = batch.iter().zip(&backgrounds);
        let painted: Vec<_> = painted.filter(|(m, _)| m.needs_the_generator()).collect();
        let mut input = pool.take();
        input.resize(painted.len() * INPUT_LEN, 0.0);
        for ((_, background), input) in painted.iter().zip(input.chunks_exact_mut(INPUT_LEN)) {
            face::network_input(&background.crop, input);
        }
        clock.frames += batch.len() as u64;
        clock.send(out, Prepared { backgrounds, input })?;
    }
    Ok(())
}

fn infer(
    clip: Clip<'_>,
    generator: &mut dyn Generator,
    heard: &Receiver<Heard>,
    prepared: &Receiver<Prepared>,
    out: &SyncSender<Painted>,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    for batch in clip.batches() {
        let Heard { windows } = clock.receive(heard)?;
        let Prepared { backgrounds, input } = clock.receive(prepared)?;
        let count = batch.iter().filter(|m| m.needs_the_generator()).count();
        let mut output = pool.take();
        output.resize(count * OUTPUT_LEN, 0.0);
        if count > 0 {
            generator.generate(count, &input, &windows, &mut output)?;
        }
        clock.frames += count as u64;
        clock.send(
            out,
            Painted {
                backgrounds,
                output,
            },
        )?;
    }
    Ok(())
}

fn composite(
    clip: Clip<'_>,
    painted: &Receiver<Painted>,
    out: &SyncSender<Pooled<Picture>>,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Picture>::default();
    let mut paster = Paster::default();
    for batch in clip.batches() {
        let Painted {
            backgrounds,
            output,
        } = clock.receive(painted)?;
        let mut outputs = output.chunks_exact(OUTPUT_LEN);
        for (moment, background) in batch.iter().zip(&backgrounds) {
            let mut frame = pool.take();
            frame.copy_from(&background.frame);
            if moment.needs_the_generator()
                && let Some(output) = outputs.next()
            {
                paster.paste(
                    clip.paste,
                    moment.weight,
                    &mut frame,
                    background.rect,
                    &background.crop,
                    output,
                );
            }
            clock.frames += 1;
            clock.send(out, frame)?;
        }
    }
    Ok(())
}

fn encode(
    clip: Clip<'_>,
    sink: &mut dyn FrameSink,
    frames: &Receiver<Pooled<Picture>>,
    cancel: &Cancel,
    mut progress: impl FnMut(u64),
    clock: &mut Clock,
) -> Stage {
    for done in 1..=clip.frames.count() {
        cancel.check()?;
        let frame = clock.receive(frames)?;
        sink.write(&frame)?;
        clock.frames = done;
        progress(done);
    }
    Ok(())
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    stage: impl FnOnce(&mut Clock) -> Stage + Send + 'scope,
) -> std::io::Result<ScopedJoinHandle<'scope, Result<StageTime, Stop>>> {
    thread::Builder::new()
        .name(name.into())
        .spawn_scoped(scope, move || guarded(name, stage))
}

/// Runs a stage; its panic becomes an error that names it.
fn guarded(name: &'static str, stage: impl FnOnce(&mut Clock) -> Stage) -> Result<StageTime, Stop> {
    let mut clock = Clock::start(name);
    let end = catch_unwind(AssertUnwindSafe(|| stage(&mut clock))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::failed(format!("the {name} stage panicked"))
            .because(text.unwrap_or_else(|| "no message".into()))
            .hint("this is a bug in lipsync; please report it with this message")
            .into())
    });
    end.map(|()| clock.stop())
}

/// Of all that the stages report, the heaviest: a real error before an interruption before a closed queue.
fn root_cause(ends: impl Iterator<Item = Result<StageTime, Stop>>) -> Result<Vec<StageTime>> {
    let weight = |stop: &Stop| match stop {
        Stop::Closed => 0,
        Stop::Cause(error) if Report::of(error).exit == Exit::Interrupted => 1,
        Stop::Cause(_) => 2,
    };
    let mut times = Vec::new();
    let mut heaviest: Option<Stop> = None;
    for end in ends {
        match end {
            Ok(time) => times.push(time),
            Err(stop) => {
                if heaviest
                    .as_ref()
                    .is_none_or(|known| weight(&stop) > weight(known))
                {
                    heaviest = Some(stop);
                }
            }
        }
    }
    match heaviest {
        None => Ok(times),
        Some(Stop::Cause(error)) => Err(error),
        Some(Stop::Closed) => Err(Fault::failed("a stage ended without saying why").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Activity;
    use crate::background::DEFAULT_KEEP_BYTES;
    use crate::encode::png::PngFolder;
    use crate::frame::Rect;
    use crate::infer::stub::{CopyGenerator, MeanEncoder};
    use crate::output::{Kind, Target};
    use std::path::{Path, PathBuf};

    /// A folder with three small frames and a second of sound.
    fn material(dir: &Path) -> (PathBuf, PathBuf) {
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

    /// Keeps what it gets, or fails at a frame.
    #[derive(Default)]
    struct Memory {
        frames: Vec<Picture>,
        fails_at: Option<usize>,
    }

    impl FrameSink for Memory {
        fn write(&mut self, frame: &Picture) -> Result<()> {
            anyhow::ensure!(self.fails_at != Some(self.frames.len()), "the disk is full");
            self.frames.push(frame.clone());
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    /// What a test varies.
    #[derive(Default)]
    struct Setup {
        batch: usize,
        rest: Option<Rest>,
        selection: Option<Selection>,
    }

    fn render(
        setup: &Setup,
        sink: &mut Memory,
        cancel: &Cancel,
        on_batch: impl FnMut(usize) -> Result<()> + Send,
    ) -> Result<Vec<StageTime>> {
        let dir = tempfile::tempdir()?;
        let (backgrounds, wav) = material(dir.path());
        let sound = Sound::open(&wav, None)?;
        let backgrounds = BackgroundFolder::open(&backgrounds, None)?;
        let all = FrameRate::TRAINED.frames_covering(sound.frames, sound.rate);
        let whole = Selection::Range(0..all);
        let clip = Clip {
            sound: &sound,
            rest: setup.rest.as_ref(),
            backgrounds: &backgrounds,
            keep_bytes: DEFAULT_KEEP_BYTES,
            order: Order::PingPong,
            start: BackgroundIndex(0),
            paste: Paste::Reference,
            fps: FrameRate::TRAINED,
            frames: setup.selection.as_ref().unwrap_or(&whole),
            batch: setup.batch.max(1),
        };
        let mut generator = CopyGenerator {
            on_batch,
            batches: 0,
        };
        run(clip, &mut MeanEncoder, &mut generator, sink, cancel, |_| ())
    }

    fn batches_of(batch: usize) -> Setup {
        Setup {
            batch,
            ..Setup::default()
        }
    }

    #[test]
    fn all_frames_arrive_in_order_whatever_the_batch() {
        let render = |batch| {
            let mut sink = Memory::default();
            render(
                &batches_of(batch),
                &mut sink,
                &Cancel::default(),
                |_| Ok(()),
            )
            .unwrap();
            sink.frames
        };
        let frames = render(1);
        assert_eq!(frames.len(), 25);
        let blue: Vec<u8> = frames.iter().take(6).map(|f| f.pixels[0]).collect();
        assert_eq!(blue, [0, 40, 80, 40, 0, 40]);
        assert!(frames == render(4) && frames == render(25) && frames == render(100));
    }

    #[test]
    fn the_root_cause_is_told_wherever_it_lies() {
        let failing = |fails_at, on_batch: fn(usize) -> Result<()>| {
            let mut sink = Memory {
                fails_at,
                ..Memory::default()
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

    /// Pictures, and a bug after so many.
    struct BrokenSink {
        frames: PngFolder,
        good: usize,
    }

    impl FrameSink for BrokenSink {
        fn write(&mut self, frame: &Picture) -> Result<()> {
            self.good = self.good.checked_sub(1).unwrap_or_else(|| panic!("a bug"));
            self.frames.write(frame)
        }

        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    /// No check lets such a rectangle pass: it is outside the pictures.
    const OUTSIDE: Rect = Rect {
        x0: 200,
        y0: 200,
        x1: 240,
        y1: 240,
    };

    /// What is said when `stage` of a render into a folder of pictures panics. Nothing may be left of the folder.
    fn panicked(stage: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (backgrounds, wav) = material(dir.path());
        let sound = Sound::open(&wav, None).unwrap();
        let mut backgrounds = BackgroundFolder::open(&backgrounds, None).unwrap();
        if stage == "prepare" {
            backgrounds = backgrounds.with_rect(OUTSIDE);
        }
        let whole = Selection::Range(0..25);
        let clip = Clip {
            sound: &sound,
            rest: None,
            backgrounds: &backgrounds,
            keep_bytes: DEFAULT_KEEP_BYTES,
            order: Order::Hold,
            start: BackgroundIndex(0),
            paste: Paste::Reference,
            fps: FrameRate::TRAINED,
            frames: &whole,
            batch: 2,
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
            kind: Kind::Frames,
            force: false,
        };
        let frames = PngFolder::create(target, None).unwrap();
        let good = if stage == "encode" { 3 } else { 25 };
        let mut sink = BrokenSink { frames, good };
        let error = run(
            clip,
            encoder,
            &mut generator,
            &mut sink,
            &Cancel::default(),
            |_| (),
        )
        .unwrap_err();
        drop(sink);
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{stage}");
        told(&error)
    }

    /// Message and cause, if the exit code is that of a failure.
    fn told(error: &Error) -> String {
        assert_eq!(Report::of(error).exit, Exit::Failed);
        format!("{error:#}")
    }

    #[test]
    fn a_panic_names_its_stage_and_leaves_nothing() {
        for stage in ["listen", "infer", "encode"] {
            let said = panicked(stage);
            assert_eq!(said, format!("the {stage} stage panicked: a bug"));
        }
        let said = panicked("prepare");
        assert!(
            said.starts_with("the prepare stage panicked: range "),
            "{said}"
        );
    }

    #[test]
    fn a_panic_of_the_compositor_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (backgrounds, wav) = material(dir.path());
        let sound = Sound::open(&wav, None).unwrap();
        let backgrounds = BackgroundFolder::open(&backgrounds, None).unwrap();
        let whole = Selection::Range(0..25);
        let clip = Clip {
            sound: &sound,
            rest: None,
            backgrounds: &backgrounds,
            keep_bytes: DEFAULT_KEEP_BYTES,
            order: Order::Hold,
            start: BackgroundIndex(0),
            paste: Paste::Reference,
            fps: FrameRate::TRAINED,
            frames: &whole,
            batch: 1,
        };
        let broken = Background {
            frame: Picture::new(8, 8),
            rect: OUTSIDE,
            crop: Picture::new(face::CROP, face::CROP),
        };
        let pool = Pool::<Vec<f32>>::default();
        let mut output = pool.take();
        output.resize(OUTPUT_LEN, 0.0);
        let (painted_out, painted_in) = sync_channel(BATCHES_AHEAD);
        let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
        let painted = Painted {
            backgrounds: vec![Arc::new(broken)],
            output,
        };
        painted_out.send(painted).unwrap();
        let end = thread::scope(|scope| {
            let stage = spawn(scope, "composite", move |clock| {
                composite(clip, &painted_in, &frames_out, clock)
            });
            stage.unwrap().join().unwrap()
        });
        assert!(frames_in.recv().is_err(), "the queue behind it is closed");
        let said = told(&root_cause([end].into_iter()).unwrap_err());
        assert!(said.starts_with("the composite stage panicked: "), "{said}");
    }

    #[test]
    fn a_cancelled_run_stops_and_says_interrupted() {
        let cancel = Cancel::default();
        let (mut sink, at_third) = (Memory::default(), cancel.clone());
        let error = render(&batches_of(1), &mut sink, &cancel, move |n| {
            if n == 2 {
                at_third.cancel();
            }
            Ok(())
        });
        assert_eq!(Report::of(&error.unwrap_err()).exit, Exit::Interrupted);
        assert!(sink.frames.len() < 25);
    }

    #[test]
    fn frames_at_rest_pass_the_generator_by_and_are_the_background() {
        let rest = Rest::in_pauses(&Activity {
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
            let mut sink = Memory::default();
            let times = render(&setup, &mut sink, &Cancel::default(), |_| Ok(())).unwrap();
            let frames_of = |name| times.iter().find(|t| t.name == name).unwrap().frames;
            // At rest until 0.2 s and from 0.8 s on: frames 0..=5 and 20..=24.
            assert_eq!((frames_of("infer"), frames_of("listen")), (14, 14));
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
            let mut sink = Memory::default();
            render(&setup, &mut sink, &Cancel::default(), |_| Ok(())).unwrap();
            sink.frames
        };
        let all = render(None);
        let picked = render(Some(Selection::Picked(vec![0, 7, 8, 24])));
        assert!(picked == [0, 7, 8, 24].map(|i| all[i].clone()));
        assert!(render(Some(Selection::Range(9..14))) == all[9..14]);
    }
}
