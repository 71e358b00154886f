//! The results for scripts: the JSON of `bench --json`, described by `docs/bench.schema.json`.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::components::{Component, Role};
use super::full_render::FullRender;
use super::measure::Runs;
use crate::cancel::Cancel;
use crate::inference::onnx::Networks;
use crate::inference::precision::Tuning;
use crate::plan::Plan;
use crate::render::pipeline::StageTime;
use crate::render::report::{BackgroundReport, InputReport, ModelReport, versions, write_json};

/// Version of the report's schema; it changes when a field is removed or changes its meaning.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// The cost of a render and of its components.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Versions of lipsync and its libraries.
    pub versions: BTreeMap<&'static str, String>,
    /// CPU cores of the machine.
    pub cores: usize,
    /// The audio file.
    pub input: InputReport,
    /// The model.
    pub model: ModelReport,
    /// The background.
    pub background: BackgroundReport,
    /// Width of the frames, pixels.
    pub width: u32,
    /// Height of the frames, pixels.
    pub height: u32,
    /// Frames of the clip.
    pub frames: u64,
    /// The video encoder's name in FFmpeg.
    pub encoder: String,
    /// Where the networks run: `CPU`, `CUDA:0`, ..
    pub device: String,
    /// The precision of the networks, and how the generator was tuned for it.
    pub tuning: Tuning,
    /// Generators that run in parallel.
    pub generators: usize,
    /// Frames per generator call.
    pub batch: usize,
    /// CPU threads.
    pub threads: usize,
    /// Warm runs of everything, of which medians are taken.
    pub runs: usize,
    /// Time to load the networks, seconds.
    pub load_s: f64,
    /// From the start of loading the networks to the first encoded frame, in the first run, seconds.
    pub first_frame_s: f64,
    /// Peak memory of the process in the first full render, MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// Share of CPU time that other programs used meanwhile, 0..=1: they slow every measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_share: Option<f64>,
    /// The full render.
    pub whole: Timing,
    /// How the stages of the full render spent their time in the last run, in the order of the pipeline.
    pub stages: Vec<Stage>,
    /// Each component on its own, in the order of the pipeline.
    pub parts: Vec<ComponentReport>,
    /// Comparisons of the above.
    pub ratios: Ratios,
}

/// The cost of some work.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Timing {
    /// The first run, seconds.
    pub cold_s: f64,
    /// The median of the warm runs, seconds.
    pub warm_s: f64,
    /// The shortest of the warm runs, seconds.
    pub least_s: f64,
    /// The longest of the warm runs, seconds.
    pub most_s: f64,
    /// The median CPU time of the warm runs, seconds.
    pub cpu_s: f64,
    /// `warm_s` per frame, milliseconds.
    pub ms_per_frame: f64,
    /// `cpu_s` per frame, milliseconds.
    pub cpu_ms_per_frame: f64,
    /// Frames per second of `warm_s`.
    pub frames_per_s: f64,
}

impl Timing {
    fn new(runs: &Runs, frames: usize) -> Self {
        let median = runs.median();
        let (least, most) = runs.spread();
        let frames = frames.max(1) as f64;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            cold_s: seconds(runs.cold.wall),
            warm_s: seconds(median.wall),
            least_s: seconds(least),
            most_s: seconds(most),
            cpu_s: seconds(median.cpu),
            ms_per_frame: rounded(millis(median.wall) / frames),
            cpu_ms_per_frame: rounded(millis(median.cpu) / frames),
            frames_per_s: rounded(frames / median.wall.as_secs_f64().max(1e-9)),
        }
    }
}

/// A component on its own.
#[derive(Debug, Serialize)]
pub(crate) struct ComponentReport {
    /// Its name.
    pub name: String,
    /// `whole`: the full render does it. `within`: it is contained in the component `of`. `instead`: the full render does
    /// `of` instead.
    pub counts: &'static str,
    /// See `counts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<&'static str>,
    /// Frames per run.
    pub frames: usize,
    /// Its cost.
    #[serde(flatten)]
    pub timing: Timing,
    /// Bytes of its inputs per frame, calculated.
    pub bytes_read_per_frame: usize,
    /// Bytes of its outputs per frame, calculated.
    pub bytes_written_per_frame: usize,
}

/// How a stage of the full render spent its time.
#[derive(Debug, Serialize)]
pub(crate) struct Stage {
    /// Its name.
    pub name: &'static str,
    /// Parallel workers; times are their sums.
    pub workers: usize,
    /// Seconds working.
    pub busy_s: f64,
    /// Seconds waiting for input from the previous stage.
    pub starved_s: f64,
    /// Seconds waiting for the next stage to take output.
    pub blocked_s: f64,
}

impl From<&StageTime> for Stage {
    fn from(time: &StageTime) -> Self {
        Self {
            name: time.name,
            workers: time.workers,
            busy_s: seconds(time.busy),
            starved_s: seconds(time.wait.saturating_sub(time.blocked)),
            blocked_s: seconds(time.blocked),
        }
    }
}

/// Comparisons of the measurements.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ratios {
    /// The component that takes longest on its own.
    pub slowest_part: String,
    /// Speed of the full render over that of the slowest component. 1: everything else is hidden behind it.
    pub whole_to_slowest_part: f64,
    /// CPU time of all components over that of the full render. 1: running together costs nothing extra.
    pub parts_cpu_to_whole_cpu: f64,
    /// CPU utilization of the full render, 0..=1, where 1 is all cores.
    pub cores_busy: f64,
    /// Speed of the full render over that of a plain run: the unmodified generator in ONNX Runtime.
    pub whole_to_plain_run: f64,
    /// The same for the first full render, with no background decoded yet but the networks loaded.
    pub cold_whole_to_plain_run: f64,
    /// CPU time of a plain run per frame over that of the full render: a busy machine changes it least.
    pub plain_run_cpu_to_whole_cpu: f64,
    /// Speed of the generator on its own over that of a plain run.
    pub generator_to_plain_run: f64,
}

impl BenchReport {
    /// What is known before the measurements.
    pub(super) fn new(plan: &Plan, networks: &Networks, batch: usize, runs: usize) -> Self {
        let size = plan.backgrounds.size();
        let video = plan.format.as_ref().map(|format| &format.video);
        Self {
            schema_version: SCHEMA_VERSION,
            versions: versions().collect(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            input: InputReport::of(&plan.sound),
            model: ModelReport::of(&plan.model),
            background: BackgroundReport::of(plan),
            width: size.width,
            height: size.height,
            frames: plan.frames,
            encoder: video.map_or_else(String::new, |video| video.encoder.name.to_owned()),
            device: networks.placement.device(),
            tuning: networks.tuning.clone(),
            generators: networks.generators.len(),
            batch,
            threads: plan.hardware.threads,
            runs,
            load_s: 0.0,
            first_frame_s: 0.0,
            peak_rss_mb: None,
            others_share: None,
            whole: Timing::default(),
            stages: Vec::new(),
            parts: Vec::new(),
            ratios: Ratios::default(),
        }
    }

    /// Adds the measurements.
    pub(super) fn set_measured<'a>(
        &mut self,
        whole: &FullRender,
        load: Duration,
        parts: impl Iterator<Item = (&'a dyn Component, &'a Runs)>,
    ) {
        self.load_s = seconds(load);
        self.first_frame_s = seconds(whole.first_frame);
        self.peak_rss_mb = whole
            .peak_rss
            .map(|bytes| (bytes as f64 / 1e5).round() / 10.0);
        self.whole = Timing::new(&whole.runs, self.frames as usize);
        self.stages = whole.stages.iter().map(Stage::from).collect();
        self.parts = parts.map(|(part, runs)| report(part, runs)).collect();
        self.ratios = self.ratios();
    }

    /// What was measured, in one line.
    pub(super) fn subject(&self) -> String {
        let psnr = self.tuning.psnr_db;
        format!(
            "{} frames of {} at {}x{} on {} ({} cores), {}{}, {}, batch size {}",
            self.frames,
            self.model.model_id,
            self.width,
            self.height,
            self.device,
            self.cores,
            self.tuning.precision,
            psnr.map_or_else(String::new, |db| format!(" ({db:.1} dB)")),
            match self.generators {
                1 => "one generator".to_owned(),
                n => format!("{n} generators in parallel"),
            },
            self.batch,
        )
    }

    /// The component called `name`.
    pub(crate) fn part(&self, name: &str) -> Option<&ComponentReport> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The components that make up the full render.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &ComponentReport> {
        self.parts.iter().filter(|part| part.counts == "whole")
    }

    fn ratios(&self) -> Ratios {
        let slowest = self
            .counted()
            .max_by(|a, b| a.timing.warm_s.total_cmp(&b.timing.warm_s));
        let speed = |name| self.part(name).map_or(0.0, |part| part.timing.frames_per_s);
        let (plain, generator) = (speed("plain run"), speed("generator"));
        let parts_cpu: f64 = self.counted().map(|part| part.timing.cpu_s).sum();
        let whole = self.whole;
        let ratio = |a: f64, b: f64| rounded(a / b.max(1e-9));
        Ratios {
            slowest_part: slowest.map_or_else(String::new, |part| part.name.clone()),
            whole_to_slowest_part: slowest.map_or(0.0, |part| {
                ratio(whole.frames_per_s, part.timing.frames_per_s)
            }),
            parts_cpu_to_whole_cpu: ratio(parts_cpu, whole.cpu_s),
            cores_busy: ratio(whole.cpu_s, whole.warm_s * self.cores as f64),
            whole_to_plain_run: ratio(whole.frames_per_s, plain),
            cold_whole_to_plain_run: ratio(self.frames as f64 / whole.cold_s.max(1e-9), plain),
            plain_run_cpu_to_whole_cpu: self.part("plain run").map_or(0.0, |part| {
                ratio(part.timing.cpu_ms_per_frame, whole.cpu_ms_per_frame)
            }),
            generator_to_plain_run: ratio(generator, plain),
        }
    }

    /// Writes it to `path`; an earlier report there is replaced.
    pub(crate) fn write(&self, path: &Path, cancel: &Cancel) -> Result<()> {
        write_json(self, path, cancel)
    }
}

fn report(component: &dyn Component, runs: &Runs) -> ComponentReport {
    let traffic = component.traffic();
    let (counts, of) = match component.role() {
        Role::Whole => ("whole", None),
        Role::Within(other) => ("within", Some(other)),
        Role::Instead(other) => ("instead", Some(other)),
    };
    ComponentReport {
        name: component.name(),
        counts,
        of,
        frames: component.frames(),
        timing: Timing::new(runs, component.frames()),
        bytes_read_per_frame: traffic.read,
        bytes_written_per_frame: traffic.written,
    }
}

/// Seconds, to a tenth of a millisecond: some components take little more.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10_000.0
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
