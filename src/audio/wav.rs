//! WAV files of plain samples: RIFF, RF64 and BW64, of any size that the sound may have.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::Result;

use super::unreadable;
use crate::error::plain_io;

/// Sizes of the data chunk that say "until the end of the file": they are written by those who cannot go back to the
/// header once the length is known (FFmpeg; espeak and SoX; arecord).
const ENDLESS: [u64; 3] = [0xFFFF_FFFF, 0x7FFF_F000, 0x8000_0000];

/// `wFormatTag` of integer samples, of float samples, and of "see the sub-format" (mmreg.h).
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;

/// How a sample of one channel is stored, little end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Stored {
    /// Integers with fewer valid bits than they take up have zeros below them, so that only their size matters.
    fn of(tag: u16, bytes: usize) -> Option<Self> {
        match (tag, bytes) {
            (PCM, 1) => Some(Self::U8),
            (PCM, 2) => Some(Self::I16),
            (PCM, 3) => Some(Self::I24),
            (PCM, 4) => Some(Self::I32),
            (FLOAT, 4) => Some(Self::F32),
            (FLOAT, 8) => Some(Self::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends all samples in `bytes`, -1..1 (16-bit: divided by 32768).
    fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        const FULL: f32 = 2_147_483_648.0;
        match self {
            Self::U8 => out.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
            Self::I16 => extend(out, bytes, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            Self::I24 => extend(out, bytes, |[a, b, c]| {
                i32::from_le_bytes([0, a, b, c]) as f32 / FULL
            }),
            Self::I32 => extend(out, bytes, |b| i32::from_le_bytes(b) as f32 / FULL),
            Self::F32 => extend(out, bytes, f32::from_le_bytes),
            Self::F64 => extend(out, bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn extend<const N: usize>(out: &mut Vec<f32>, bytes: &[u8], sample: impl Fn([u8; N]) -> f32) {
    out.extend(bytes.as_chunks().0.iter().map(|&bytes| sample(bytes)));
}

/// What a WAV file's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) rate: u32,
    pub(super) channels: u16,
    /// How samples are stored; None for those that need a decoder.
    stored: Option<Stored>,
    /// Where the samples begin in the file, in bytes.
    start: u64,
    /// Bytes of samples.
    len: u64,
}

impl Header {
    /// Reads the header of `file`; None if it is no WAV file. Fails if the file holds less than its header promises.
    pub(super) fn read(path: &Path, file: &File) -> Result<Option<Self>> {
        let io = |e: &io::Error| unreadable(path).because(plain_io(e));
        let size = file.metadata().map_err(|e| io(&e))?.len();
        let header = match Chunks::open(file).and_then(|chunks| match chunks {
            Some(chunks) => chunks.find_data(size).map(Some),
            None => Ok(None),
        }) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(unreadable(path)
                    .because(format!("its header is cut off after {size} bytes"))
                    .hint("export or copy it again")
                    .into());
            }
            Err(e) => return Err(io(&e).hint("export it again").into()),
        };
        let there = size.saturating_sub(header.start);
        if there < header.len {
            return Err(unreadable(path)
                .because(format!(
                    "its header promises {} bytes of samples, the file ends after {there}",
                    header.len
                ))
                .hint("the file looks cut off; export or copy it again")
                .into());
        }
        Ok(Some(header))
    }

    /// Samples of each channel; None if only a decoder can tell.
    pub(super) fn frames(&self) -> Option<u64> {
        self.stored
            .and_then(|stored| self.len.checked_div(self.block(stored)))
    }

    /// Bytes of one sample of all channels.
    fn block(&self, stored: Stored) -> u64 {
        stored.bytes() as u64 * u64::from(self.channels)
    }
}

/// Walks over the chunks of a WAV file.
struct Chunks<'a> {
    reader: BufReader<&'a File>,
    /// Size of the file less 8 bytes, as its beginning says it.
    riff: u64,
}

impl<'a> Chunks<'a> {
    /// Reads the first 12 bytes; None if they are not those of a WAV file.
    fn open(mut file: &'a File) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(file);
        let mut head = [0; 12];
        match reader.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done?,
        }
        let known = matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") && &head[8..] == b"WAVE";
        Ok(known.then_some(Self {
            reader,
            riff: le_u32(&head[4..]).into(),
        }))
    }

    /// Goes to where the samples begin. `size` is the file's, in bytes.
    fn find_data(mut self, size: u64) -> io::Result<Header> {
        let (mut format, mut long_len) = (None, None);
        let mut at = 12_u64;
        loop {
            self.reader.seek(SeekFrom::Start(at))?;
            let head: [u8; 8] = self.bytes()?;
            let (start, len) = (at + 8, u64::from(le_u32(&head[4..])));
            match &head[..4] {
                b"fmt " => format = Some(self.format(len)?),
                // 64-bit sizes of the file and of the samples (EBU Tech 3306); 0 where they were not known.
                b"ds64" => {
                    let [_riff, data] = [self.bytes()?, self.bytes()?].map(u64::from_le_bytes);
                    long_len = Some(data).filter(|&len| len > 0);
                }
                b"data" => {
                    let (rate, channels, stored) =
                        format.ok_or_else(|| io::Error::other("its samples have no format"))?;
                    let to_end = size.saturating_sub(start);
                    let endless = ENDLESS.contains(&len) || (len == 0 && self.riff + 8 != size);
                    return Ok(Header {
                        rate,
                        channels,
                        stored,
                        start,
                        len: match long_len {
                            Some(long) if len == u64::from(u32::MAX) => long,
                            _ if endless => to_end,
                            _ => len,
                        },
                    });
                }
                _ => {}
            }
            // Chunks begin at even places.
            at = start + len.next_multiple_of(2);
        }
    }

    /// Reads the content of the `fmt ` chunk, of `len` bytes: rate in Hz, channels, and how samples are stored.
    fn format(&mut self, len: u64) -> io::Result<(u32, u16, Option<Stored>)> {
        let head: [u8; 16] = self.bytes()?;
        let mut tag = le_u16(&head);
        let (channels, rate) = (le_u16(&head[2..]), le_u32(&head[4..]));
        let (block, bits) = (le_u16(&head[12..]), le_u16(&head[14..]));
        if tag == EXTENSIBLE && len >= 40 {
            // Its own size, valid bits, the speakers' places, then the sub-format, which begins with a tag.
            let more: [u8; 10] = self.bytes()?;
            tag = le_u16(&more[8..]);
        }
        let whole = block.is_multiple_of(channels.max(1)) && block > 0;
        let bytes = if whole {
            block / channels.max(1)
        } else {
            bits.div_ceil(8)
        };
        Ok((rate, channels, Stored::of(tag, bytes.into())))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn le_u16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Reads the samples of a WAV file in pieces.
pub(super) struct WavReader {
    file: File,
    stored: Stored,
    block: u64,
    bytes: Vec<u8>,
}

impl WavReader {
    /// Starts at the first sample; None if they need a decoder.
    pub(super) fn new(mut file: File, header: &Header) -> io::Result<Option<Self>> {
        let Some(stored) = header.stored else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(header.start))?;
        Ok(Some(Self {
            file,
            stored,
            block: header.block(stored),
            bytes: Vec::new(),
        }))
    }

    /// Appends `frames` samples of every channel, interleaved, -1..1.
    pub(super) fn read(&mut self, frames: u64, out: &mut Vec<f32>) -> io::Result<()> {
        self.bytes.resize((frames * self.block) as usize, 0);
        self.file.read_exact(&mut self.bytes)?;
        self.stored.decode(&self.bytes, out);
        Ok(())
    }
}
