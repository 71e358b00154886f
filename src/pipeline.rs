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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use anyhow::{Error, Result};

use crate::audio::Sound;
use crate::background::{Background, BackgroundCache, Backgrounds, DEFAULT_KEEP_BYTES};
use crate::cancel::Cancel;
use crate::encode::FrameSink;
use crate::error::{Exit, Fault, Report};
use crate::face::{self, INPUT_LEN, OUTPUT_LEN, Paste, Paster};
use crate::frame::{BackgroundIndex, FrameIndex, Picture};
use crate::infer::{AudioEncoder, Generator};
use crate::listen::Listener;
use crate::order::Order;
use crate::pool::{Pool, Pooled};
use crate::window::WINDOW_LEN;

/// Batches that wait between two stages.
const BATCHES_AHEAD: usize = 1;
/// Finished frames that wait for the encoder.
const FRAMES_AHEAD: usize = 2;

/// What is to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Clip<'a> {
    /// The speech.
    pub sound: &'a Sound,
    /// The presenter.
    pub backgrounds: &'a Backgrounds,
    /// How the background pictures follow each other.
    pub order: Order,
    /// The first background picture.
    pub start: BackgroundIndex,
    /// How the new mouth gets into the frame.
    pub paste: Paste,
    /// Frames of the clip.
    pub frames: u64,
    /// Frames that go through the generator at a time.
    pub batch: usize,
}

/// The frames of one batch; the last one may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    first: FrameIndex,
    count: usize,
}

impl Clip<'_> {
    fn batches(&self) -> impl Iterator<Item = Batch> + use<> {
        let (frames, size) = (self.frames, self.batch);
        (0..frames).step_by(size).map(move |first| Batch {
            first: FrameIndex(first),
            count: size.min((frames - first) as usize),
        })
    }

    fn backgrounds_of(&self, batch: Batch) -> Vec<BackgroundIndex> {
        (batch.first.0..batch.first.0 + batch.count as u64)
            .map(|frame| {
                self.order
                    .background(FrameIndex(frame), self.backgrounds.count(), self.start)
            })
            .collect()
    }
}

/// Audio windows `[n, 16, 512]` of a batch.
struct Heard {
    windows: Pooled<Vec<f32>>,
}

/// Network inputs `[n, 6, 320, 320]` of a batch, and what they were cut from.
struct Prepared {
    backgrounds: Vec<Arc<Background>>,
    input: Pooled<Vec<f32>>,
}

/// Network outputs `[n, 3, 320, 320]` of a batch.
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

/// Renders `clip` into `sink` and calls `progress` with the number of frames written so far.
///
/// The sink is not finished: an error or a cancelled run leaves it to be dropped.
pub fn run(
    clip: Clip<'_>,
    encoder: &mut dyn AudioEncoder,
    generator: &mut dyn Generator,
    sink: &mut dyn FrameSink,
    cancel: &Cancel,
    progress: impl FnMut(u64),
) -> Result<()> {
    let (heard_out, heard_in) = sync_channel(BATCHES_AHEAD);
    let (prepared_out, prepared_in) = sync_channel(BATCHES_AHEAD);
    let (painted_out, painted_in) = sync_channel(BATCHES_AHEAD);
    let (frames_out, frames_in) = sync_channel(FRAMES_AHEAD);
    thread::scope(|scope| {
        // Each stage owns its ends of the queues: they close when it ends, however it ends.
        let threads = [
            spawn(scope, "listen", move || {
                listen(clip, encoder, &heard_out, cancel)
            })?,
            spawn(scope, "prepare", move || {
                prepare(clip, &prepared_out, cancel)
            })?,
            spawn(scope, "infer", move || {
                infer(clip, generator, &heard_in, &prepared_in, &painted_out)
            })?,
            spawn(scope, "composite", move || {
                composite(clip, &painted_in, &frames_out)
            })?,
        ];
        let last = guarded("encode", move || {
            encode(clip, sink, &frames_in, cancel, progress)
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
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let mut listener = Listener::new(clip.sound, encoder)?;
    for batch in clip.batches() {
        cancel.check()?;
        let mut windows = pool.take();
        windows.resize(batch.count * WINDOW_LEN, 0.0);
        for (frame, window) in (batch.first.0..).zip(windows.chunks_exact_mut(WINDOW_LEN)) {
            listener.window(FrameIndex(frame), window)?;
        }
        send(out, Heard { windows })?;
    }
    Ok(())
}

fn prepare(clip: Clip<'_>, out: &SyncSender<Prepared>, cancel: &Cancel) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    let mut cache = BackgroundCache::new(clip.backgrounds, DEFAULT_KEEP_BYTES);
    for batch in clip.batches() {
        cancel.check()?;
        let backgrounds = cache.get(&clip.backgrounds_of(batch))?;
        let mut input = pool.take();
        input.resize(batch.count * INPUT_LEN, 0.0);
        for (background, input) in backgrounds.iter().zip(input.chunks_exact_mut(INPUT_LEN)) {
            face::network_input(&background.crop, input);
        }
        send(out, Prepared { backgrounds, input })?;
    }
    Ok(())
}

fn infer(
    clip: Clip<'_>,
    generator: &mut dyn Generator,
    heard: &Receiver<Heard>,
    prepared: &Receiver<Prepared>,
    out: &SyncSender<Painted>,
) -> Stage {
    let pool = Pool::<Vec<f32>>::default();
    for batch in clip.batches() {
        let Heard { windows } = receive(heard)?;
        let Prepared { backgrounds, input } = receive(prepared)?;
        let mut output = pool.take();
        output.resize(batch.count * OUTPUT_LEN, 0.0);
        generator.generate(batch.count, &input, &windows, &mut output)?;
        send(
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
) -> Stage {
    let pool = Pool::<Picture>::default();
    let mut paster = Paster::default();
    for _ in clip.batches() {
        let Painted {
            backgrounds,
            output,
        } = receive(painted)?;
        for (background, output) in backgrounds.iter().zip(output.chunks_exact(OUTPUT_LEN)) {
            let mut frame = pool.take();
            frame.copy_from(&background.frame);
            paster.paste(
                clip.paste,
                &mut frame,
                background.rect,
                &background.crop,
                output,
            );
            send(out, frame)?;
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
) -> Stage {
    for done in 1..=clip.frames {
        cancel.check()?;
        let frame = receive(frames)?;
        sink.write(&frame)?;
        progress(done);
    }
    Ok(())
}

fn send<T>(queue: &SyncSender<T>, item: T) -> Stage {
    queue.send(item).map_err(|_| Stop::Closed)
}

fn receive<T>(queue: &Receiver<T>) -> Result<T, Stop> {
    queue.recv().map_err(|_| Stop::Closed)
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    stage: impl FnOnce() -> Stage + Send + 'scope,
) -> std::io::Result<ScopedJoinHandle<'scope, Stage>> {
    thread::Builder::new()
        .name(name.into())
        .spawn_scoped(scope, move || guarded(name, stage))
}

/// Runs a stage; its panic becomes an error that names it.
fn guarded(name: &str, stage: impl FnOnce() -> Stage) -> Stage {
    catch_unwind(AssertUnwindSafe(stage)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::failed(format!("the {name} stage panicked"))
            .because(text.unwrap_or_else(|| "no message".into()))
            .hint("this is a bug in lipsync; please report it with this message")
            .into())
    })
}

/// Of all that the stages report, the heaviest: a real error before an interruption before a closed queue.
fn root_cause(ends: impl Iterator<Item = Stage>) -> Result<()> {
    let weight = |stop: &Stop| match stop {
        Stop::Closed => 0,
        Stop::Cause(error) if Report::of(error).exit == Exit::Interrupted => 1,
        Stop::Cause(_) => 2,
    };
    let mut heaviest: Option<Stop> = None;
    for stop in ends.filter_map(Result::err) {
        if heaviest
            .as_ref()
            .is_none_or(|known| weight(&stop) > weight(known))
        {
            heaviest = Some(stop);
        }
    }
    match heaviest {
        None => Ok(()),
        Some(Stop::Cause(error)) => Err(error),
        Some(Stop::Closed) => Err(Fault::failed("a stage ended without saying why").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameRate;
    use crate::infer::stub::{CopyGenerator, MeanEncoder};
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

    fn render(
        batch: usize,
        sink: &mut Memory,
        cancel: &Cancel,
        on_batch: impl FnMut(usize) -> Result<()> + Send,
    ) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (backgrounds, wav) = material(dir.path());
        let sound = Sound::open(&wav, None)?;
        let backgrounds = Backgrounds::open(&backgrounds, None, FrameRate::TRAINED, false)?;
        let clip = Clip {
            sound: &sound,
            backgrounds: &backgrounds,
            order: Order::PingPong,
            start: BackgroundIndex(0),
            paste: Paste::Reference,
            frames: FrameRate::TRAINED.frames_covering(sound.frames, sound.rate),
            batch,
        };
        let mut generator = CopyGenerator {
            on_batch,
            batches: 0,
        };
        run(clip, &mut MeanEncoder, &mut generator, sink, cancel, |_| ())
    }

    #[test]
    fn all_frames_arrive_in_order_whatever_the_batch() {
        let render = |batch| {
            let mut sink = Memory::default();
            render(batch, &mut sink, &Cancel::default(), |_| Ok(())).unwrap();
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
                render(2, &mut sink, &Cancel::default(), on_batch).unwrap_err()
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

    #[test]
    fn a_cancelled_run_stops_and_says_interrupted() {
        let cancel = Cancel::default();
        let (mut sink, at_third) = (Memory::default(), cancel.clone());
        let error = render(1, &mut sink, &cancel, move |n| {
            if n == 2 {
                at_third.cancel();
            }
            Ok(())
        });
        assert_eq!(Report::of(&error.unwrap_err()).exit, Exit::Interrupted);
        assert!(sink.frames.len() < 25);
    }
}
