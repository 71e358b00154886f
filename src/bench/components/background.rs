//! Components that read backgrounds.

use anyhow::Result;

use super::component::{Component, Role, Traffic, frame_bytes};
use crate::background::{BackgroundCache, FrameFormats};
use crate::bench::fixtures::Fixtures;
use crate::face::{self, CROP};
use crate::inference::onnx::Networks;
use crate::plan::Plan;
use crate::render::pipeline::Clip;
use crate::timeline::FrameIndex;

/// Background files or video -> decoded frames with their crops, unless they are cached.
pub(in super::super) struct Decode<'a> {
    pub(in super::super) plan: &'a Plan,
    pub(in super::super) clip: Clip<'a>,
    /// The formats that the output needs.
    pub(in super::super) formats: FrameFormats,
}

impl Component for Decode<'_> {
    fn name(&self) -> String {
        "decode".into()
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    /// As if nothing were cached; compressed bytes do not count.
    fn traffic(&self) -> Traffic {
        Traffic {
            read: 0,
            written: frame_bytes(self.plan, self.formats) + CROP * CROP * 3,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        let plan = self.plan;
        plan.backgrounds.forget();
        let mut cache =
            BackgroundCache::new(&plan.backgrounds, self.clip.cache_bytes, self.formats);
        let frames: Vec<u64> = (0..plan.frames).collect();
        let mut backgrounds = Vec::new();
        for batch in frames.chunks(self.clip.batch) {
            let indices: Vec<_> = batch
                .iter()
                .map(|&frame| self.clip.background(FrameIndex(frame)))
                .collect();
            backgrounds.clear();
            cache.get(&indices, &mut backgrounds)?;
        }
        Ok(())
    }
}

/// A background's crop rectangle -> 328x328.
pub(in super::super) struct Crop<'a> {
    pub(in super::super) fixtures: &'a Fixtures,
}

impl Component for Crop<'_> {
    fn name(&self) -> String {
        "crop".into()
    }

    fn role(&self) -> Role {
        Role::Within("decode")
    }

    fn frames(&self) -> usize {
        self.fixtures.painted.len()
    }

    fn traffic(&self) -> Traffic {
        let rect = self.fixtures.painted(0).background.rect;
        Traffic {
            read: rect.width() * rect.height() * 3,
            written: CROP * CROP * 3,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for frame in &self.fixtures.painted {
            let background = &frame.background;
            let rect = background.rect.within(background.area);
            std::hint::black_box(face::crop(&background.area_pixels, rect));
        }
        Ok(())
    }
}
