//! The stages of a render, each on its own thread, joined by short queues:
//!
//! ```text
//! listen ---windows------\
//!                         infer (one or more) --mouths--> composite --frames--> encode (the calling thread)
//! prepare --backgrounds--/
//! ```
//!
//! If there are several generators, batches go round among them, and are collected in the same order.
//!
//! Data flows one way. Every queue is bounded, so memory is bounded. A stage that ends closes its queues, which ends the
//! others; of all their errors, the root cause is returned.
//!
//! - `clip.rs`: what is rendered, and its batches
//! - `stage.rs`: how a stage runs, is measured, and ends

mod clip;
mod stage;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::Result;

pub use clip::{Clip, FrameSelection};
pub(crate) use stage::StageTime;

use crate::audio::window::WINDOW_LEN;
use crate::audio::window_reader::WindowReader;
use crate::background::{Background, BackgroundCache, FrameFormats};
use crate::cancel::Cancel;
use crate::encode::FrameSink;
use crate::encode::composed::ComposedFrame;
use crate::error::NotFinite;
use crate::face::{OUTPUT_LEN, Paster};
use crate::image::Picture;
use crate::image::pool::{Pool, Pooled, reuse_memory};
use crate::inference::{AudioEncoder, Face, Generator};
use crate::timeline::FrameIndex;
use clip::ScheduledFrame;
use stage::{StageError, StageResult, StageTimer, guarded, root_cause, spawn};

/// Batches that wait between two stages.
const BATCHES_AHEAD: usize = 1;
/// Finished frames that wait for the encoder.
const FRAMES_AHEAD: usize = 2;

/// Audio windows `[n, 16, 512]` of those frames of a batch that go through the generator.
struct AudioWindows {
    windows: Pooled<Vec<f32>>,
}

/// The backgrounds of all frames of a batch.
type PreparedBackgrounds = Pooled<Vec<Arc<Background>>>;

/// The backgrounds of a batch, and the generator's outputs `[n, 3, 320, 320]` for those of its frames that went through it.
struct InferredBatch {
    backgrounds: PreparedBackgrounds,
    output: Pooled<Vec<f32>>,
}

/// Renders `clip` into `sink`, and returns how each stage spent its time. Calls `progress` with the number of frames written so
/// far.
///
/// The caller completes the sink, or drops it after an error.
pub fn run(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    generators: &mut [impl Generator],
    sink: &mut dyn FrameSink,
    cancel: &Cancel,
    progress: impl FnMut(u64),
) -> Result<Vec<StageTime>> {
    let count = generators.len();
    let formats = sink.forms();
    let (windows_out, windows_in) = queues(count);
    let (prepared_out, prepared_in) = queues(count);
    let (inferred_out, inferred_in) = queues(count);
    let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
    thread::scope(|scope| {
        // Each stage owns its ends of the queues, so they close when it ends, for whatever reason.
        let mut threads = vec![
            spawn(scope, "listen", move |timer| {
                listen(clip, encoder, &windows_out, cancel, timer)
            })?,
            spawn(scope, "prepare", move |timer| {
                prepare(clip, formats, &prepared_out, cancel, timer)
            })?,
        ];
        let ends = windows_in.into_iter().zip(prepared_in).zip(inferred_out);
        for (turn, (generator, ((windows_in, prepared), out))) in
            generators.iter_mut().zip(ends).enumerate()
        {
            let batches = clip.batches().skip(turn).step_by(count);
            threads.push(spawn(scope, "infer", move |timer| {
                infer(
                    clip,
                    batches,
                    generator,
                    &windows_in,
                    &prepared,
                    &out,
                    timer,
                )
            })?);
        }
        threads.push(spawn(scope, "composite", move |timer| {
            composite(clip, &inferred_in, &frames_out, timer)
        })?);
        let last = guarded("encode", move |timer| {
            encode(clip, sink, &frames_in, cancel, progress, timer)
        });
        let ends: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(StageError::Closed)))
            .collect();
        root_cause(ends.into_iter().chain([last]))
    })
}

/// One queue of batches per generator.
fn queues<T>(count: usize) -> (Vec<SyncSender<T>>, Vec<Receiver<T>>) {
    (0..count).map(|_| sync_channel(BATCHES_AHEAD)).unzip()
}

/// Audio -> windows.
fn listen(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    out: &[SyncSender<AudioWindows>],
    cancel: &Cancel,
    timer: &mut StageTimer,
) -> StageResult {
    let pool = Pool::<Vec<f32>>::default();
    let first = clip.frames.get(0).unwrap_or(FrameIndex(0));
    let mut reader = WindowReader::new(clip.sound, clip.fps, first, encoder)?;
    for (mut batch, out) in clip.batches().zip(out.iter().cycle()) {
        cancel.check()?;
        batch.retain(ScheduledFrame::needs_generator);
        let mut windows = pool.take();
        windows.resize(batch.len() * WINDOW_LEN, 0.0);
        for (frame, window) in batch.iter().zip(windows.chunks_exact_mut(WINDOW_LEN)) {
            reader.window(frame.frame, window)?;
            timer.frames += 1;
        }
        timer.send(out, AudioWindows { windows })?;
    }
    Ok(())
}

/// Backgrounds -> decoded frames and face crops.
fn prepare(
    clip: Clip<'_>,
    formats: FrameFormats,
    out: &[SyncSender<PreparedBackgrounds>],
    cancel: &Cancel,
    timer: &mut StageTimer,
) -> StageResult {
    let pool = Pool::<Vec<Arc<Background>>>::default();
    let mut indices = Vec::new();
    let mut cache = BackgroundCache::new(clip.backgrounds, clip.cache_bytes, formats);
    for (batch, out) in clip.batches().zip(out.iter().cycle()) {
        cancel.check()?;
        indices.clear();
        indices.extend(batch.iter().map(|f| clip.background(f.frame)));
        let mut backgrounds = pool.take();
        cache.get(&indices, &mut backgrounds)?;
        timer.frames += batch.len() as u64;
        timer.send(out, backgrounds)?;
    }
    Ok(())
}

/// Windows and face crops -> mouths.
fn infer(
    clip: Clip<'_>,
    batches: impl Iterator<Item = Pooled<Vec<ScheduledFrame>>>,
    generator: &mut impl Generator,
    windows_in: &Receiver<AudioWindows>,
    prepared: &Receiver<PreparedBackgrounds>,
    out: &SyncSender<InferredBatch>,
    timer: &mut StageTimer,
) -> StageResult {
    let pool = Pool::<Vec<f32>>::default();
    let mut spare: Vec<Face<'_>> = Vec::new();
    for batch in batches {
        let AudioWindows { windows } = timer.receive(windows_in)?;
        let backgrounds = timer.receive(prepared)?;
        let frames = batch.iter().zip(backgrounds.iter());
        let generated = frames.filter(|(frame, _)| frame.needs_generator());
        let mut faces = reuse_memory(spare);
        faces.extend(generated.map(|(_, background)| Face {
            crop: &background.crop,
        }));
        let mut output = pool.take();
        output.resize(faces.len() * OUTPUT_LEN, 0.0);
        if !faces.is_empty() {
            let generated = generator.generate(&faces, &windows, &mut output);
            generated.map_err(|e| NotFinite::place(e, |item| place_of(clip, &batch, item)))?;
        }
        timer.frames += faces.len() as u64;
        spare = reuse_memory(faces);
        timer.send(
            out,
            InferredBatch {
                backgrounds,
                output,
            },
        )?;
    }
    Ok(())
}

/// Where in the clip the `item`th of the frames in `batch` is that need the generator.
fn place_of(clip: Clip<'_>, batch: &[ScheduledFrame], item: usize) -> String {
    let mut generated = batch.iter().filter(|frame| frame.needs_generator());
    let frame = generated
        .nth(item)
        .map_or(FrameIndex(0), |frame| frame.frame);
    let seconds = clip.fps.seconds(frame);
    format!("in frame {} ({seconds:.2} s)", frame.0)
}

/// Mouths and backgrounds -> frames.
fn composite(
    clip: Clip<'_>,
    inferred: &[Receiver<InferredBatch>],
    out: &SyncSender<ComposedFrame>,
    timer: &mut StageTimer,
) -> StageResult {
    let pool = Pool::<Picture>::default();
    let mut paster = Paster::default();
    for (batch, inferred) in clip.batches().zip(inferred.iter().cycle()) {
        let InferredBatch {
            mut backgrounds,
            output,
        } = timer.receive(inferred)?;
        let mut outputs = output.chunks_exact(OUTPUT_LEN);
        for (frame, background) in batch.iter().zip(backgrounds.drain(..)) {
            let output = frame.needs_generator().then(|| outputs.next());
            let patch = output.flatten().map(|output| {
                let mut patch = pool.take();
                patch.copy_from(&background.area_pixels);
                paster.paste(
                    clip.paste,
                    frame.weight,
                    &mut patch,
                    background.rect.within(background.area),
                    &background.crop,
                    output,
                );
                patch
            });
            timer.frames += 1;
            timer.send(out, ComposedFrame { background, patch })?;
        }
    }
    Ok(())
}

/// Frames -> the sink, on the calling thread.
fn encode(
    clip: Clip<'_>,
    sink: &mut dyn FrameSink,
    frames: &Receiver<ComposedFrame>,
    cancel: &Cancel,
    mut progress: impl FnMut(u64),
    timer: &mut StageTimer,
) -> StageResult {
    for done in 1..=clip.frames.count() {
        cancel.check()?;
        let frame = timer.receive(frames)?;
        sink.write(&frame)?;
        timer.frames = done;
        progress(done);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
