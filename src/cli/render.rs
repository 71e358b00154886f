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
use crate::encode::clip::{ClipFile, ClipSpec};
use crate::encode::codec::Codec;
use crate::encode::png::PngFolder;
use crate::face::Paste;
use crate::infer::onnx::{Device, Networks, Placement, Runtime};
use crate::order::Order;
use crate::pipeline::{self, Clip};

/// Render one clip
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lipsync render                            the bundled sample and presenter -> hello.mp4\n  \
    lipsync render speech.wav                 -> speech.mp4\n  \
    lipsync render speech.wav -o out/talk.mp4 -b frames/anna -m models/anna\n  \
    lipsync render speech.wav --frames pngs --limit 2")]
pub(super) struct RenderArgs {
    /// Speech: a WAV file; without it, the bundled sample
    audio: Option<PathBuf>,
    /// Clip to write: .mp4, .mov, .mkv or .webm; - is stdout (fragmented MP4)
    /// [default: the audio's name with .mp4, or .mov for prores4444, in the current folder]
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
    /// Video codec: h264, h265, av1, prores4444 (keeps alpha), or an encoder by FFmpeg's name, such as h264_nvenc
    /// [default: h264; av1 for .webm]
    #[arg(
        long,
        value_name = "CODEC",
        conflicts_with = "frames",
        help_heading = "Compression"
    )]
    codec: Option<Codec>,
    /// Constant rate factor, smaller is better [default: 18 for h264, 20 for h265, 24 for av1]
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "frames",
        help_heading = "Compression"
    )]
    crf: Option<u32>,
    /// The encoder's trade of speed for size [default: veryfast for h264 and h265, 10 for av1]
    #[arg(
        long,
        value_name = "P",
        conflicts_with = "frames",
        help_heading = "Compression"
    )]
    preset: Option<String>,
    /// Bits a second for the sound: 128000 or 128k
    #[arg(long, value_name = "N", value_parser = bit_rate, conflicts_with = "frames", help_heading = "Compression")]
    audio_bitrate: Option<u32>,
    /// Leave out the mark that the clip is AI-generated
    #[arg(long, help_heading = "Compression")]
    no_mark: bool,
}

fn bit_rate(text: &str) -> Result<u32, String> {
    let (digits, thousands) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => (text, 1),
    };
    let bits = digits.parse().ok();
    bits.and_then(|n: u32| n.checked_mul(thousands))
        .ok_or_else(|| "expected bits a second, such as 128000 or 128k".into())
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
            codec: args.codec,
            crf: args.crf,
            preset: args.preset,
            audio_bitrate: args.audio_bitrate,
            no_mark: args.no_mark,
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
    let mut sink: Box<dyn FrameSink> = match plan.format.clone() {
        None => Box::new(PngFolder::create(plan.target.clone(), plan.mark.as_ref())?),
        Some(format) => {
            let spec = ClipSpec {
                size: plan.backgrounds.size(),
                fps: plan.fps,
                frames: plan.frames,
                format,
                threads: plan.threads,
                deterministic: false,
                mark: plan.mark.clone(),
            };
            Box::new(ClipFile::create(plan.target.clone(), spec, &plan.sound)?)
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
        "wrote {}: {} frames, {lasts:.2} s, in {took:.1} s ({:.1} fps, {:.2}x real time, {})",
        plan.target,
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
                "{}: {} frames at {} fps",
                plan.target, plan.frames, plan.fps
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
