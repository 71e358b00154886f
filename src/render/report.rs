//! What a render did, for scripts: the JSON of `--report`, which `docs/report.schema.json` describes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::memory;
use crate::audio::AudioFile;
use crate::audio::track::TrackInfo;
use crate::cancel::Cancel;
use crate::encode::clip::ClipAudio;
use crate::error::{self, Fault};
use crate::ffmpeg;
use crate::inference::precision::Tuning;
use crate::output::{OutputKind, Target};
use crate::plan::Plan;
use crate::plan::model::ModelFiles;
use crate::render::RenderedClip;

/// Version of the schema. It changes if a field is removed or changes its meaning.
pub(crate) const SCHEMA_VERSION: u32 = 1;
/// Reports of many thousand clips are shorter. A longer file is not a report, and is not read to its end.
const LONGEST_REPORT: u64 = 256 << 20;

/// A render, as far as it got. What was not known yet when it failed is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RenderReport {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The audio file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<InputReport>,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputReport>,
    /// The networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// The presenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<BackgroundReport>,
    /// Which part of a clip was rendered, if not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<PartReport>,
    /// Frames rendered: of the clip or of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Frames per second of the clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Frames per second of the clip, as an exact fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps_exact: Option<String>,
    /// Length of the audio of those frames, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Where the networks actually ran: `CPU`, `CUDA:0`, `TensorRT:0`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Why not on a faster device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_reason: Option<String>,
    /// Frames per run of the generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Frames per run after memory ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_limit: Option<usize>,
    /// The precision of the networks, and how the generator was optimized for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// CPU threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Whether every run writes the same bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
    /// Time from the start of the program to the end of the work, seconds.
    pub wall_s: f64,
    /// Frames rendered per second of `wall_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_s: Option<f64>,
    /// Seconds of clip rendered per second of `wall_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_factor: Option<f64>,
    /// Peak memory use of the process, MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// How each stage spent its time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<&'static str, StageReport>,
    /// All warnings.
    pub warnings: Vec<String>,
    /// Versions of lipsync, FFmpeg and ONNX Runtime.
    pub versions: BTreeMap<&'static str, String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
}

/// The audio file.
#[derive(Debug, Serialize)]
pub(crate) struct InputReport {
    /// Its path.
    pub path: String,
    /// Samples per second.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// Length, seconds.
    pub seconds: f64,
    /// Which of several audio tracks it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackReport>,
}

/// One of several audio tracks.
#[derive(Debug, Serialize)]
pub(crate) struct TrackReport {
    /// How many there are.
    pub of: usize,
    /// The one that is spoken.
    #[serde(flatten)]
    pub info: TrackInfo,
}

impl TrackReport {
    /// None if there is no other track.
    fn of(audio: &AudioFile) -> Option<Self> {
        let of = audio.tracks.len();
        let info = audio.tracks.get(audio.track)?.clone();
        (of > 1).then_some(Self { of, info })
    }
}

impl InputReport {
    pub(crate) fn of(audio: &AudioFile) -> Self {
        Self {
            path: path_text(audio.path()),
            rate: audio.rate,
            channels: audio.channels,
            seconds: seconds(audio.seconds()),
            track: TrackReport::of(audio),
        }
    }
}

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct OutputReport {
    /// The clip, the folder of frames, or `-` for stdout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `video` or `frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The video encoder's FFmpeg name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<&'static str>,
    /// Its constant rate factor, requested or default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crf: Option<u32>,
    /// Its preset, requested or default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The clip's audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<ClipAudio>,
    /// Width of the frames, pixels.
    pub width: u32,
    /// Height of the frames, pixels.
    pub height: u32,
    /// Whether it is marked as AI-generated.
    pub marked: bool,
    /// The contact sheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_sheet: Option<String>,
}

impl OutputReport {
    fn of(plan: &Plan) -> Self {
        let size = plan.backgrounds.size();
        let format = plan.format.as_ref();
        let target = plan.target.as_ref();
        let contact_sheet = plan.contact_sheet.as_ref();
        Self {
            path: target.map(|target| path_text(&target.path)),
            kind: target.map(|target| match target.kind {
                OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => "frames",
                _ => "video",
            }),
            encoder: format.map(|format| format.video.encoder.name),
            crf: format.and_then(|format| format.video.crf),
            preset: format.and_then(|format| format.video.preset.clone()),
            sound: None,
            width: size.width,
            height: size.height,
            marked: plan.mark.is_some(),
            contact_sheet: contact_sheet.map(|target| path_text(&target.path)),
        }
    }
}

/// A part of a clip.
#[derive(Debug, Serialize)]
pub(crate) struct PartReport {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
    /// Index of its first frame in the clip.
    pub first_frame: u64,
    /// Frames of the whole clip.
    pub clip_frames: u64,
}

/// The networks.
#[derive(Debug, Serialize)]
pub(crate) struct ModelReport {
    /// Its id.
    pub model_id: String,
    /// The generator network's file.
    pub generator: String,
    /// The audio encoder network's file.
    pub audio_encoder: String,
}

impl ModelReport {
    pub(crate) fn of(model: &ModelFiles) -> Self {
        Self {
            model_id: model.id.clone(),
            generator: path_text(&model.generator),
            audio_encoder: path_text(&model.audio_encoder),
        }
    }
}

/// The presenter.
#[derive(Debug, Serialize)]
pub(crate) struct BackgroundReport {
    /// The folder or video.
    pub path: String,
    /// Its pictures.
    pub frames: usize,
}

impl BackgroundReport {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            path: path_text(&plan.background),
            frames: plan.backgrounds.count(),
        }
    }
}

/// How a stage spent its time.
#[derive(Debug, Serialize)]
pub(crate) struct StageReport {
    /// How many threads run it; the times are their sums.
    pub workers: usize,
    /// Seconds at work.
    pub busy_s: f64,
    /// Seconds spent waiting for its neighbours.
    pub wait_s: f64,
    /// Frames that it handled.
    pub frames: u64,
}

impl RenderReport {
    /// Adds what the plan decided.
    pub(crate) fn set_plan(&mut self, plan: &Plan) {
        self.input = Some(InputReport::of(&plan.sound));
        self.output = Some(OutputReport::of(plan));
        self.model = Some(ModelReport::of(&plan.model));
        self.background = Some(BackgroundReport::of(plan));
        self.frames = Some(plan.range.count());
        self.part = plan.range.part.map(|part| PartReport {
            index: part.index,
            of: part.of,
            first_frame: plan.range.frames.start,
            clip_frames: plan.frames,
        });
        self.fps = Some(plan.fps.as_f64());
        self.fps_exact = Some(plan.fps.to_string());
        self.seconds = Some(seconds(plan.seconds()));
        self.threads = Some(plan.hardware.threads);
        self.deterministic = Some(plan.hardware.deterministic);
    }

    /// Adds how the clip's audio was written, and how the stages spent their time.
    pub(crate) fn set_rendered(&mut self, rendered: &RenderedClip) {
        if let Some(output) = &mut self.output {
            output.sound.clone_from(&rendered.sound);
        }
        self.stages = rendered
            .stages
            .iter()
            .map(|time| {
                let stage = StageReport {
                    workers: time.workers,
                    busy_s: seconds(time.busy.as_secs_f64()),
                    wait_s: seconds(time.wait.as_secs_f64()),
                    frames: time.frames,
                };
                (time.name, stage)
            })
            .collect();
    }

    /// Adds how the run ended, `wall_s` seconds after the start of the program.
    pub(crate) fn set_end(&mut self, wall_s: f64, error: Option<&error::ErrorReport>) {
        self.schema_version = SCHEMA_VERSION;
        self.versions.extend(versions());
        self.wall_s = seconds(wall_s);
        self.peak_rss_mb = peak_mb();
        self.error = error.map(error::ErrorReport::to_json);
        if error.is_none() {
            self.frames_per_s = self.frames.map(|frames| rounded(frames as f64 / wall_s));
            self.realtime_factor = self.seconds.map(|lasts| rounded(lasts / wall_s));
        }
    }

    /// The fields of the event `success` of `--progress json`, for a clip that is in place.
    pub(crate) fn success(&self) -> serde_json::Value {
        serde_json::json!({
            "output": self.output.as_ref().and_then(|output| output.path.as_deref()),
            "frames": self.frames,
            "seconds": self.seconds,
            "wall_s": self.wall_s,
            "fps": self.frames_per_s,
        })
    }

    /// Writes the report to `path`, replacing an earlier one.
    pub(crate) fn write(&self, path: &Path, cancel: &Cancel) -> Result<()> {
        write_json(self, path, cancel)
    }
}

/// Versions of lipsync and, if it can be loaded, of FFmpeg.
pub(crate) fn versions() -> impl Iterator<Item = (&'static str, String)> {
    let ffmpeg = ffmpeg::version().map(|version| ("ffmpeg", version));
    let own = ("lipsync", env!("CARGO_PKG_VERSION").to_owned());
    ffmpeg.into_iter().chain([own])
}

/// Writes a report to `path`, replacing an earlier one.
pub(crate) fn write_json(report: &impl Serialize, path: &Path, cancel: &Cancel) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    target(path).save(text.as_bytes(), cancel)
}

/// Fails if a report cannot be written to `path`, or would replace a file that is not a report. A pipe or a device is only
/// written to.
pub(crate) fn check(path: &Path) -> Result<()> {
    let target = target(path);
    target.check()?;
    let is_report = || {
        let mut text = Vec::new();
        let file = File::open(path).ok()?;
        file.take(LONGEST_REPORT).read_to_end(&mut text).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        json.get("schema_version").map(drop)
    };
    if target.exists() && fs::metadata(path).is_ok() && is_report().is_none() {
        return Err(
            Fault::failed(format!("`{}` exists and is not a report", path.display()))
                .hint("choose another name with --report")
                .into(),
        );
    }
    Ok(())
}

/// A report's place.
pub(crate) fn target(path: &Path) -> Target {
    Target {
        path: path.to_owned(),
        kind: OutputKind::Streamable,
        force: true,
    }
}

/// A path as JSON text: bytes that are not UTF-8 are replaced.
fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Seconds, rounded to milliseconds.
pub(crate) fn seconds(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Rounded to hundredths.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Peak memory use of this process in MB (10^6 bytes), if the system reports it.
pub(crate) fn peak_mb() -> Option<f64> {
    memory::peak_use().map(|bytes| (bytes as f64 / 1e5).round() / 10.0)
}
