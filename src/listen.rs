//! A sound and the audio encoder -> the 640 ms window of each frame, in constant memory.

use std::collections::HashMap;

use anyhow::Result;

use crate::audio::{SPEECH_RATE, Sound, SoundReader};
use crate::frame::{FrameIndex, FrameRate};
use crate::infer::AudioEncoder;
use crate::mel::{self, MelSpectrogram};
use crate::window::{BlockCutter, EMBEDDING_LEN, SHORTEST_SPEECH, Windows};

/// Blocks that go through the audio encoder at a time.
const ENCODER_BATCH: usize = 16;
/// Frames whose blocks are encoded together: at 25 frames a second, each brings one new block.
const FRAMES_AHEAD: u64 = ENCODER_BATCH as u64;

/// Reads a sound once, from its start, and gives the windows of its frames in rising order.
pub struct Listener<'a> {
    encoder: &'a mut dyn AudioEncoder,
    reader: SoundReader,
    /// Zeros that lengthen a short sound to [`SHORTEST_SPEECH`].
    padding: usize,
    ended: bool,
    mel: MelSpectrogram,
    cutter: BlockCutter,
    windows: Windows,
    /// Embeddings `[512]` by their block's first mel frame.
    embeddings: HashMap<u64, Vec<f32>>,
    /// Memory of those that are forgotten.
    spare: Vec<Vec<f32>>,
    /// Blocks to encode next.
    missing: Vec<u64>,
    samples: Vec<f32>,
    blocks: Vec<f32>,
    encoded: Vec<f32>,
}

impl<'a> Listener<'a> {
    /// Starts at the beginning of `sound`, for a clip of `fps` frames a second.
    pub fn new(sound: &Sound, fps: FrameRate, encoder: &'a mut dyn AudioEncoder) -> Result<Self> {
        let heard = sound.frames_at(SPEECH_RATE);
        let samples = heard.max(SHORTEST_SPEECH);
        Ok(Self {
            encoder,
            reader: sound.speech()?,
            padding: (samples - heard) as usize,
            ended: false,
            mel: MelSpectrogram::new(samples),
            cutter: BlockCutter::default(),
            windows: Windows::new(fps, mel::frame_count(samples)),
            embeddings: HashMap::new(),
            spare: Vec::new(),
            missing: Vec::new(),
            samples: Vec::new(),
            blocks: Vec::new(),
            encoded: Vec::new(),
        })
    }

    /// Writes the window of `frame`, `[16, 512]`, into `out`, and forgets what earlier frames alone needed.
    ///
    /// Frames are asked for in rising order.
    pub fn window(&mut self, frame: FrameIndex, out: &mut [f32]) -> Result<()> {
        let starts = self.windows.block_starts(frame);
        let is_known = |start: &u64| self.embeddings.contains_key(start);
        if !starts.iter().flatten().all(is_known) {
            self.encode_ahead(frame)?;
        }
        if let Some(first) = starts.iter().flatten().min() {
            self.cutter.forget_before(*first);
            let forgotten = self.embeddings.extract_if(|start, _| start < first);
            self.spare.extend(forgotten.map(|(_, embedding)| embedding));
        }
        for (row, start) in out.chunks_exact_mut(EMBEDDING_LEN).zip(starts) {
            match start.and_then(|start| self.embeddings.get(&start)) {
                Some(embedding) => row.copy_from_slice(embedding),
                None => row.fill(0.0),
            }
        }
        Ok(())
    }

    /// Encodes the blocks that `frame` and the next ones still lack.
    fn encode_ahead(&mut self, frame: FrameIndex) -> Result<()> {
        let mut missing = std::mem::take(&mut self.missing);
        missing.clear();
        let starts = (frame.0..frame.0 + FRAMES_AHEAD)
            .flat_map(|frame| self.windows.block_starts(FrameIndex(frame)))
            .flatten();
        missing.extend(starts.filter(|start| !self.embeddings.contains_key(start)));
        missing.sort_unstable();
        missing.dedup();
        for starts in missing.chunks(ENCODER_BATCH) {
            self.blocks.clear();
            for &start in starts {
                while !self.cutter.cut(start, &mut self.blocks) {
                    self.hear()?;
                }
            }
            self.encoded.resize(starts.len() * EMBEDDING_LEN, 0.0);
            self.encoder
                .encode(starts.len(), &self.blocks, &mut self.encoded)?;
            let embeddings = self.encoded.chunks_exact(EMBEDDING_LEN);
            for (start, encoded) in starts.iter().zip(embeddings) {
                let mut embedding = self.spare.pop().unwrap_or_default();
                embedding.clear();
                embedding.extend_from_slice(encoded);
                self.embeddings.insert(*start, embedding);
            }
        }
        self.missing = missing;
        Ok(())
    }

    /// Reads on, and hands the mel frames of what was read to the cutter.
    fn hear(&mut self) -> Result<()> {
        anyhow::ensure!(
            !self.ended,
            "the sound ended before the windows of its last frames"
        );
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
        Ok(())
    }
}
