//! WAV files that state their length, read with hound.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read, Seek};
use std::path::Path;

use anyhow::Result;
use hound::SampleFormat::{Float, Int};

use super::checks::unreadable;
use crate::error::plain_io;

/// Sizes of the data chunk that mean "until the end of the file". Programs that cannot go back to the header write them
/// (FFmpeg; espeak and SoX; arecord).
const UNKNOWN_SIZES: [u32; 3] = [0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000];

/// Bytes of the longest `fmt ` chunk for PCM (`WAVEFORMATEXTENSIBLE`).
const MAX_FORMAT_LEN: u64 = 40;

/// Reads the samples of a WAV file in pieces.
pub(super) struct WavReader(hound::WavReader<Chain<Cursor<Vec<u8>>, BufReader<File>>>);

impl WavReader {
    /// Starts at the first sample; None if FFmpeg has to read the file. Fails if it is shorter than its header says.
    pub(super) fn open(path: &Path, file: File) -> Result<Option<Self>> {
        let io = |e| unreadable(path).because(plain_io(&e));
        let size = file.metadata().map_err(io)?.len();
        let mut reader = BufReader::new(file);
        let Ok(promised) = hound::read_wave_header(&mut reader) else {
            return Ok(None);
        };
        let (format, len) = match find_data(&mut reader) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(unreadable(path)
                    .because(format!("its header is truncated after {size} bytes"))
                    .hint("export or copy it again")
                    .into());
            }
            Err(e) => return Err(io(e).into()),
        };
        if UNKNOWN_SIZES.contains(&len) || (len == 0 && promised != size) {
            return Ok(None);
        }
        let available = size.saturating_sub(reader.stream_position().map_err(io)?);
        if available < len.into() {
            return Err(unreadable(path)
                .because(format!(
                    "its header says {len} bytes of samples, but the file ends after {available}"
                ))
                .hint("the file looks truncated; export or copy it again")
                .into());
        }
        let header = Cursor::new(plain_header(format, len));
        Ok(hound::WavReader::new(header.chain(reader))
            .ok()
            .filter(|wav| {
                let spec = wav.spec();
                match spec.sample_format {
                    Int => matches!(spec.bits_per_sample, 8 | 16 | 24 | 32),
                    Float => spec.bits_per_sample == 32,
                }
            })
            .map(Self))
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

/// Seeks from the first chunk to the samples. Returns the `fmt ` chunk, and the size that the `data` chunk states.
fn find_data(reader: &mut BufReader<File>) -> io::Result<(Vec<u8>, u32)> {
    let mut format = Vec::new();
    loop {
        let [mut kind, mut len] = [[0; 4]; 2];
        reader.read_exact(&mut kind)?;
        reader.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        if &kind == b"data" {
            return Ok((format, len));
        }
        let mut chunk = reader.by_ref().take(len.into());
        if &kind == b"fmt " {
            chunk
                .by_ref()
                .take(MAX_FORMAT_LEN)
                .read_to_end(&mut format)?;
        }
        // Chunks start at even offsets.
        let left = chunk.limit() + u64::from(len % 2);
        reader.seek_relative(left as i64)?;
    }
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
