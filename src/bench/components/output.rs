//! Components that make finished frames and the clip.

use anyhow::Result;

use super::component::{Component, F32, Role, Traffic, frame_bytes};
use crate::bench::fixtures::{Fixtures, back_and_forth};
use crate::encode::FrameSink;
use crate::encode::clip::{ClipFile, ClipFormat};
use crate::encode::composed::ComposedFrame;
use crate::face::{CROP, OUTPUT_LEN, Paster};
use crate::image::Picture;
use crate::inference::onnx::Networks;
use crate::output::Target;
use crate::plan::Plan;

/// The generator's output -> the changed part of each frame.
pub(in super::super) struct Paste<'a> {
    pub(in super::super) plan: &'a Plan,
    pub(in super::super) fixtures: &'a Fixtures,
    pub(in super::super) paster: Paster,
    pub(in super::super) patch: Picture,
}

impl Component for Paste<'_> {
    fn name(&self) -> String {
        "paste".into()
    }

    fn frames(&self) -> usize {
        self.fixtures.frames()
    }

    fn traffic(&self) -> Traffic {
        let under = self.fixtures.painted(0).background.area_pixels.pixels.len();
        Traffic {
            read: under + CROP * CROP * 3 + OUTPUT_LEN * F32,
            written: under,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for frame in 0..self.frames() {
            let painted = self.fixtures.painted(frame);
            painted.paste(self.plan.paste, &mut self.paster, &mut self.patch);
        }
        Ok(())
    }
}

/// Frames and audio -> a finished, verified clip.
pub(in super::super) struct Encode<'a> {
    pub(in super::super) plan: &'a Plan,
    pub(in super::super) format: ClipFormat,
    /// Frames to encode, back and forth.
    pub(in super::super) frames: &'a [ComposedFrame],
    pub(in super::super) target: Target,
    /// Whether the full render encodes this way.
    pub(in super::super) role: Role,
}

impl Component for Encode<'_> {
    fn name(&self) -> String {
        match &self.format.video.preset {
            Some(preset) => format!("encode {preset}"),
            None => "encode".into(),
        }
    }

    fn role(&self) -> Role {
        self.role
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    /// The decoded background and the changed part -> what the encoder gets.
    fn traffic(&self) -> Traffic {
        let frame = frame_bytes(self.plan, self.format.video.encoder.forms());
        let changed = self.frames.first().and_then(|frame| frame.patch.as_ref());
        Traffic {
            read: frame + changed.map_or(0, |patch| patch.pixels.len()),
            written: frame,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        let spec = self.plan.clip_spec(self.format.clone())?;
        let mut clip = Box::new(ClipFile::create(
            self.target.clone(),
            spec,
            &self.plan.sound,
        )?);
        for n in 0..self.frames() {
            clip.write(&self.frames[back_and_forth(n, self.frames.len())])?;
        }
        clip.finish()
    }
}
