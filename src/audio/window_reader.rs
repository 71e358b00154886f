//! Audio and the audio encoder -> the 640 ms window of each frame, in constant memory.

use std::collections::HashMap;

use anyhow::Result;

use super::encoder::AudioEncoder;
use super::file::AudioFile;
use super::mel::{self, MelSpectrogram, SPEECH_RATE};
use super::reader::AudioReader;
use super::window::{BlockGroup, EMBEDDING_LEN, MIN_SPEECH_SAMPLES, MelQueue, WindowLayout};
use crate::error::NotFinite;
use crate::timeline::{FrameIndex, FrameRate};

/// Most blocks per run of the audio encoder.
const ENCODER_BATCH: usize = 16;

/// Reads audio once, from its start, and returns the windows of its frames in ascending order.
///
/// A frame's window is bit-identical, whichever frames were read before it.
pub struct WindowReader<'a> {
    encoder: &'a mut dyn AudioEncoder,
    reader: AudioReader,
    /// Zeros that pad short audio to [`MIN_SPEECH_SAMPLES`].
    padding: usize,
    ended: bool,
    mel: MelSpectrogram,
    mel_queue: MelQueue,
    layout: WindowLayout,
    /// Embeddings `[512]` by the first mel frame of their block.
    embeddings: HashMap<u64, Vec<f32>>,
    /// Unneeded embeddings, whose memory is used again.
    spare: Vec<Vec<f32>>,
    /// First mel frames of the blocks in the group being encoded.
    group: Vec<u64>,
    samples: Vec<f32>,
    blocks: Vec<f32>,
    encoded: Vec<f32>,
}

impl<'a> WindowReader<'a> {
    /// Starts at the beginning of `audio`, for a clip of `fps` frames per second; `first` is the first frame to be
    /// read.
    pub fn new(
        audio: &AudioFile,
        fps: FrameRate,
        first: FrameIndex,
        encoder: &'a mut dyn AudioEncoder,
    ) -> Result<Self> {
        let len = audio.frames_at(SPEECH_RATE);
        let padded_len = len.max(MIN_SPEECH_SAMPLES);
        let layout = WindowLayout::new(fps, mel::frame_count(padded_len));
        let starts = layout.block_starts(first).into_iter().flatten();
        let first_mel = starts
            .min()
            .map_or(0, |start| BlockGroup::containing(start).start());
        Ok(Self {
            encoder,
            reader: audio.speech()?,
            padding: (padded_len - len) as usize,
            ended: false,
            mel: MelSpectrogram::starting_at(first_mel, padded_len),
            mel_queue: MelQueue::starting_at(first_mel),
            layout,
            embeddings: HashMap::new(),
            spare: Vec::new(),
            group: Vec::new(),
            samples: Vec::new(),
            blocks: Vec::new(),
            encoded: Vec::new(),
        })
    }

    /// Writes the window of `frame`, `[16, 512]`, to `out`, and drops what only earlier frames needed.
    ///
    /// Frames must be read in ascending order.
    pub fn window(&mut self, frame: FrameIndex, out: &mut [f32]) -> Result<()> {
        let starts = self.layout.block_starts(frame);
        for start in starts.iter().flatten() {
            if !self.embeddings.contains_key(start) {
                self.encode(BlockGroup::containing(*start))?;
            }
        }
        if let Some(first) = starts.iter().flatten().min() {
            self.mel_queue.drop_before(*first);
            let unneeded = self.embeddings.extract_if(|start, _| start < first);
            self.spare.extend(unneeded.map(|(_, embedding)| embedding));
        }
        for (row, start) in out.chunks_exact_mut(EMBEDDING_LEN).zip(starts) {
            match start.and_then(|start| self.embeddings.get(&start)) {
                Some(embedding) => row.copy_from_slice(embedding),
                None => row.fill(0.0),
            }
        }
        Ok(())
    }

    /// Encodes all blocks of a group.
    fn encode(&mut self, group: BlockGroup) -> Result<()> {
        let mut blocks = std::mem::take(&mut self.group);
        group.block_starts(&self.layout, &mut blocks);
        for starts in blocks.chunks(ENCODER_BATCH) {
            self.blocks.clear();
            for &start in starts {
                while !self.mel_queue.append_block(start, &mut self.blocks) {
                    self.read_more()?;
                }
            }
            self.encoded.resize(starts.len() * EMBEDDING_LEN, 0.0);
            let encoded = (self.encoder).encode(starts.len(), &self.blocks, &mut self.encoded);
            encoded.map_err(|e| {
                let seconds = |item: usize| mel::seconds_of(starts[item.min(starts.len() - 1)]);
                NotFinite::place(e, |item| format!("for the audio at {:.2} s", seconds(item)))
            })?;
            let embeddings = self.encoded.chunks_exact(EMBEDDING_LEN);
            for (start, encoded) in starts.iter().zip(embeddings) {
                let mut embedding = self.spare.pop().unwrap_or_default();
                embedding.clear();
                embedding.extend_from_slice(encoded);
                self.embeddings.insert(*start, embedding);
            }
        }
        self.group = blocks;
        Ok(())
    }

    /// Reads the next samples and queues their mel frames.
    fn read_more(&mut self) -> Result<()> {
        anyhow::ensure!(
            !self.ended,
            "the audio ended before the windows of its last frames"
        );
        self.samples.clear();
        let more = self.reader.read(&mut self.samples)?;
        if !more {
            self.samples.resize(self.samples.len() + self.padding, 0.0);
        }
        let mel_queue = &mut self.mel_queue;
        self.mel.push(&self.samples, |frame| mel_queue.push(frame));
        if !more {
            self.mel.finish(|frame| mel_queue.push(frame));
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

    /// Embeds where a block was in its batch, how many blocks the batch had, and one of the block's values.
    struct PositionEncoder;

    impl AudioEncoder for PositionEncoder {
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

    fn layout(
        audio: &AudioFile,
        fps: FrameRate,
        frames: impl Iterator<Item = u64>,
    ) -> Vec<Vec<f32>> {
        let mut encoder = PositionEncoder;
        let mut frames = frames.peekable();
        let first = FrameIndex(*frames.peek().unwrap());
        let mut reader = WindowReader::new(audio, fps, first, &mut encoder).unwrap();
        let mut read = |frame| {
            let mut window = vec![0.0; WINDOW_LEN];
            reader.window(FrameIndex(frame), &mut window).unwrap();
            window
        };
        frames.map(&mut read).collect()
    }

    #[test]
    fn a_window_does_not_depend_on_the_frames_read_before() {
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
        let audio = AudioFile::open(&path, None).unwrap();
        for fps in ["25", "30000/1001", "60", "7"] {
            let fps: FrameRate = fps.parse().unwrap();
            let end = fps.frames_covering(audio.frames, audio.rate);
            let whole = layout(&audio, fps, 0..end);
            for first in [1, end / 3, end / 2 + 1, end - 1] {
                let late = layout(&audio, fps, first..end);
                assert!(late == whole[first as usize..], "{fps} fps from {first}");
            }
            // As when the mouth rests in pauses.
            let some = layout(&audio, fps, (0..end).filter(|n| n / 40 % 2 == 1 || *n == 2));
            let expected: Vec<_> = (0..end)
                .filter(|n| n / 40 % 2 == 1 || *n == 2)
                .map(|n| whole[n as usize].clone())
                .collect();
            assert!(some == expected, "{fps} fps with pauses");
        }
    }
}
