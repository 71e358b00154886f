//! What the components work on when each runs on its own: the outputs of its neighbours, computed beforehand.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;

use crate::audio::window::WINDOW_LEN;
use crate::audio::window_reader::WindowReader;
use crate::background::{Background, BackgroundCache, FrameFormats};
use crate::face::{OUTPUT_LEN, Paste, Paster};
use crate::image::Picture;
use crate::inference::onnx::Networks;
use crate::inference::{AudioEncoder, Face, Generator as _};
use crate::plan::Plan;
use crate::render::pipeline::Clip;
use crate::timeline::FrameIndex;

/// Most frames that are held whole; components that need more go back and forth over them.
const MAX_FRAMES: usize = 48;

/// The inputs of every component.
pub(super) struct Fixtures {
    /// The input of each call of the audio encoder: blocks `[n, 80, 16]`.
    pub(super) blocks: Vec<Vec<f32>>,
    /// The window of each frame, `[16, 512]`.
    pub(super) windows: Vec<f32>,
    /// The face crop of each frame.
    pub(super) crops: Vec<Arc<Picture>>,
    /// The first frames of the clip.
    pub(super) painted: Vec<PaintedFrame>,
}

/// A frame and the generator's output for it.
pub(super) struct PaintedFrame {
    pub(super) background: Arc<Background>,
    /// `[3, 320, 320]`.
    pub(super) output: Vec<f32>,
}

impl PaintedFrame {
    /// Pastes the output into the part of the frame that it may change; the result is `patch`.
    pub(super) fn paste(&self, method: Paste, paster: &mut Paster, patch: &mut Picture) {
        let background = &self.background;
        let rect = background.rect.within(background.area);
        patch.copy_from(&background.area_pixels);
        paster.paste(method, 1.0, patch, rect, &background.crop, &self.output);
    }
}

impl Fixtures {
    /// Computes what the components need of the clip.
    pub(super) fn new(
        plan: &Plan,
        clip: Clip<'_>,
        formats: FrameFormats,
        networks: &mut Networks,
    ) -> Result<Self> {
        let frames = plan.frames as usize;
        let (blocks, windows) = encode_audio(plan, &mut networks.encoder)?;
        let mut cache = BackgroundCache::new(&plan.backgrounds, clip.cache_bytes, formats);
        let mut seen = BTreeMap::new();
        let (mut crops, mut painted) = (Vec::with_capacity(frames), Vec::new());
        for frame in 0..frames {
            let index = clip.background(FrameIndex(frame as u64));
            if frame >= MAX_FRAMES
                && let Some(crop) = seen.get(&index)
            {
                crops.push(Clone::clone(crop));
                continue;
            }
            let mut backgrounds = Vec::new();
            cache.get(&[index], &mut backgrounds)?;
            for background in backgrounds {
                let crop = Arc::new(background.crop.clone());
                crops.push(seen.entry(index).or_insert(crop).clone());
                if frame < MAX_FRAMES {
                    let output = vec![0.0; OUTPUT_LEN];
                    painted.push(PaintedFrame { background, output });
                }
            }
        }
        let mut fixtures = Self {
            blocks,
            windows,
            crops,
            painted,
        };
        fixtures.paint(networks)?;
        Ok(fixtures)
    }

    /// Frames of the clip.
    pub(super) fn frames(&self) -> usize {
        self.crops.len()
    }

    /// The generator's input picture of a frame.
    pub(super) fn face(&self, frame: usize) -> Face<'_> {
        Face {
            crop: &self.crops[frame],
        }
    }

    /// The windows of these frames, `[n, 16, 512]`.
    pub(super) fn windows(&self, frames: std::ops::Range<usize>) -> &[f32] {
        &self.windows[frames.start * WINDOW_LEN..frames.end * WINDOW_LEN]
    }

    /// A frame; past those that are held, one of them.
    pub(super) fn painted(&self, frame: usize) -> &PaintedFrame {
        &self.painted[back_and_forth(frame, self.painted.len())]
    }

    fn paint(&mut self, networks: &mut Networks) -> Result<()> {
        let Some(generator) = networks.generators.first_mut() else {
            return Ok(());
        };
        for frame in 0..self.painted.len() {
            let mut output = std::mem::take(&mut self.painted[frame].output);
            let windows = self.windows(frame..frame + 1);
            generator.generate(&[self.face(frame)], windows, &mut output)?;
            self.painted[frame].output = output;
        }
        Ok(())
    }
}

/// 0 1 .. `count` - 1 .. 1 0 1: without jumps, which would cost the encoder more.
pub(super) fn back_and_forth(n: usize, count: usize) -> usize {
    let at = n % (2 * count - 2).max(1);
    at.min((2 * count - 2).saturating_sub(at))
}

/// Blocks and windows of the clip.
fn encode_audio(plan: &Plan, encoder: &mut dyn AudioEncoder) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    let mut recorder = Recorder {
        encoder,
        calls: Vec::new(),
    };
    let mut windows = vec![0.0; plan.frames as usize * WINDOW_LEN];
    let mut reader = WindowReader::new(&plan.sound, plan.fps, FrameIndex(0), &mut recorder)?;
    for (frame, window) in (0..).zip(windows.chunks_exact_mut(WINDOW_LEN)) {
        reader.window(FrameIndex(frame), window)?;
    }
    drop(reader);
    Ok((recorder.calls, windows))
}

/// Passes blocks on and records them.
struct Recorder<'a> {
    encoder: &'a mut dyn AudioEncoder,
    calls: Vec<Vec<f32>>,
}

impl AudioEncoder for Recorder<'_> {
    fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
        self.calls.push(blocks.to_owned());
        self.encoder.encode(count, blocks, embeddings)
    }
}

#[cfg(test)]
mod tests {
    use super::back_and_forth;

    #[test]
    fn frames_go_back_and_forth() {
        let order: Vec<usize> = (0..8).map(|n| back_and_forth(n, 4)).collect();
        assert_eq!(order, [0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((back_and_forth(5, 1), back_and_forth(5, 2)), (0, 1));
    }
}
