//! `lipsync bench`: where the time of a render goes.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};

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
use crate::output::{OutputKind, Target};
use crate::plan::request;
use crate::plan::{BatchSize, Origin, Plan, Request, Setting};
use crate::render::report;

/// Measure where the time of a render goes: each part alone, then all together
#[derive(Debug, Args)]
#[command(
    after_help = "Without options, 4 seconds of the bundled sample with the bundled presenter. Everything runs once to warm \
    up, then --runs times; the clips that are written go into the folder for temporary files and are removed.\n\
    docs/performance.md says what the figures mean.\n\n\
    Examples:\n  \
    lipsync bench\n  \
    lipsync bench speech.wav -m models/anna -b frames/anna --limit 60 --plot bench.png\n  \
    lipsync bench --device cuda --presets ultrafast,veryfast"
)]
pub(super) struct BenchArgs {
    /// Speech: any sound file; without it, the bundled sample
    #[arg(value_hint = ValueHint::FilePath)]
    audio: Option<PathBuf>,
    /// A model_id of the configuration or of a bundled model, a folder with both networks, or the generator's file
    /// [default: the configuration's first, else ada]
    #[arg(short, long, value_name = "ID|PATH", env = "LIPSYNC_MODEL", hide_env = true, value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// Folder of numbered JPEG or PNG frames, or a video [default: the model's]
    #[arg(short, long, value_name = "DIR|VIDEO", env = "LIPSYNC_BACKGROUND", hide_env = true, value_hint = ValueHint::AnyPath)]
    background: Option<PathBuf>,
    /// Crop rectangles: a JSON file, or a folder of landmark files [default: in or beside the background]
    #[arg(long, value_name = "FILE", env = "LIPSYNC_CROP_RECTS", hide_env = true, value_hint = ValueHint::AnyPath)]
    crop_rects: Option<PathBuf>,
    /// How the new mouth gets into the frame [default: seamless]
    #[arg(long, value_enum, env = "LIPSYNC_PASTE", hide_env = true)]
    paste: Option<Paste>,
    /// Use only so many seconds of the sound
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0, value_parser = request::seconds)]
    limit: f64,
    /// Where the networks run: auto, cpu, cuda, cuda:N, cuda:N,M (several GPUs) or trt (TensorRT) [default: auto]
    #[arg(long, value_name = "DEVICE", env = "LIPSYNC_DEVICE", hide_env = true)]
    device: Option<Device>,
    /// How exactly the networks are computed [default: exact]
    #[arg(long, value_enum, env = "LIPSYNC_PRECISION", hide_env = true)]
    precision: Option<Precision>,
    /// Frames that go through a generator at a time: auto or a number [default: auto]
    #[arg(long, value_name = "auto|N", env = "LIPSYNC_BATCH", hide_env = true)]
    batch: Option<BatchSize>,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N", env = "LIPSYNC_THREADS", hide_env = true)]
    threads: Option<NonZeroUsize>,
    /// Memory to stay within [default: 0.4, and 0.9 with large networks]
    #[arg(long, value_name = "GB", env = "LIPSYNC_MEMORY_LIMIT", hide_env = true, value_parser = request::gigabytes)]
    memory_limit: Option<f64>,
    /// Video codec of the whole [default: h264]
    #[arg(long, value_name = "CODEC", env = "LIPSYNC_CODEC", hide_env = true)]
    codec: Option<Codec>,
    /// Constant rate factor [default: the codec's usual one]
    #[arg(long, value_name = "N", env = "LIPSYNC_CRF", hide_env = true)]
    crf: Option<u32>,
    /// The encoder's preset in the whole [default: the codec's usual one]
    #[arg(long, value_name = "P", env = "LIPSYNC_PRESET", hide_env = true)]
    preset: Option<String>,
    /// Presets at which encoding alone is measured too [default: ultrafast,medium for h264]
    #[arg(long, value_name = "P,P,..", value_delimiter = ',')]
    presets: Option<Vec<String>>,
    /// Runs of everything, of which the medians are taken
    #[arg(long, value_name = "N", default_value = "3")]
    runs: NonZeroUsize,
    /// Write the measurements as JSON (docs/bench.schema.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
    /// Draw them: a PNG
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plot: Option<PathBuf>,
    /// Replace an existing picture
    #[arg(short, long)]
    force: bool,
}

impl BenchArgs {
    /// The render to measure, which writes `clip`.
    fn request(&self, clip: PathBuf) -> Request {
        Request {
            audio: self.audio.clone(),
            output: Some(clip),
            model: asked(self.model.as_ref()),
            background: asked(self.background.as_ref()),
            crop_rects: asked(self.crop_rects.as_ref()),
            paste: asked(self.paste.as_ref()),
            limit: Some(self.limit),
            device: asked(self.device.as_ref()),
            precision: asked(self.precision.as_ref()),
            batch: asked(self.batch.as_ref()),
            threads: asked(self.threads.as_ref()),
            memory_limit: asked(self.memory_limit.as_ref()),
            codec: asked(self.codec.as_ref()),
            crf: asked(self.crf.as_ref()),
            preset: asked(self.preset.as_ref()),
            force: true,
            ..Request::default()
        }
    }

    /// What else the encoder is measured at.
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

fn asked<T: Clone>(value: Option<&T>) -> Option<Setting<T>> {
    value.map(|value| Setting {
        value: value.clone(),
        origin: Origin::Flag,
    })
}

/// Measures, and tells.
pub(super) fn bench(
    args: &BenchArgs,
    config: Option<&Path>,
    ui: &Ui,
    cancel: &Cancel,
) -> Result<()> {
    let plot = args.plot.clone().map(|path| Target {
        path,
        kind: OutputKind::File,
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
    super::render::use_threads(args.threads);
    let plan = Plan::new(args.request(scratch.clip(container)), config.as_ref())?;
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
        measured.write(path)?;
        ui.say(&format!("wrote `{}`", path.display()));
    }
    if let Some(target) = plot {
        let shown = target.path.display().to_string();
        draw::save(&bench::draw(&measured), target)?;
        ui.say(&format!("wrote `{shown}`"));
    }
    Ok(ui.data(&bench::table(&measured))?)
}
