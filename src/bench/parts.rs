//! The parts of a render, each able to do its share of the clip alone, by the same calls as in the pipeline.

use std::thread;

use anyhow::{Result, anyhow};

use super::material::{Held, Material, there_and_back};
use crate::audio::SPEECH_RATE;
use crate::audio::mel::MelSpectrogram;
use crate::audio::window::{BLOCK_LEN, EMBEDDING_LEN, SHORTEST_SPEECH, WINDOW_LEN};
use crate::background::{BackgroundCache, FrameFormats};
use crate::encode::FrameSink;
use crate::encode::clip::{ClipFile, ClipFormat};
use crate::encode::composed::ComposedFrame;
use crate::face::{self, CROP, INNER, INPUT_LEN, OUTPUT_LEN, Paster};
use crate::image::Picture;
use crate::image::yuv420::Yuv420;
use crate::inference::onnx::{BaselineGenerator, Networks};
use crate::inference::{AudioEncoder as _, Face, Generator as Paints};
use crate::output::Target;
use crate::plan::Plan;
use crate::render::pipeline::Clip;
use crate::timeline::FrameIndex;

const F32: usize = size_of::<f32>();
/// Frames that the plain generator paints in a run: enough for a mean, and its inputs take 2.5 MB each.
const PLAIN_FRAMES: usize = 16;

/// How a part counts towards the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// The whole does it once a clip.
    Whole,
    /// It is contained in another part.
    Within(&'static str),
    /// The whole does something else in its place.
    Instead(&'static str),
}

/// Bytes that a part must read and write for a frame, however it is programmed: what goes in and what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) read: usize,
    pub(super) written: usize,
}

/// A part of the render.
pub(super) trait Part {
    fn name(&self) -> String;

    fn counts(&self) -> Counts {
        Counts::Whole
    }

    /// Frames that a run handles.
    fn frames(&self) -> usize;

    fn bytes(&self) -> Bytes;

    /// Does the part's share of the clip.
    fn run(&mut self, networks: &mut Networks) -> Result<()>;
}

/// Pixels of a whole frame.
fn pixels(plan: &Plan) -> usize {
    let size = plan.backgrounds.size();
    size.width as usize * size.height as usize
}

/// Bytes of a whole picture in the forms in which it is kept.
fn kept_pixels(plan: &Plan, forms: FrameFormats) -> usize {
    let rgb = if forms.rgb { pixels(plan) * 3 } else { 0 };
    let planes = Yuv420::bytes(plan.backgrounds.size());
    rgb + if forms.yuv420 { planes } else { 0 }
}

/// Background files or video -> pictures with their crops, as far as they are not kept.
pub(super) struct Decode<'a> {
    pub(super) plan: &'a Plan,
    pub(super) clip: Clip<'a>,
    /// What the output needs them in.
    pub(super) forms: FrameFormats,
}

impl Part for Decode<'_> {
    fn name(&self) -> String {
        "decode".into()
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    /// As if each picture were decoded for each frame: what is compressed counts for nothing.
    fn bytes(&self) -> Bytes {
        Bytes {
            read: 0,
            written: kept_pixels(self.plan, self.forms) + CROP * CROP * 3,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        let plan = self.plan;
        plan.backgrounds.forget();
        let mut cache = BackgroundCache::new(&plan.backgrounds, self.clip.keep_bytes, self.forms);
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

/// A background's rectangle -> 328x328.
pub(super) struct Crop<'a> {
    pub(super) material: &'a Material,
}

impl Part for Crop<'_> {
    fn name(&self) -> String {
        "crop".into()
    }

    fn counts(&self) -> Counts {
        Counts::Within("decode")
    }

    fn frames(&self) -> usize {
        self.material.held.len()
    }

    fn bytes(&self) -> Bytes {
        let rect = self.material.held(0).background.rect;
        Bytes {
            read: rect.width() * rect.height() * 3,
            written: CROP * CROP * 3,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for held in &self.material.held {
            let background = &held.background;
            let rect = background.rect.within(background.area);
            std::hint::black_box(face::crop(&background.under, rect));
        }
        Ok(())
    }
}

/// The sound -> mel frames: reading, 16 kHz, spectrum.
pub(super) struct Mel<'a> {
    pub(super) plan: &'a Plan,
}

impl Part for Mel<'_> {
    fn name(&self) -> String {
        "mel".into()
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    fn bytes(&self) -> Bytes {
        let a_frame = |a_second: f64| (a_second / self.plan.fps.as_f64()) as usize;
        let sound = f64::from(self.plan.sound.rate) * f64::from(self.plan.sound.channels);
        Bytes {
            read: a_frame(sound * F32 as f64),
            written: a_frame(80.0 * 80.0 * F32 as f64),
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        let sound = &self.plan.sound;
        let samples = sound.frames_at(SPEECH_RATE).max(SHORTEST_SPEECH);
        let (mut reader, mut mel) = (sound.speech()?, MelSpectrogram::new(samples));
        let mut heard = Vec::new();
        let emit = |frame| {
            std::hint::black_box(frame);
        };
        while reader.read(&mut heard)? {
            mel.push(&heard, emit);
            heard.clear();
        }
        mel.push(&heard, emit);
        mel.finish(emit);
        Ok(())
    }
}

/// Mel blocks -> embeddings.
pub(super) struct AudioEncoder<'a> {
    pub(super) material: &'a Material,
    pub(super) embeddings: Vec<f32>,
}

impl Part for AudioEncoder<'_> {
    fn name(&self) -> String {
        "audio encoder".into()
    }

    fn frames(&self) -> usize {
        self.material.frames()
    }

    fn bytes(&self) -> Bytes {
        let values: usize = self.material.blocks.iter().map(Vec::len).sum();
        let blocks = values / BLOCK_LEN;
        Bytes {
            read: values * F32 / self.frames(),
            written: blocks * EMBEDDING_LEN * F32 / self.frames(),
        }
    }

    fn run(&mut self, networks: &mut Networks) -> Result<()> {
        for blocks in &self.material.blocks {
            let count = blocks.len() / BLOCK_LEN;
            self.embeddings.resize(count * EMBEDDING_LEN, 0.0);
            networks
                .encoder
                .encode(count, blocks, &mut self.embeddings)?;
        }
        Ok(())
    }
}

/// Faces and windows -> pictures, by as many generators as the machine has room for.
pub(super) struct Generator<'a> {
    pub(super) material: &'a Material,
    pub(super) batch: usize,
}

impl Generator<'_> {
    /// The batches of the generator whose turn is `turn` of `of`.
    fn work(&self, generator: &mut impl Paints, turn: usize, of: usize) -> Result<()> {
        let mut output = Vec::new();
        let starts = (0..self.frames()).step_by(self.batch);
        for start in starts.skip(turn).step_by(of) {
            let frames = start..(start + self.batch).min(self.frames());
            let faces: Vec<Face<'_>> = frames
                .clone()
                .map(|frame| self.material.face(frame))
                .collect();
            output.resize(faces.len() * OUTPUT_LEN, 0.0);
            generator.generate(&faces, self.material.windows(frames), &mut output)?;
        }
        Ok(())
    }
}

impl Part for Generator<'_> {
    fn name(&self) -> String {
        "generator".into()
    }

    fn frames(&self) -> usize {
        self.material.frames()
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            read: INNER * INNER * 3 + WINDOW_LEN * F32,
            written: OUTPUT_LEN * F32,
        }
    }

    fn run(&mut self, networks: &mut Networks) -> Result<()> {
        let of = networks.generators.len();
        let this = &*self;
        thread::scope(|scope| {
            let turns = networks.generators.iter_mut().enumerate();
            let threads: Vec<_> = turns
                .map(|(turn, generator)| scope.spawn(move || this.work(generator, turn, of)))
                .collect();
            for thread in threads {
                let ended = thread.join();
                ended.map_err(|_| anyhow!("a generator's thread panicked"))??;
            }
            Ok(())
        })
    }
}

/// The unmodified generator, as ONNX Runtime runs it with its own defaults.
pub(super) struct Plain<'a> {
    pub(super) material: &'a Material,
    pub(super) generator: BaselineGenerator,
    /// The network's input of each frame, made beforehand: only the network's own `run` is measured.
    pub(super) inputs: Vec<Vec<f32>>,
    pub(super) output: Vec<f32>,
}

impl<'a> Plain<'a> {
    pub(super) fn new(material: &'a Material, generator: BaselineGenerator) -> Self {
        let input = |held: &Held| {
            let mut input = vec![0.0; INPUT_LEN];
            face::network_input(&held.background.crop, &mut input);
            input
        };
        Self {
            material,
            generator,
            inputs: material.held.iter().take(PLAIN_FRAMES).map(input).collect(),
            output: vec![0.0; OUTPUT_LEN],
        }
    }
}

impl Part for Plain<'_> {
    fn name(&self) -> String {
        "plain run".into()
    }

    fn counts(&self) -> Counts {
        Counts::Instead("generator")
    }

    fn frames(&self) -> usize {
        self.inputs.len()
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            read: (INPUT_LEN + WINDOW_LEN) * F32,
            written: OUTPUT_LEN * F32,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for (frame, input) in self.inputs.iter().enumerate() {
            let window = self.material.windows(frame..frame + 1);
            self.generator.run(input, window, &mut self.output)?;
        }
        Ok(())
    }
}

/// Painted pictures -> the part of each frame that they change.
pub(super) struct Paste<'a> {
    pub(super) plan: &'a Plan,
    pub(super) material: &'a Material,
    pub(super) paster: Paster,
    pub(super) patch: Picture,
}

impl Part for Paste<'_> {
    fn name(&self) -> String {
        "paste".into()
    }

    fn frames(&self) -> usize {
        self.material.frames()
    }

    fn bytes(&self) -> Bytes {
        let under = self.material.held(0).background.under.pixels.len();
        Bytes {
            read: under + CROP * CROP * 3 + OUTPUT_LEN * F32,
            written: under,
        }
    }

    fn run(&mut self, _: &mut Networks) -> Result<()> {
        for frame in 0..self.frames() {
            let held = self.material.held(frame);
            held.paste(self.plan.paste, &mut self.paster, &mut self.patch);
        }
        Ok(())
    }
}

/// Frames and sound -> a finished, checked clip.
pub(super) struct Encode<'a> {
    pub(super) plan: &'a Plan,
    pub(super) format: ClipFormat,
    /// Frames that go there and back.
    pub(super) frames: &'a [ComposedFrame],
    pub(super) target: Target,
    /// Whether the whole encodes so.
    pub(super) counts: Counts,
}

impl Part for Encode<'_> {
    fn name(&self) -> String {
        match &self.format.video.preset {
            Some(preset) => format!("encode {preset}"),
            None => "encode".into(),
        }
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn frames(&self) -> usize {
        self.plan.frames as usize
    }

    /// The background as it is kept and the changed part -> what the encoder sees.
    fn bytes(&self) -> Bytes {
        let kept = kept_pixels(self.plan, self.format.video.encoder.forms());
        let changed = self.frames.first().and_then(|frame| frame.patch.as_ref());
        Bytes {
            read: kept + changed.map_or(0, |patch| patch.pixels.len()),
            written: kept,
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
            clip.write(&self.frames[there_and_back(n, self.frames.len())])?;
        }
        clip.finish()
    }
}
