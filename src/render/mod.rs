//! A plan -> its outputs: complete and checked, but still under hidden names until [`RenderedClip::publish`].
//!
//! - `networks.rs`: loads the networks, and divides the memory that they leave
//! - `memory.rs`: the memory budget, and the memory use of the process
//! - `calibration.rs`: samples of a presenter, to which reduced precisions are fitted
//! - `pipeline/`: the stages, one thread each, joined by bounded queues
//! - `preview.rs`: the frames of a contact sheet
//! - `report.rs`: the JSON of `--report`

pub(crate) mod calibration;
pub(crate) mod memory;
pub(crate) mod networks;
pub(crate) mod pipeline;
pub(crate) mod preview;
pub(crate) mod report;

pub use pipeline::{Clip, FrameSelection, run as run_pipeline};

use anyhow::Result;
use image::RgbImage;
use serde_json::{Value, json};

use crate::audio::voice_activity::{RestSchedule, VoiceActivity};
use crate::cancel::Cancel;
use crate::draw::{self, SheetFrame};
use crate::encode::FrameSink;
use crate::encode::clip::{ClipAudio, ClipFile};
use crate::encode::png::PngFolder;
use crate::inference::{AudioEncoder, Generator};
use crate::output::{StagedOutput, Target};
use crate::plan::{Plan, Silence};
use memory::MemoryBudget;
use pipeline::StageTime;
use preview::Preview;

/// A plan to carry out: which frames, how many at a time, and with how much memory.
pub struct ClipRender<'a> {
    plan: &'a Plan,
    frames: FrameSelection,
    batch: usize,
    memory: MemoryBudget,
}

/// Rendered outputs. Dropping it without [`RenderedClip::publish`] removes them.
pub struct RenderedClip {
    /// The outputs, under hidden names.
    pub outputs: Vec<StagedOutput>,
    /// A picture that goes to stdout, a pipe or a device, as PNG.
    streamed: Option<(Target, Vec<u8>)>,
    /// How each stage spent its time.
    pub stages: Vec<StageTime>,
    /// How the clip's audio was written; none if no clip was.
    pub sound: Option<ClipAudio>,
}

impl RenderedClip {
    /// Gives the outputs their names: all that can have them, also if one cannot.
    pub fn publish(self, cancel: &Cancel) -> Result<()> {
        let committed: Vec<Result<()>> =
            self.outputs.into_iter().map(StagedOutput::commit).collect();
        let streamed = self.streamed.map(|(target, png)| target.save(&png, cancel));
        committed.into_iter().chain(streamed).collect()
    }
}

impl<'a> ClipRender<'a> {
    /// All that `plan` asks for, `batch` frames at a time: the frames of a clip or of a part of it, or, if there is no other
    /// output, only those of the contact sheet.
    pub fn new(plan: &'a Plan, batch: usize, memory: MemoryBudget) -> Self {
        let frames = match plan.target {
            Some(_) => FrameSelection::Range(plan.range.frames.clone()),
            None => FrameSelection::Picked(preview::sheet_frames(plan.frames)),
        };
        Self {
            plan,
            frames,
            batch,
            memory,
        }
    }

    /// How many frames are rendered.
    pub fn frames(&self) -> u64 {
        self.frames.count()
    }

    /// The fields of the event `start` of `--progress json`; the networks run on `device`.
    pub fn start(&self, device: &str) -> Value {
        let plan = self.plan;
        json!({
            "input": plan.sound.path().display().to_string(),
            "output": plan.output_path(),
            "frames": self.frames(),
            "fps": plan.fps.as_f64(),
            "device": device,
            "batch": self.batch,
        })
    }

    /// Renders with these networks. Calls `progress` with the number of frames written so far.
    pub fn render(
        &self,
        encoder: &mut dyn AudioEncoder,
        generators: &mut [impl Generator],
        cancel: &Cancel,
        progress: impl FnMut(u64),
    ) -> Result<RenderedClip> {
        let plan = self.plan;
        let rest = match plan.silence {
            Silence::Model => None,
            Silence::Rest => Some(RestSchedule::in_pauses(&VoiceActivity::of(
                &plan.sound,
                cancel,
            )?)),
        };
        let clip = clip(plan, &self.frames, rest.as_ref(), self.batch, self.memory);
        let wanted = match plan.contact_sheet {
            Some(_) => preview::sheet_frames(plan.frames),
            None => Vec::new(),
        };
        let (sink, sound) = sink(plan)?;
        let mut sink = Box::new(Preview::new(clip, wanted, sink));
        let stages = pipeline::run(clip, encoder, generators, sink.as_mut(), cancel, progress)?;
        let sheet_frames = sink.take();
        let mut outputs: Vec<StagedOutput> = sink.complete()?.into_iter().collect();
        let mut streamed = None;
        if let Some(target) = plan.contact_sheet.clone() {
            let sheet = contact_sheet(plan, &sheet_frames);
            if target.is_stream() {
                streamed = Some((target, draw::png(&sheet)?));
            } else {
                outputs.push(draw::written(&sheet, target)?);
            }
        }
        Ok(RenderedClip {
            outputs,
            streamed,
            stages,
            sound,
        })
    }
}

/// The pipeline's input for `frames` of `plan`'s clip, `batch` of them at a time; `rest` says where the mouth is at rest.
pub fn clip<'a>(
    plan: &'a Plan,
    frames: &'a FrameSelection,
    rest: Option<&'a RestSchedule>,
    batch: usize,
    memory: MemoryBudget,
) -> Clip<'a> {
    Clip {
        sound: &plan.sound,
        rest,
        backgrounds: &plan.backgrounds,
        cache_bytes: memory.backgrounds,
        order: plan.order,
        start: plan.start,
        paste: plan.paste,
        fps: plan.fps,
        frames,
        batch,
    }
}

/// Where frames go, and how the audio is written.
type Sink = (Option<Box<dyn FrameSink>>, Option<ClipAudio>);

/// The plan's output; none if only a contact sheet was asked for.
fn sink(plan: &Plan) -> Result<Sink> {
    let Some(target) = plan.target.clone() else {
        return Ok((None, None));
    };
    Ok(match plan.format.clone() {
        None => {
            let folder = PngFolder::create(target, plan.mark.as_ref())?;
            (Some(Box::new(folder)), None)
        }
        Some(format) => {
            let clip = ClipFile::create(target, plan.clip_spec(format)?, &plan.sound)?;
            let sound = clip.sound();
            (Some(Box::new(clip)), Some(sound))
        }
    })
}

fn contact_sheet(plan: &Plan, frames: &[SheetFrame]) -> RgbImage {
    let name = plan.sound.path().file_name().unwrap_or_default();
    let title = format!("{} - {}", name.to_string_lossy(), plan.model.id);
    let subtitle = format!(
        "{} frames at {} fps, {:.2} s",
        plan.frames,
        plan.fps,
        plan.sound.seconds()
    );
    draw::contact_sheet(frames, &title, &subtitle)
}
