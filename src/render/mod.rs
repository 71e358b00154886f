//! One clip: a plan and networks -> outputs that are complete and checked, but not yet in their places.

pub(crate) mod calibration;
pub(crate) mod memory;
pub(crate) mod networks;
pub(crate) mod pipeline;
pub(crate) mod preview;
pub(crate) mod report;

pub use pipeline::{Clip, FrameSelection, run as run_pipeline};

use anyhow::Result;
use serde_json::{Value, json};

use crate::audio::voice_activity::{Rest, VoiceActivity};
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

/// What is to be rendered, and how much at a time.
pub struct ClipRender<'a> {
    plan: &'a Plan,
    frames: FrameSelection,
    batch: usize,
    room: MemoryBudget,
}

/// What came of it. Dropped without [`RenderedClip::publish`], nothing is left.
pub struct RenderedClip {
    /// The outputs, under hidden names.
    pub parts: Vec<StagedOutput>,
    /// How each stage spent its time.
    pub stages: Vec<StageTime>,
    /// How the clip's sound is written; none where no clip is.
    pub sound: Option<ClipAudio>,
}

impl RenderedClip {
    /// Puts the outputs in their places.
    pub fn publish(self) -> Result<()> {
        self.parts.into_iter().try_for_each(StagedOutput::commit)
    }
}

impl<'a> ClipRender<'a> {
    /// All that `plan` asks for, `batch` frames at a time, in `room`: every frame of a clip or of a part of it, or the moments of a contact
    /// sheet.
    pub fn new(plan: &'a Plan, batch: usize, room: MemoryBudget) -> Self {
        let frames = match plan.target {
            Some(_) => FrameSelection::Range(plan.range.frames.clone()),
            None => FrameSelection::Picked(preview::moments(plan.frames)),
        };
        Self {
            plan,
            frames,
            batch,
            room,
        }
    }

    /// How many frames are rendered.
    pub fn frames(&self) -> u64 {
        self.frames.count()
    }

    /// What is about to be rendered on `device`, as the event `start` of `--progress json` tells it.
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

    /// Renders with these networks, and calls `progress` with the number of frames written so far.
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
            Silence::Rest => Some(Rest::in_pauses(&VoiceActivity::of(&plan.sound, cancel)?)),
        };
        let clip = clip(plan, &self.frames, rest.as_ref(), self.batch, self.room);
        // Kept only if they are to be drawn.
        let moments = || preview::moments(plan.frames);
        let wanted = plan
            .contact_sheet
            .as_ref()
            .map_or(Vec::new(), |_| moments());
        let (sink, sound) = sink(plan)?;
        let mut sink = Box::new(Preview::new(clip, wanted, sink));
        let stages = pipeline::run(clip, encoder, generators, sink.as_mut(), cancel, progress)?;
        let kept = sink.take();
        let mut parts: Vec<StagedOutput> = sink.complete()?.into_iter().collect();
        if let Some(target) = &plan.contact_sheet {
            parts.push(contact_sheet(plan, &kept, target)?);
        }
        Ok(RenderedClip {
            parts,
            stages,
            sound,
        })
    }
}

/// The work on `frames` of `plan`'s clip, `batch` of them at a time, in `room`; `rest` says where the mouth rests.
pub fn clip<'a>(
    plan: &'a Plan,
    frames: &'a FrameSelection,
    rest: Option<&'a Rest>,
    batch: usize,
    room: MemoryBudget,
) -> Clip<'a> {
    Clip {
        sound: &plan.sound,
        rest,
        backgrounds: &plan.backgrounds,
        keep_bytes: room.backgrounds,
        order: plan.order,
        start: plan.start,
        paste: plan.paste,
        fps: plan.fps,
        frames,
        batch,
    }
}

/// Where frames go, and how the sound goes with them.
type Sink = (Option<Box<dyn FrameSink>>, Option<ClipAudio>);

/// Where the frames go; nowhere if only moments were asked for.
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

fn contact_sheet(plan: &Plan, moments: &[SheetFrame], target: &Target) -> Result<StagedOutput> {
    let name = plan.sound.path().file_name().unwrap_or_default();
    let title = format!("{} - {}", name.to_string_lossy(), plan.model.id);
    let below = format!(
        "{} frames at {} a second, {:.2} s",
        plan.frames,
        plan.fps,
        plan.sound.seconds()
    );
    draw::written(
        &draw::contact_sheet(moments, &title, &below),
        target.clone(),
    )
}
