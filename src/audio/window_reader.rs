//! A sound and the audio encoder -> the 640 ms window of each frame, in constant memory.

use std::collections::HashMap;

use anyhow::Result;

use crate::audio::encoder::AudioEncoder;
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::window::{BlockCutter, EMBEDDING_LEN, SHORTEST_SPEECH, Unit, Windows};
use crate::audio::{AudioFile, AudioReader, SPEECH_RATE};
use crate::timeline::{FrameIndex, FrameRate};

/// Blocks that go through the audio encoder at a time.
const ENCODER_BATCH: usize = 16;

/// Reads a sound once, from its start, and gives the windows of its frames in rising order.
///
/// A frame's window is the same to the bit, whatever frames were asked for before.
pub struct WindowReader<'a> {
    encoder: &'a mut dyn AudioEncoder,
    reader: AudioReader,
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
    /// First mel frames of the blocks that are encoded together.
    unit: Vec<u64>,
    samples: Vec<f32>,
    blocks: Vec<f32>,
    encoded: Vec<f32>,
}

impl<'a> WindowReader<'a> {
    /// Starts at the beginning of `sound`, for a clip of `fps` frames a second of which `first` is the first that is wanted.
    pub fn new(
        sound: &AudioFile,
        fps: FrameRate,
        first: FrameIndex,
        encoder: &'a mut dyn AudioEncoder,
    ) -> Result<Self> {
        let heard = sound.frames_at(SPEECH_RATE);
        let samples = heard.max(SHORTEST_SPEECH);
        let windows = Windows::new(fps, mel::frame_count(samples));
        let starts = windows.block_starts(first).into_iter().flatten();
        let wanted = starts.min().map_or(0, |start| Unit::of(start).start());
        Ok(Self {
            encoder,
            reader: sound.speech()?,
            padding: (samples - heard) as usize,
            ended: false,
            mel: MelSpectrogram::from(wanted, samples),
            cutter: BlockCutter::from(wanted),
            windows,
            embeddings: HashMap::new(),
            spare: Vec::new(),
            unit: Vec::new(),
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
        for start in starts.iter().flatten() {
            if !self.embeddings.contains_key(start) {
                self.encode(Unit::of(*start))?;
            }
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

    fn encode(&mut self, unit: Unit) -> Result<()> {
        let mut blocks = std::mem::take(&mut self.unit);
        unit.blocks(&self.windows, &mut blocks);
        for starts in blocks.chunks(ENCODER_BATCH) {
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
        self.unit = blocks;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::mel::BANDS;
    use crate::audio::window::{BLOCK_LEN, WINDOW_LEN};

    /// Tells the company in which a block came: its place, how many there were, and one of its values.
    struct Gossip;

    impl AudioEncoder for Gossip {
        fn encode(&mut self, count: usize, blocks: &[f32], embeddings: &mut [f32]) -> Result<()> {
            let blocks = blocks.chunks_exact(BLOCK_LEN);
            for (n, (block, out)) in blocks
                .zip(embeddings.chunks_exact_mut(EMBEDDING_LEN))
                .enumerate()
            {
                out.fill(0.0);
                out[..3].copy_from_slice(&[n as f32, count as f32, block[BANDS]]);
            }
            Ok(())
        }
    }

    fn windows(
        sound: &AudioFile,
        fps: FrameRate,
        frames: impl Iterator<Item = u64>,
    ) -> Vec<Vec<f32>> {
        let mut encoder = Gossip;
        let mut frames = frames.peekable();
        let first = FrameIndex(*frames.peek().unwrap());
        let mut listener = WindowReader::new(sound, fps, first, &mut encoder).unwrap();
        let mut heard = |frame| {
            let mut window = vec![0.0; WINDOW_LEN];
            listener.window(FrameIndex(frame), &mut window).unwrap();
            window
        };
        frames.map(&mut heard).collect()
    }

    #[test]
    fn a_window_does_not_depend_on_what_was_asked_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 22_050,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&path, spec).unwrap();
        for i in 0..22_050_u32 * 9 {
            let t = f64::from(i) / 22_050.0;
            wav.write_sample(((t * t * 900.0).sin() * 9000.0) as i16)
                .unwrap();
        }
        wav.finalize().unwrap();
        let sound = AudioFile::open(&path, None).unwrap();
        for fps in ["25", "30000/1001", "60", "7"] {
            let fps: FrameRate = fps.parse().unwrap();
            let end = fps.frames_covering(sound.frames, sound.rate);
            let whole = windows(&sound, fps, 0..end);
            for first in [1, end / 3, end / 2 + 1, end - 1] {
                let late = windows(&sound, fps, first..end);
                assert!(late == whole[first as usize..], "{fps} fps from {first}");
            }
            // As with mouths at rest.
            let some = windows(&sound, fps, (0..end).filter(|n| n / 40 % 2 == 1 || *n == 2));
            let wanted: Vec<_> = (0..end)
                .filter(|n| n / 40 % 2 == 1 || *n == 2)
                .map(|n| whole[n as usize].clone())
                .collect();
            assert!(some == wanted, "{fps} fps with pauses");
        }
    }
}
