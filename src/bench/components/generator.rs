//! The generator: as a render runs it, and as ONNX Runtime does by itself.

use std::thread;

use anyhow::{Result, anyhow};

use super::component::{Component, F32, Role, Traffic};
use crate::audio::window::WINDOW_LEN;
use crate::bench::fixtures::{Fixtures, PaintedFrame};
use crate::face::{self, INNER, INPUT_LEN, OUTPUT_LEN};
use crate::inference::onnx::{BaselineGenerator, Networks};
use crate::inference::{Face, Generator as Generate};

/// Frames of a plain run: enough for a mean, and each input takes 2.5 MB.
const PLAIN_FRAMES: usize = 16;

/// Face crops and audio windows -> new faces, by all generators in parallel.
pub(in super::super) struct Generator<'a> {
    pub(in super::super) fixtures: &'a Fixtures,
    pub(in super::super) batch: usize,
}

impl Generator<'_> {
    /// Every `count`th batch, starting with batch `first`.
    fn work(&self, generator: &mut impl Generate, first: usize, count: usize) -> Result<()> {
        let mut output = Vec::new();
        let starts = (0..self.frames()).step_by(self.batch);
        for start in starts.skip(first).step_by(count) {
            let frames = start..(start + self.batch).min(self.frames());
            let faces: Vec<Face<'_>> = frames
                .clone()
                .map(|frame| self.fixtures.face(frame))
                .collect();
            output.resize(faces.len() * OUTPUT_LEN, 0.0);
            generator.generate(&faces, self.fixtures.windows(frames), &mut output)?;
        }
        Ok(())
    }
}

impl Component for Generator<'_> {
    fn name(&self) -> String {
        "generator".into()
    }

    fn frames(&self) -> usize {
        self.fixtures.frames()
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            read: INNER * INNER * 3 + WINDOW_LEN * F32,
            written: OUTPUT_LEN * F32,
        }
    }

    fn run(&mut self, networks: &mut Networks) -> Result<()> {
        let count = networks.generators.len();
        let this = &*self;
        thread::scope(|scope| {
            let generators = networks.generators.iter_mut().enumerate();
            let threads: Vec<_> = generators
                .map(|(first, generator)| scope.spawn(move || this.work(generator, first, count)))
                .collect();
            for thread in threads {
                let result = thread.join();
                result.map_err(|_| anyhow!("a generator's thread panicked"))??;
            }
            Ok(())
        })
    }
}

/// The unmodified generator in ONNX Runtime with its default settings: what everything else is compared with.
pub(in super::super) struct PlainRun<'a> {
    pub(in super::super) fixtures: &'a Fixtures,
    pub(in super::super) generator: BaselineGenerator,
    /// The network's input of each frame, computed beforehand: only `run` itself is measured.
    pub(in super::super) inputs: Vec<Vec<f32>>,
    pub(in super::super) output: Vec<f32>,
}

impl<'a> PlainRun<'a> {
    pub(in super::super) fn new(fixtures: &'a Fixtures, generator: BaselineGenerator) -> Self {
        let input = |frame: &PaintedFrame| {
            let mut input = vec![0.0; INPUT_LEN];
            face::network_input(&frame.background.crop, &mut input);
            input
        };
        Self {
            fixtures,
            generator,
            inputs: fixtures
                .painted
                .iter()
                .take(PLAIN_FRAMES)
                .map(input)
                .collect(),
            output: vec![0.0; OUTPUT_LEN],
        }
    }
}

impl Component for PlainRun<'_> {
    fn name(&self) -> String {
        "plain run".into()
    }

    fn role(&self) -> Role {
        Role::Instead("generator")
    }

    fn frames(&self) -> usize {
        self.inputs.len()
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            read: (INPUT_LEN + WINDOW_LEN) * F32,
            written: OUTPUT_LEN * F32,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for (frame, input) in self.inputs.iter().enumerate() {
            let window = self.fixtures.windows(frame..frame + 1);
            self.generator.run(input, window, &mut self.output)?;
        }
        Ok(())
    }
}
