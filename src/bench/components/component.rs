//! What a component is.

use anyhow::Result;

use crate::background::FrameFormats;
use crate::image::yuv420::Yuv420;
use crate::inference::onnx::Networks;
use crate::plan::Plan;

/// Bytes of a float.
pub(super) const F32: usize = size_of::<f32>();

/// How a component counts towards the full render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// The full render does it once per clip.
    Whole,
    /// It is contained in another component.
    Within(&'static str),
    /// The full render does another component instead.
    Instead(&'static str),
}

/// Bytes that a component must read and write per frame, however it is implemented: its inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Traffic {
    pub(in super::super) read: usize,
    pub(in super::super) written: usize,
}

/// A component of the render.
pub(in super::super) trait Component {
    fn name(&self) -> String;

    fn role(&self) -> Role {
        Role::Whole
    }

    /// Frames per run.
    fn frames(&self) -> usize;

    fn traffic(&self) -> Traffic;

    /// Processes the clip once.
    fn run(&mut self, networks: &mut Networks) -> Result<()>;
}

/// Bytes of a decoded frame in the given formats.
pub(super) fn frame_bytes(plan: &Plan, formats: FrameFormats) -> usize {
    let size = plan.backgrounds.size();
    let pixels = size.width as usize * size.height as usize;
    let rgb = if formats.rgb { pixels * 3 } else { 0 };
    let yuv = if formats.yuv420 {
        Yuv420::bytes(size)
    } else {
        0
    };
    rgb + yuv
}
