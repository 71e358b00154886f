//! `lipsync render`: one clip.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use super::ui::Ui;
use crate::assets;
use crate::cancel::Cancel;
use crate::config::{BatchSize, Plan, Request};
use crate::encode::FrameSink;
use crate::encode::mp4::{Mp4, Mp4Spec};
use crate::encode::png::PngFolder;
use crate::face::Paste;
use crate::infer::onnx::{Device, Networks, Placement, Runtime};
use crate::order::Order;
use crate::output::Kind;
use crate::pipeline::{self, Clip};

/// Render one clip
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lipsync render                            the bundled sample and presenter -> hello.mp4\n  \
    lipsync render speech.wav                 -> speech.mp4\n  \
    lipsync render speech.wav -o out/talk.mp4 -b frames/anna -m models/anna\n  \
    lipsync render speech.wav --frames pngs --limit 2")]
pub(super) struct RenderArgs {
    /// Speech: a sound file, or a video with sound; without it, the bundled sample
    audio: Option<PathBuf>,
    /// Clip to write [default: the audio's name with .mp4, in the current folder]
    #[arg(short, long, value_name = "FILE", conflicts_with = "frames")]
    output: Option<PathBuf>,
    /// Write PNGs 000000.png, .. into this folder instead of a clip
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Name of a bundled model; or a folder with generator.onnx and audio_encoder.onnx; or the generator's file
    /// [default: ada]
    #[arg(short, long, value_name = "ID|PATH")]
    model: Option<PathBuf>,
    /// Folder of numbered JPEG or PNG frames [default: the model's]
    #[arg(short, long, value_name = "DIR")]
    background: Option<PathBuf>,
    /// Crop rectangles: a JSON file, or a folder of landmark files [default: in or beside the background folder]
    #[arg(long, value_name = "FILE")]
    crop_rects: Option<PathBuf>,
    /// Order of the background frames
    #[arg(long, value_enum, default_value_t = Order::PingPong)]
    order: Order,
    /// First background frame, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    start_frame: usize,
    /// How the new mouth gets into the frame
    #[arg(long, value_enum, default_value_t = Paste::Reference)]
    paste: Paste,
    /// Render only so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    limit: Option<f64>,
    /// Where the networks run: auto, cpu, cuda or cuda:N; cuda is an error where CUDA cannot be used
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Frames that go through the generator at a time: auto or a number
    #[arg(long, value_name = "auto|N", default_value = "auto")]
    batch: BatchSize,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Replace an existing output
    #[arg(short, long)]
    force: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|s: &f64| s.is_finite() && *s > 0.0);
    value.ok_or_else(|| "expected a number of seconds above 0".into())
}

impl From<RenderArgs> for Request {
    fn from(args: RenderArgs) -> Self {
        Self {
            audio: args.audio,
            output: args.output,
            frames: args.frames,
            model: args.model,
            background: args.background,
            crop_rects: args.crop_rects,
            order: args.order,
            start_frame: args.start_frame,
            paste: args.paste,
            limit: args.limit,
            device: args.device,
            batch: args.batch,
            threads: args.threads,
            force: args.force,
        }
    }
}

/// Plans, loads, renders, publishes, sums up.
pub(super) fn render(args: RenderArgs, ui: &Ui, cancel: &Cancel) -> Result<()> {
    let started = Instant::now();
    let plan = Plan::new(args.into())?;
    for warning in &plan.backgrounds.warnings {
        ui.warn(warning);
    }
    let library = assets::runtime_library()?;
    let mut networks = Networks::load(
        &Runtime::load(&library)?,
        &plan.model.audio_encoder,
        &plan.model.generator,
        plan.device,
        plan.threads,
    )?;
    let batch = plan.batch.on(&networks.placement);
    describe(ui, &plan, &networks.placement, batch, &library);
    // Fails only if a pool exists already, which then serves as well.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads)
        .build_global();
    let mut sink: Box<dyn FrameSink> = match plan.target.kind {
        Kind::Frames => Box::new(PngFolder::create(plan.target.clone())?),
        Kind::File => {
            let spec = Mp4Spec {
                size: plan.backgrounds.size(),
                fps: plan.fps,
                frames: plan.frames,
                threads: plan.threads,
            };
            Box::new(Mp4::create(plan.target.clone(), spec, &plan.sound)?)
        }
    };
    let clip = Clip {
        sound: &plan.sound,
        backgrounds: &plan.backgrounds,
        order: plan.order,
        start: plan.start,
        paste: plan.paste,
        frames: plan.frames,
        batch,
    };
    let mut progress = ui.progress(plan.frames);
    pipeline::run(
        clip,
        &mut networks.encoder,
        &mut networks.generator,
        sink.as_mut(),
        cancel,
        |done| progress.update(done),
    )?;
    drop(progress);
    sink.finish()?;
    let (took, lasts) = (started.elapsed().as_secs_f64(), plan.sound.seconds());
    ui.say(&format!(
        "wrote `{}`: {} frames, {lasts:.2} s, in {took:.1} s ({:.1} fps, {:.2}x real time, {})",
        plan.target.path.display(),
        plan.frames,
        plan.frames as f64 / took,
        lasts / took,
        networks.placement.device
    ));
    Ok(())
}

fn describe(ui: &Ui, plan: &Plan, placement: &Placement, batch: usize, library: &std::path::Path) {
    match &placement.reason {
        Some(reason) => ui.say(&format!("networks run on {}: {reason}", placement.device)),
        None => ui.say(&format!("networks run on {}", placement.device)),
    }
    let sound = &plan.sound;
    for (what, value) in [
        (
            "sound",
            format!(
                "`{}`: {:.2} s, {} Hz, {} channels",
                sound.path().display(),
                sound.seconds(),
                sound.rate,
                sound.channels
            ),
        ),
        (
            "model",
            format!(
                "{}: `{}`, `{}`",
                plan.model.id,
                plan.model.generator.display(),
                plan.model.audio_encoder.display()
            ),
        ),
        (
            "background",
            format!(
                "`{}`: {} frames of {}, from number {}",
                plan.background.display(),
                plan.backgrounds.count(),
                plan.backgrounds.size(),
                plan.start.0
            ),
        ),
        (
            "output",
            format!(
                "`{}`: {} frames at {} fps",
                plan.target.path.display(),
                plan.frames,
                plan.fps
            ),
        ),
        (
            "work",
            format!(
                "batches of {batch}, {} threads, {:?} order, {:?} paste",
                plan.threads, plan.order, plan.paste
            ),
        ),
        ("runtime", format!("`{}`", library.display())),
    ] {
        ui.detail(&format!("{what:>10}  {value}"));
    }
}
