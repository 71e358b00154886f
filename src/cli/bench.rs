//! `lipsync bench`: how fast each stage of a render is.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};

use super::process;
use super::ui::Ui;
use crate::assets;
use crate::bench::{self, Options, Scratch};
use crate::cancel::Cancel;
use crate::config::file::ConfigFile;
use crate::draw;
use crate::encode::codec::Codec;
use crate::face::Paste;
use crate::inference::onnx::Device;
use crate::inference::precision::Precision;
use crate::output::{OutputKind, RunFiles, Target};
use crate::plan::request;
use crate::plan::{BatchSize, Origin, Plan, Request, Setting};
use crate::render::report;

/// Measure how fast a render is: each stage alone, then all together
///
/// By default, it renders 4 seconds of the bundled sample with the bundled presenter. Everything runs once to warm up, then
/// --runs times. Clips are written to the temporary folder and removed. docs/performance.md explains the figures.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lipsync bench
  lipsync bench speech.wav -m models/anna -b frames/anna --limit 60 --plot bench.png
  lipsync bench --device cuda --presets ultrafast,veryfast")]
pub(super) struct BenchArgs {
    /// Speech: an audio file, or a video with an audio track [default: the bundled sample]
    #[arg(value_hint = ValueHint::FilePath)]
    audio: Option<PathBuf>,
    /// Model: an id, a folder, or a generator's .onnx file [default: the first in lipsync.yaml, else ada]
    #[arg(short, long, value_name = "ID|PATH", env = "LIPSYNC_MODEL", hide_env = true, value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// Presenter: a folder of numbered pictures, a picture or a video [default: the model's]
    #[arg(short, long, value_name = "DIR|VIDEO", env = "LIPSYNC_BACKGROUND", hide_env = true, value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Crop rectangles: a JSON file or a folder of landmark files [default: in or next to the background]
    #[arg(long, value_name = "FILE", env = "LIPSYNC_CROP_RECTS", hide_env = true, value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// How the new mouth is pasted into the frame [default: seamless]
    #[arg(long, value_enum, env = "LIPSYNC_PASTE", hide_env = true)]
    paste: Option<Paste>,
    /// Use only the first SECONDS of the audio
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0, value_parser = request::seconds)]
    limit: f64,
    /// Where to run the networks: auto, cpu, cuda, cuda:N, cuda:N,M or trt [default: auto]
    #[arg(long, value_name = "DEVICE", env = "LIPSYNC_DEVICE", hide_env = true)]
    device: Option<Device>,
    /// Numeric precision of the networks [default: exact]
    #[arg(long, value_enum, env = "LIPSYNC_PRECISION", hide_env = true)]
    precision: Option<Precision>,
    /// Frames per run of the generator, 1 to 256 [default: auto]
    #[arg(long, value_name = "auto|N", env = "LIPSYNC_BATCH", hide_env = true)]
    batch: Option<BatchSize>,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N", env = "LIPSYNC_THREADS", hide_env = true)]
    threads: Option<NonZeroUsize>,
    /// Memory limit in GB (10^9 bytes) [default: 0.4, or 0.9 with large networks]
    #[arg(long, value_name = "GB", env = "LIPSYNC_MEMORY_LIMIT", hide_env = true, value_parser = request::gigabytes)]
    memory_limit: Option<f64>,
    /// Video codec of the whole render [default: h264]
    #[arg(long, value_name = "CODEC", env = "LIPSYNC_CODEC", hide_env = true)]
    codec: Option<Codec>,
    /// Constant rate factor; lower means better quality and larger files [default: the codec's]
    #[arg(long, value_name = "N", env = "LIPSYNC_CRF", hide_env = true)]
    crf: Option<u32>,
    /// Encoder preset of the whole render [default: the codec's]
    #[arg(long, value_name = "P", env = "LIPSYNC_PRESET", hide_env = true)]
    preset: Option<String>,
    /// Presets to measure encoding alone with, in addition [default: ultrafast,medium for h264]
    #[arg(long, value_name = "P,P,..", value_delimiter = ',')]
    presets: Option<Vec<String>>,
    /// Measured runs; the figures are their medians
    #[arg(long, value_name = "N", default_value = "3")]
    runs: NonZeroUsize,
    /// Write the measurements as JSON (docs/bench.schema.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
    /// Draw the measurements as a PNG
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plot: Option<PathBuf>,
    /// Replace an existing plot
    #[arg(short, long)]
    force: bool,
}

impl BenchArgs {
    /// The render to measure, which writes `clip`.
    fn request(&self, clip: PathBuf) -> Request {
        Request {
            audio: self.audio.clone(),
            output: Some(clip),
            model: from_flag(self.model.as_ref()),
            background: from_flag(self.background.as_ref()),
            crop_rects: from_flag(self.crop_rects.as_ref()),
            paste: from_flag(self.paste.as_ref()),
            limit: Some(self.limit),
            device: from_flag(self.device.as_ref()),
            precision: from_flag(self.precision.as_ref()),
            batch: from_flag(self.batch.as_ref()),
            threads: from_flag(self.threads.as_ref()),
            memory_limit: from_flag(self.memory_limit.as_ref()),
            codec: from_flag(self.codec.as_ref()),
            crf: from_flag(self.crf.as_ref()),
            preset: from_flag(self.preset.as_ref()),
            force: true,
            ..Request::default()
        }
    }

    /// Presets to measure encoding alone with, besides that of the render.
    fn presets(&self) -> Vec<String> {
        let is_h264 = self
            .codec
            .as_ref()
            .is_none_or(|codec| *codec == Codec::H264);
        let usual = if is_h264 {
            ["ultrafast", "medium"].as_slice()
        } else {
            &[]
        };
        let usual = || usual.iter().map(ToString::to_string).collect();
        self.presets.clone().unwrap_or_else(usual)
    }
}

fn from_flag<T: Clone>(value: Option<&T>) -> Option<Setting<T>> {
    value.map(|value| Setting {
        value: value.clone(),
        origin: Origin::Flag,
    })
}

/// Everything that is read and written.
fn files(plan: &Plan, args: &BenchArgs, plot: Option<&Target>) -> RunFiles {
    let mut files = plan.files().printed("the table");
    if let Some(path) = &args.json {
        files = files.output("--json", &report::target(path));
    }
    if let Some(target) = plot {
        files = files.output("--plot", target);
    }
    files
}

/// Measures, writes JSON and plot, and prints a table.
pub(super) fn bench(
    args: &BenchArgs,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let plot = args.plot.clone().map(|path| Target {
        path,
        kind: OutputKind::Streamable,
        force: args.force,
    });
    if let Some(target) = &plot {
        target.check()?;
    }
    if let Some(path) = &args.json {
        report::check(path)?;
    }
    let scratch = Scratch::new()?;
    let container = if args.codec == Some(Codec::ProRes4444) {
        "whole.mov"
    } else {
        "whole.mp4"
    };
    let config = ConfigFile::find(config)?;
    process::limit_threads(args.threads)?;
    let plan = Plan::new(args.request(scratch.clip(container)), config.as_ref())?;
    files(&plan, args, plot.as_ref()).check()?;
    for warning in &plan.warnings {
        ui.warn(warning);
    }
    let options = Options {
        runs: args.runs,
        presets: args.presets(),
    };
    let runtime = assets::runtime_library()?;
    let measured = bench::run(&plan, &options, &runtime, cancel, &mut |what| ui.say(what))?;
    drop(scratch);
    if let Some(path) = &args.json {
        measured.write(path, cancel)?;
        ui.say(&format!("wrote `{}`", path.display()));
    }
    if let Some(target) = plot {
        let shown = target.path.display().to_string();
        draw::save(&bench::draw(&measured), target, cancel)?;
        ui.say(&format!("wrote `{shown}`"));
    }
    Ok(ui.data(&bench::table(&measured))?)
}
