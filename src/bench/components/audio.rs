//! Components that process audio.

use anyhow::Result;

use super::component::{Component, F32, Traffic};
use crate::audio::SPEECH_RATE;
use crate::audio::mel::MelSpectrogram;
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, MIN_SPEECH_SAMPLES};
use crate::bench::fixtures::Fixtures;
use crate::inference::AudioEncoder as _;
use crate::inference::onnx::Networks;
use crate::plan::Plan;

/// Audio file -> mel frames: decoding, resampling to 16 kHz, spectrum.
pub(in super::super) struct Mel<'a> {
    pub(in super::super) plan: &'a Plan,
}

impl Component for Mel<'_> {
    fn name(&self) -> String {
        "mel".into()
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    fn traffic(&self) -> Traffic {
        let per_frame = |per_second: f64| (per_second / self.plan.fps.as_f64()) as usize;
        let samples = f64::from(self.plan.sound.rate) * f64::from(self.plan.sound.channels);
        Traffic {
            read: per_frame(samples * F32 as f64),
            written: per_frame(80.0 * 80.0 * F32 as f64),
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        let audio = &self.plan.sound;
        let length = audio.frames_at(SPEECH_RATE).max(MIN_SPEECH_SAMPLES);
        let (mut reader, mut mel) = (audio.speech()?, MelSpectrogram::new(length));
        let mut samples = Vec::new();
        let emit = |frame| {
            std::hint::black_box(frame);
        };
        while reader.read(&mut samples)? {
            mel.push(&samples, emit);
            samples.clear();
        }
        mel.push(&samples, emit);
        mel.finish(emit);
        Ok(())
    }
}

/// Mel blocks -> embeddings.
pub(in super::super) struct AudioEncoder<'a> {
    pub(in super::super) fixtures: &'a Fixtures,
    pub(in super::super) embeddings: Vec<f32>,
}

impl Component for AudioEncoder<'_> {
    fn name(&self) -> String {
        "audio encoder".into()
    }

    fn frames(&self) -> usize {
        self.fixtures.frames()
    }

    fn traffic(&self) -> Traffic {
        let values: usize = self.fixtures.blocks.iter().map(Vec::len).sum();
        let blocks = values / BLOCK_LEN;
        Traffic {
            read: values * F32 / self.frames(),
            written: blocks * EMBEDDING_LEN * F32 / self.frames(),
        }
    }

    fn run(&mut self, networks: &mut Networks) -> Result<()> {
        for blocks in &self.fixtures.blocks {
            let count = blocks.len() / BLOCK_LEN;
            self.embeddings.resize(count * EMBEDDING_LEN, 0.0);
            networks
                .encoder
                .encode(count, blocks, &mut self.embeddings)?;
        }
        Ok(())
    }
}
