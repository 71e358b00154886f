//! WAV files with plain samples, read with hound.

use std::io::{BufReader, Chain, Cursor};

use hound::SampleFormat::{Float, Int};

use super::source::Section;
use super::wav_chunks::WavChunks;

/// Reads the samples of a WAV file in pieces.
pub(super) struct WavReader(hound::WavReader<Chain<Cursor<Vec<u8>>, BufReader<Section>>>);

impl WavReader {
    /// Starts at the first sample; None if FFmpeg has to read the file.
    pub(super) fn open(section: &Section, chunks: &WavChunks) -> Option<Self> {
        let block = u64::from(block_len(&chunks.format)?);
        // The last sample of a file that was cut off may be incomplete.
        let whole = |len: u64| {
            if chunks.is_endless {
                len / block * block
            } else {
                len
            }
        };
        let ranges = chunks.data.iter();
        let ranges = ranges.map(|range| range.start..range.start + whole(range.end - range.start));
        Self::of_samples(&section.of(ranges.collect()), chunks)
    }

    /// Reads `frames` samples per channel from the `first` one on.
    pub(super) fn open_at(
        section: &Section,
        chunks: &WavChunks,
        first: u64,
        frames: u64,
    ) -> Option<Self> {
        let block = u64::from(block_len(&chunks.format)?);
        let data = section.of(chunks.data.clone());
        let (start, len) = (first * block, frames * block);
        Self::of_samples(&data.part(start..start + len), chunks)
    }

    fn of_samples(samples: &Section, chunks: &WavChunks) -> Option<Self> {
        let len = u32::try_from(samples.len()).ok()?;
        if !chunks.is_plain {
            return None;
        }
        let header = Cursor::new(plain_header(chunks.format.clone(), len));
        let reader = BufReader::new(samples.clone());
        hound::WavReader::new(std::io::Read::chain(header, reader))
            .ok()
            .filter(|wav| {
                let spec = wav.spec();
                match spec.sample_format {
                    Int => matches!(spec.bits_per_sample, 8 | 16 | 24 | 32),
                    Float => spec.bits_per_sample == 32,
                }
            })
            .map(Self)
    }

    /// Samples per second.
    pub(super) fn rate(&self) -> u32 {
        self.0.spec().sample_rate
    }

    /// Interleaved channels.
    pub(super) fn channels(&self) -> u16 {
        self.0.spec().channels
    }

    /// Samples per channel.
    pub(super) fn frames(&self) -> u64 {
        self.0.duration().into()
    }

    /// Appends `frames` samples per channel, interleaved, -1..1 (16-bit: divided by 32768). Returns false at the end.
    pub(super) fn read(&mut self, frames: u64, out: &mut Vec<f32>) -> hound::Result<bool> {
        let spec = self.0.spec();
        let count = frames as usize * usize::from(spec.channels);
        if spec.sample_format == Float {
            return read(self.0.samples::<f32>(), count, |s| s, out);
        }
        let full_scale = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
        read(
            self.0.samples::<i32>(),
            count,
            |s| s as f32 / full_scale,
            out,
        )
    }
}

/// Appends the next `count` samples. Returns false if there are none left.
fn read<S>(
    samples: impl Iterator<Item = hound::Result<S>>,
    count: usize,
    scale: impl Fn(S) -> f32,
    out: &mut Vec<f32>,
) -> hound::Result<bool> {
    let before = out.len();
    for sample in samples.take(count) {
        out.push(scale(sample?));
    }
    Ok(out.len() > before)
}

/// Bytes of one sample of each channel, by the `fmt ` chunk.
fn block_len(format: &[u8]) -> Option<u16> {
    let bytes = format.get(12..14)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes)).filter(|len| *len > 0)
}

/// Where the speakers of the channels stand, as a mask, by the `fmt ` chunk (`WAVEFORMATEXTENSIBLE`).
pub(super) fn speakers(format: &[u8]) -> Option<u64> {
    let is_extensible = format.starts_with(&[0xFE, 0xFF]);
    let mask = format.get(20..24)?.first_chunk()?;
    is_extensible.then_some(u64::from(u32::from_le_bytes(*mask)))
}

/// The header of a file that contains nothing but samples of this format.
///
/// hound cannot read on after chunks of odd size, and misreads samples with fewer valid bits than their bytes have, so
/// it gets to see neither.
fn plain_header(mut format: Vec<u8>, len: u32) -> Vec<u8> {
    if format.len() >= 16 {
        let channels = u16::from_le_bytes([format[2], format[3]]).max(1);
        let block = u16::from_le_bytes([format[12], format[13]]);
        let bits = (block / channels).saturating_mul(8).to_le_bytes();
        format[14..16].copy_from_slice(&bits);
        if let Some(valid_bits) = format.get_mut(18..20) {
            valid_bits.copy_from_slice(&bits);
        }
    }
    [
        b"RIFF\0\0\0\0WAVEfmt ",
        &(format.len() as u32).to_le_bytes()[..],
        &format,
        b"data",
        &len.to_le_bytes(),
    ]
    .concat()
}
