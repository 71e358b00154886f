//! What the parts work on when each is alone: everything that its neighbours would hand it, made by those neighbours.

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

/// Whole frames that are kept at most; parts that need more go forward and backward over them.
const MOST_HELD: usize = 48;

/// The clip in pieces.
pub(super) struct Material {
    /// What the audio encoder was asked, call by call: blocks `[n, 80, 16]`.
    pub(super) blocks: Vec<Vec<f32>>,
    /// The window of each frame, `[16, 512]`.
    pub(super) windows: Vec<f32>,
    /// The face of each frame.
    pub(super) crops: Vec<Arc<Picture>>,
    /// The first frames.
    pub(super) held: Vec<Held>,
}

/// A frame with what the generator painted for it.
pub(super) struct Held {
    pub(super) background: Arc<Background>,
    /// `[3, 320, 320]`.
    pub(super) output: Vec<f32>,
}

impl Held {
    /// Puts the painted mouth into what it may change, as `patch`.
    pub(super) fn paste(&self, how: Paste, paster: &mut Paster, patch: &mut Picture) {
        let background = &self.background;
        let rect = background.rect.within(background.area);
        patch.copy_from(&background.under);
        paster.paste(how, 1.0, patch, rect, &background.crop, &self.output);
    }
}

impl Material {
    /// Hears, sees and paints what the parts will need of the clip.
    pub(super) fn gather(
        plan: &Plan,
        clip: Clip<'_>,
        forms: FrameFormats,
        networks: &mut Networks,
    ) -> Result<Self> {
        let frames = plan.frames as usize;
        let (blocks, windows) = hear(plan, &mut networks.encoder)?;
        let mut cache = BackgroundCache::new(&plan.backgrounds, clip.keep_bytes, forms);
        let mut known = BTreeMap::new();
        let (mut crops, mut held) = (Vec::with_capacity(frames), Vec::new());
        for frame in 0..frames {
            let index = clip.background(FrameIndex(frame as u64));
            if frame >= MOST_HELD
                && let Some(crop) = known.get(&index)
            {
                crops.push(Clone::clone(crop));
                continue;
            }
            let mut backgrounds = Vec::new();
            cache.get(&[index], &mut backgrounds)?;
            for background in backgrounds {
                let crop = Arc::new(background.crop.clone());
                crops.push(known.entry(index).or_insert(crop).clone());
                if frame < MOST_HELD {
                    let output = vec![0.0; OUTPUT_LEN];
                    held.push(Held { background, output });
                }
            }
        }
        let mut material = Self {
            blocks,
            windows,
            crops,
            held,
        };
        material.paint(networks)?;
        Ok(material)
    }

    /// Frames of the clip.
    pub(super) fn frames(&self) -> usize {
        self.crops.len()
    }

    /// The face of a frame.
    pub(super) fn face(&self, frame: usize) -> Face<'_> {
        Face {
            crop: &self.crops[frame],
        }
    }

    /// The windows of these frames, `[n, 16, 512]`.
    pub(super) fn windows(&self, frames: std::ops::Range<usize>) -> &[f32] {
        &self.windows[frames.start * WINDOW_LEN..frames.end * WINDOW_LEN]
    }

    /// What stands in for a frame past those that are kept.
    pub(super) fn held(&self, frame: usize) -> &Held {
        &self.held[there_and_back(frame, self.held.len())]
    }

    fn paint(&mut self, networks: &mut Networks) -> Result<()> {
        let Some(generator) = networks.generators.first_mut() else {
            return Ok(());
        };
        for frame in 0..self.held.len() {
            let mut output = std::mem::take(&mut self.held[frame].output);
            let windows = self.windows(frame..frame + 1);
            generator.generate(&[self.face(frame)], windows, &mut output)?;
            self.held[frame].output = output;
        }
        Ok(())
    }
}

/// 0 1 .. `count` - 1 .. 1 0 1: no jump that an encoder would have to draw anew.
pub(super) fn there_and_back(n: usize, count: usize) -> usize {
    let at = n % (2 * count - 2).max(1);
    at.min((2 * count - 2).saturating_sub(at))
}

/// Blocks and windows of the clip.
fn hear(plan: &Plan, encoder: &mut dyn AudioEncoder) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    let mut recorder = Recorder {
        encoder,
        calls: Vec::new(),
    };
    let mut windows = vec![0.0; plan.frames as usize * WINDOW_LEN];
    let mut listener = WindowReader::new(&plan.sound, plan.fps, FrameIndex(0), &mut recorder)?;
    for (frame, window) in (0..).zip(windows.chunks_exact_mut(WINDOW_LEN)) {
        listener.window(FrameIndex(frame), window)?;
    }
    drop(listener);
    Ok((recorder.calls, windows))
}

/// Passes blocks on, and remembers them.
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
    use super::there_and_back;

    #[test]
    fn frames_go_there_and_back() {
        let order: Vec<usize> = (0..8).map(|n| there_and_back(n, 4)).collect();
        assert_eq!(order, [0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((there_and_back(5, 1), there_and_back(5, 2)), (0, 1));
    }
}
