//! A sound and the audio encoder -> the 640 ms window of each frame, in constant memory.

use anyhow::Result;

use crate::audio::{SPEECH_RATE, Sound, SoundReader};
use crate::frame::FrameIndex;
use crate::infer::AudioEncoder;
use crate::mel::{self, MelSpectrogram};
use crate::window::{self, BLOCK_LEN, BlockCutter, EMBEDDING_LEN, SHORTEST_SPEECH, WindowLayout};

/// Blocks that go through the audio encoder at a time.
const ENCODER_BATCH: usize = 16;

/// Reads a sound once, from its start, and gives the windows of its frames in rising order.
pub struct Listener<'a> {
    encoder: &'a mut dyn AudioEncoder,
    reader: SoundReader,
    /// Zeros that lengthen a short sound to [`SHORTEST_SPEECH`].
    padding: usize,
    ended: bool,
    mel: MelSpectrogram,
    cutter: BlockCutter,
    layout: WindowLayout,
    /// Blocks of the whole clip.
    blocks_total: u64,
    /// Blocks whose embeddings are in the layout.
    encoded: u64,
    samples: Vec<f32>,
    blocks: Vec<f32>,
    embeddings: Vec<f32>,
}

impl<'a> Listener<'a> {
    /// Starts at the beginning of `sound`.
    pub fn new(sound: &Sound, encoder: &'a mut dyn AudioEncoder) -> Result<Self> {
        let heard = sound.frames_at(SPEECH_RATE);
        let samples = heard.max(SHORTEST_SPEECH);
        let mel_frames = mel::frame_count(samples);
        let blocks = window::block_count(mel_frames);
        Ok(Self {
            encoder,
            reader: sound.speech()?,
            padding: (samples - heard) as usize,
            ended: false,
            mel: MelSpectrogram::new(samples),
            cutter: BlockCutter::new(mel_frames),
            layout: WindowLayout::new(blocks + 2),
            blocks_total: blocks,
            encoded: 0,
            samples: Vec::new(),
            blocks: Vec::new(),
            embeddings: Vec::new(),
        })
    }

    /// Writes the window of `frame`, `[16, 512]`, into `out`. Frames are asked for in rising order.
    pub fn window(&mut self, frame: FrameIndex, out: &mut [f32]) -> Result<()> {
        while !self.layout.is_ready(frame) {
            self.cut_blocks()?;
            let count = self.blocks.len() / BLOCK_LEN;
            anyhow::ensure!(
                count > 0,
                "the sound ended before the windows of its last frames"
            );
            self.embeddings.resize(count * EMBEDDING_LEN, 0.0);
            self.encoder
                .encode(count, &self.blocks, &mut self.embeddings)?;
            self.blocks.clear();
            for embedding in self.embeddings.chunks_exact(EMBEDDING_LEN) {
                for _ in 0..window::feature_copies(self.encoded, self.blocks_total) {
                    self.layout.push(embedding);
                }
                self.encoded += 1;
            }
        }
        self.layout.window(frame, out);
        Ok(())
    }

    /// Gathers the next blocks: a full batch, or all that are left.
    fn cut_blocks(&mut self) -> Result<()> {
        loop {
            while self.blocks.len() < ENCODER_BATCH * BLOCK_LEN && self.cutter.pop(&mut self.blocks)
            {
            }
            if self.ended || self.blocks.len() == ENCODER_BATCH * BLOCK_LEN {
                return Ok(());
            }
            self.samples.clear();
            let more = self.reader.read(&mut self.samples)?;
            if !more {
                self.samples.resize(self.samples.len() + self.padding, 0.0);
            }
            let cutter = &mut self.cutter;
            self.mel.push(&self.samples, |frame| cutter.push(frame));
            if !more {
                self.mel.finish(|frame| cutter.push(frame));
                self.ended = true;
            }
        }
    }
}
