//! What was measured, for scripts: the JSON of `bench --json`, described by `docs/bench.schema.json`.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::Whole;
use super::cost::Runs;
use super::parts::{Counts, Part};
use crate::inference::onnx::Networks;
use crate::inference::precision::Tuning;
use crate::plan::Plan;
use crate::render::pipeline::StageTime;
use crate::render::report::{Background, Input, ModelReport, versions, write_json};

/// Version of the report's shape; it changes when a field changes its meaning or goes.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// What a render costs, and its parts.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it was made with.
    pub versions: BTreeMap<&'static str, String>,
    /// CPU cores of the machine.
    pub cores: usize,
    /// The speech.
    pub input: Input,
    /// The networks.
    pub model: ModelReport,
    /// The presenter.
    pub background: Background,
    /// Columns of the frames.
    pub width: u32,
    /// Rows of the frames.
    pub height: u32,
    /// Frames of the clip.
    pub frames: u64,
    /// FFmpeg's name of the video encoder.
    pub encoder: String,
    /// Where the networks run: `CPU`, `CUDA:0`, ..
    pub device: String,
    /// How exactly the networks are computed, and what was made of the generator for it.
    pub tuning: Tuning,
    /// Generators that work side by side.
    pub generators: usize,
    /// Frames that go through a generator at a time.
    pub batch: usize,
    /// CPU threads.
    pub threads: usize,
    /// Later runs of everything, of which medians are taken.
    pub runs: usize,
    /// Time to load the networks, seconds.
    pub load_s: f64,
    /// From before the networks were loaded to the first encoded frame, in the first run, seconds.
    pub first_frame_s: f64,
    /// Most memory that the process held in the first run of the whole, MB (10^6 bytes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    /// Share of all cores' time that other programs took meanwhile, 0..=1: what else the machine did slows all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_share: Option<f64>,
    /// All together.
    pub whole: Timing,
    /// How the stages of the whole spent their time in the last run, in the order of the flow.
    pub stages: Vec<Stage>,
    /// Each part alone, in the order of the flow.
    pub parts: Vec<PartReport>,
    /// What follows from all that.
    pub ratios: Ratios,
}

/// What some work took.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Timing {
    /// The first run, seconds.
    pub cold_s: f64,
    /// The median of the later runs, seconds.
    pub warm_s: f64,
    /// The shortest of the later runs, seconds.
    pub least_s: f64,
    /// The longest of the later runs, seconds.
    pub most_s: f64,
    /// The median of the later runs' time on all cores together, seconds.
    pub cpu_s: f64,
    /// `warm_s` for each frame, milliseconds.
    pub ms_per_frame: f64,
    /// `cpu_s` for each frame, milliseconds.
    pub cpu_ms_per_frame: f64,
    /// Frames in a second of `warm_s`.
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

/// A part alone.
#[derive(Debug, Serialize)]
pub(crate) struct PartReport {
    /// Its name.
    pub name: String,
    /// `whole`: the whole does it. `within`: it is contained in the part `of`. `instead`: the whole does `of` in its place.
    pub counts: &'static str,
    /// See `counts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<&'static str>,
    /// Frames that a run handles.
    pub frames: usize,
    /// What it took.
    #[serde(flatten)]
    pub timing: Timing,
    /// Bytes that go in for a frame, by arithmetic.
    pub bytes_read_per_frame: usize,
    /// Bytes that come out for a frame, by arithmetic.
    pub bytes_written_per_frame: usize,
}

/// How a stage of the whole spent its time.
#[derive(Debug, Serialize)]
pub(crate) struct Stage {
    /// Its name.
    pub name: &'static str,
    /// Threads that work side by side; times are their sums.
    pub workers: usize,
    /// Seconds at work.
    pub busy_s: f64,
    /// Seconds spent waiting for work from the stage before.
    pub starved_s: f64,
    /// Seconds spent waiting for room before the next stage.
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

/// How the measurements stand to each other.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ratios {
    /// The part that takes longest alone.
    pub slowest_part: String,
    /// Speed of the whole, of the slowest part's alone. 1: everything else is hidden behind it.
    pub whole_to_slowest_part: f64,
    /// Time of the parts on all cores, of the whole's. 1: being together costs nothing.
    pub parts_cpu_to_whole_cpu: f64,
    /// Time of the whole on all cores, of the time that all cores had.
    pub cores_busy: f64,
    /// Speed of the whole, of ONNX Runtime's own `run` of the unmodified generator.
    pub whole_to_plain_run: f64,
    /// The same with the first run of the whole, which found no background ready; the networks were loaded.
    pub cold_whole_to_plain_run: f64,
    /// CPU time of that `run` for a frame, of the whole's: what a busy machine changes least.
    pub plain_run_cpu_to_whole_cpu: f64,
    /// Speed of the generator alone, of that `run`.
    pub generator_to_plain_run: f64,
}

impl BenchReport {
    /// What is known before anything is measured.
    pub(super) fn new(plan: &Plan, networks: &Networks, batch: usize, runs: usize) -> Self {
        let size = plan.backgrounds.size();
        let video = plan.format.as_ref().map(|format| &format.video);
        Self {
            schema_version: SCHEMA_VERSION,
            versions: versions().collect(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            input: Input::of(&plan.sound),
            model: ModelReport::of(&plan.model),
            background: Background::of(plan),
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

    /// Takes over what was measured.
    pub(super) fn set_measured<'a>(
        &mut self,
        whole: &Whole,
        load: Duration,
        parts: impl Iterator<Item = (&'a dyn Part, &'a Runs)>,
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

    /// What was measured, in a line.
    pub(super) fn subject(&self) -> String {
        let psnr = self.tuning.psnr_db;
        format!(
            "{} frames of {} at {}x{} on {} ({} cores), {}{}, {}, batches of {}",
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
                n => format!("{n} generators side by side"),
            },
            self.batch,
        )
    }

    /// The part of this name.
    pub(crate) fn part(&self, name: &str) -> Option<&PartReport> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The parts that make up the whole.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &PartReport> {
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
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_json(self, path)
    }
}

fn report(part: &dyn Part, runs: &Runs) -> PartReport {
    let bytes = part.bytes();
    let (counts, of) = match part.counts() {
        Counts::Whole => ("whole", None),
        Counts::Within(other) => ("within", Some(other)),
        Counts::Instead(other) => ("instead", Some(other)),
    };
    PartReport {
        name: part.name(),
        counts,
        of,
        frames: part.frames(),
        timing: Timing::new(runs, part.frames()),
        bytes_read_per_frame: bytes.read,
        bytes_written_per_frame: bytes.written,
    }
}

/// Tenths of a millisecond: some parts take little more.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10_000.0
}

pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
