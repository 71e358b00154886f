//! The stages of a render, each on its own thread, joined by short queues:
//!
//! ```text
//! listen ---windows------\
//!                         infer (one or more) --pictures--> composite --frames--> encode (the calling thread)
//! prepare --backgrounds--/
//! ```
//!
//! Where there are several generators, each has its turn: batches go round among them, and come back in that order.
//! Data flows one way. Every queue is bounded, so memory is. A stage that ends closes its queues, which ends the others;
//! of all that they report, the real cause is told.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use crate::audio::AudioFile;
use crate::audio::voice_activity::Rest;
use crate::audio::window::WINDOW_LEN;
use crate::audio::window_reader::WindowReader;
use crate::background::order::Order;
use crate::background::{Background, BackgroundCache, Backgrounds, FrameFormats};
use crate::cancel::Cancel;
use crate::encode::FrameSink;
use crate::encode::composed::ComposedFrame;
use crate::error::{Exit, Fault, Report};
use crate::face::{OUTPUT_LEN, Paste, Paster};
use crate::image::Picture;
use crate::image::pool::{Pool, Pooled, emptied};
use crate::inference::{AudioEncoder, Face, Generator};
use crate::timeline::{BackgroundIndex, FrameIndex, FrameRate};

/// Batches that wait between two stages.
const BATCHES_AHEAD: usize = 1;
/// Finished frames that wait for the encoder.
const FRAMES_AHEAD: usize = 2;

/// Frames at rest that may travel along in a batch.
const RESTING_ALONG: usize = 8;

/// Which frames of a clip are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSelection {
    /// These and all between.
    Range(Range<u64>),
    /// These alone, in rising order.
    Picked(Vec<u64>),
}

impl FrameSelection {
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
    pub sound: &'a AudioFile,
    /// Where the mouth rests; without it, the networks paint every frame.
    pub rest: Option<&'a Rest>,
    /// The presenter.
    pub backgrounds: &'a Backgrounds,
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
    pub frames: &'a FrameSelection,
    /// Frames that go through the generator at a time.
    pub batch: usize,
}

/// A frame to render.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ScheduledFrame {
    frame: FrameIndex,
    /// How much of the networks' mouth it shows, 0..=1.
    weight: f32,
}

impl ScheduledFrame {
    fn needs_the_generator(&self) -> bool {
        self.weight > 0.0
    }
}

impl<'a> Clip<'a> {
    /// The frames, in groups of up to `batch` that go through the generator and some that rest.
    fn batches(self) -> impl Iterator<Item = Pooled<Vec<ScheduledFrame>>> + use<'a> {
        let pool = Pool::<Vec<ScheduledFrame>>::default();
        let mut moments = (0..self.frames.count())
            .filter_map(move |n| self.frames.get(n))
            .map(move |frame| ScheduledFrame {
                frame,
                weight: self
                    .rest
                    .map_or(1.0, |rest| rest.weight(self.fps.seconds(frame))),
            })
            .peekable();
        std::iter::from_fn(move || {
            let mut batch = pool.take();
            batch.clear();
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

/// The backgrounds of a batch.
type Prepared = Pooled<Vec<Arc<Background>>>;

/// The backgrounds of a batch, and the network outputs `[n, 3, 320, 320]` of its painted frames.
struct Painted {
    backgrounds: Prepared,
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
    /// How many threads of it work side by side; times are their sums.
    pub workers: usize,
    /// Time at work.
    pub busy: Duration,
    /// Time spent waiting for its neighbours.
    pub wait: Duration,
    /// How much of `wait` was for room in the queue to the next stage; the rest was for work.
    pub blocked: Duration,
    /// Frames that it handled; frames at rest pass some stages by.
    pub frames: u64,
}

/// Measures a stage, which sends and receives through it.
struct Clock {
    name: &'static str,
    started: Instant,
    wait: Duration,
    blocked: Duration,
    frames: u64,
}

impl Clock {
    fn start(name: &'static str) -> Self {
        Self {
            name,
            started: Instant::now(),
            wait: Duration::ZERO,
            blocked: Duration::ZERO,
            frames: 0,
        }
    }

    fn send<T>(&mut self, queue: &SyncSender<T>, item: T) -> Stage {
        let since = Instant::now();
        let sent = queue.send(item).map_err(|_| Stop::Closed);
        let took = since.elapsed();
        self.wait += took;
        self.blocked += took;
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
            workers: 1,
            busy: self.started.elapsed().saturating_sub(self.wait),
            wait: self.wait,
            blocked: self.blocked,
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
    generators: &mut [impl Generator],
    sink: &mut dyn FrameSink,
    cancel: &Cancel,
    progress: impl FnMut(u64),
) -> Result<Vec<StageTime>> {
    let count = generators.len();
    let forms = sink.forms();
    let (heard_out, heard_in) = queues(count);
    let (prepared_out, prepared_in) = queues(count);
    let (painted_out, painted_in) = queues(count);
    let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
    thread::scope(|scope| {
        // Each stage owns its ends of the queues: they close when it ends, however it ends.
        let mut threads = vec![
            spawn(scope, "listen", move |clock| {
                listen(clip, encoder, &heard_out, cancel, clock)
            })?,
            spawn(scope, "prepare", move |clock| {
                prepare(clip, forms, &prepared_out, cancel, clock)
            })?,
        ];
        let ends = heard_in.into_iter().zip(prepared_in).zip(painted_out);
        for (turn, (generator, ((heard, prepared), out))) in
            generators.iter_mut().zip(ends).enumerate()
        {
            let batches = clip.batches().skip(turn).step_by(count);
            threads.push(spawn(scope, "infer", move |clock| {
                infer(batches, generator, &heard, &prepared, &out, clock)
            })?);
        }
        threads.push(spawn(scope, "composite", move |clock| {
            composite(clip, &painted_in, &frames_out, clock)
        })?);
        let last = guarded("encode", move |clock| {
            encode(clip, sink, &frames_in, cancel, progress, clock)
        });
        let ends: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(Stop::Closed)))
            .collect();
        root_cause(ends.into_iter().chain([last]))
    })
}

/// A queue of batches for each generator.
fn queues<T>(count: usize) -> (Vec<SyncSender<T>>, Vec<Receiver<T>>) {
    (0..count).map(|_| sync_channel(BATCHES_AHEAD)).unzip()
}

fn listen(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    out: &[SyncSender<Heard>],
    cancel: &Cancel,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let first = clip.frames.get(0).unwrap_or(FrameIndex(0));
    let mut listener = WindowReader::new(clip.sound, clip.fps, first, encoder)?;
    for (mut batch, out) in clip.batches().zip(out.iter().cycle()) {
        cancel.check()?;
        batch.retain(ScheduledFrame::needs_the_generator);
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
    forms: FrameFormats,
    out: &[SyncSender<Prepared>],
    cancel: &Cancel,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<Arc<Background>>>::default();
    let mut indices = Vec::new();
    let mut cache = BackgroundCache::new(clip.backgrounds, clip.keep_bytes, forms);
    for (batch, out) in clip.batches().zip(out.iter().cycle()) {
        cancel.check()?;
        indices.clear();
        indices.extend(batch.iter().map(|m| clip.background(m.frame)));
        let mut backgrounds = pool.take();
        cache.get(&indices, &mut backgrounds)?;
        clock.frames += batch.len() as u64;
        clock.send(out, backgrounds)?;
    }
    Ok(())
}

fn infer(
    batches: impl Iterator<Item = Pooled<Vec<ScheduledFrame>>>,
    generator: &mut impl Generator,
    heard: &Receiver<Heard>,
    prepared: &Receiver<Prepared>,
    out: &SyncSender<Painted>,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let mut spare: Vec<Face<'_>> = Vec::new();
    for batch in batches {
        let Heard { windows } = clock.receive(heard)?;
        let backgrounds = clock.receive(prepared)?;
        let painted = batch.iter().zip(backgrounds.iter());
        let painted = painted.filter(|(moment, _)| moment.needs_the_generator());
        let mut faces = emptied(spare);
        faces.extend(painted.map(|(_, background)| Face {
            crop: &background.crop,
        }));
        let mut output = pool.take();
        output.resize(faces.len() * OUTPUT_LEN, 0.0);
        if !faces.is_empty() {
            generator.generate(&faces, &windows, &mut output)?;
        }
        clock.frames += faces.len() as u64;
        spare = emptied(faces);
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
    painted: &[Receiver<Painted>],
    out: &SyncSender<ComposedFrame>,
    clock: &mut Clock,
) -> Stage {
    let pool = Pool::<Picture>::default();
    let mut paster = Paster::default();
    for (batch, painted) in clip.batches().zip(painted.iter().cycle()) {
        let Painted {
            mut backgrounds,
            output,
        } = clock.receive(painted)?;
        let mut outputs = output.chunks_exact(OUTPUT_LEN);
        for (moment, background) in batch.iter().zip(backgrounds.drain(..)) {
            let painted = moment.needs_the_generator().then(|| outputs.next());
            let patch = painted.flatten().map(|output| {
                let mut patch = pool.take();
                patch.copy_from(&background.under);
                paster.paste(
                    clip.paste,
                    moment.weight,
                    &mut patch,
                    background.rect.within(background.area),
                    &background.crop,
                    output,
                );
                patch
            });
            clock.frames += 1;
            clock.send(out, ComposedFrame { background, patch })?;
        }
    }
    Ok(())
}

fn encode(
    clip: Clip<'_>,
    sink: &mut dyn FrameSink,
    frames: &Receiver<ComposedFrame>,
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
    let mut times: Vec<StageTime> = Vec::new();
    let mut heaviest: Option<Stop> = None;
    for end in ends {
        match end {
            Ok(time) => add(&mut times, time),
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

/// Puts `time` to those of its stage.
fn add(times: &mut Vec<StageTime>, time: StageTime) {
    match times.iter_mut().find(|known| known.name == time.name) {
        Some(known) => {
            known.workers += time.workers;
            known.busy += time.busy;
            known.wait += time.wait;
            known.blocked += time.blocked;
            known.frames += time.frames;
        }
        None => times.push(time),
    }
}

#[cfg(test)]
mod tests;
