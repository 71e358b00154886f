//! The chunks of a WAV file: where its samples are, whatever its header says about their size.

use std::io;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::checks::unreadable;
use super::source::Section;
use crate::error::plain_io;

/// Sizes of the data chunk that mean "until the end". Programs that cannot go back to the header write them: FFmpeg;
/// SoX and espeak; arecord; speech servers.
const UNKNOWN_SIZES: [u64; 6] = [
    0xFFFF_FFFF,
    0xFFFF_FF00,
    0x8000_0000,
    0x7FFF_FFFF,
    0x7FFF_F000,
    2_000_000_000,
];
/// Bytes by which such a size may be smaller: some subtract the header's size, or round to whole samples.
const UNKNOWN_SIZE_SLACK: u64 = 64;
/// Bytes of the longest `fmt ` chunk for PCM (`WAVEFORMATEXTENSIBLE`).
const MAX_FORMAT_LEN: u64 = 40;

/// What a WAV file consists of.
#[derive(Debug)]
pub(super) struct WavChunks {
    /// The `fmt ` chunk.
    pub(super) format: Vec<u8>,
    /// Where the samples are.
    pub(super) data: Vec<Range<u64>>,
    /// Whether the size of the samples was not known when the header was written.
    pub(super) is_endless: bool,
    /// The size that the header states, if the file ends before.
    pub(super) stated: Option<u64>,
    /// Bytes after the samples that are not chunks.
    pub(super) unused: u64,
    /// Where the next file starts, or where all ends.
    pub(super) end: u64,
    /// Whether its numbers are little-endian and 32 bits long.
    pub(super) is_plain: bool,
}

impl WavChunks {
    /// How many bytes the samples have.
    pub(super) fn len(&self) -> u64 {
        self.data.iter().map(|range| range.end - range.start).sum()
    }

    /// Bytes per second, by the `fmt ` chunk; at least 1.
    pub(super) fn bytes_per_second(&self) -> u64 {
        let bytes = self.format.get(8..12).and_then(|b| b.first_chunk());
        bytes.map_or(1, |b| u64::from(u32::from_le_bytes(*b)).max(1))
    }
}

/// Whether a WAV file starts with these 12 bytes or more.
pub(super) fn is_start(bytes: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"RIFF", b"RIFX", b"RF64", b"BW64"];
    bytes.get(8..12) == Some(b"WAVE") && NAMES.iter().any(|name| bytes.starts_with(name))
}

/// Bytes of a tag of MP3 files (ID3v1, ID3v2, APEv2), which some programs append to anything.
fn tag_len(head: &[u8]) -> Option<u64> {
    let size = |at: usize| head.get(at..)?.first_chunk::<4>().copied();
    if head.starts_with(b"TAG") {
        Some(128)
    } else if head.starts_with(b"ID3") {
        // Seven bits per byte.
        let len = size(6)?
            .into_iter()
            .fold(0, |len, b| len << 7 | u64::from(b & 0x7F));
        Some(10 + len)
    } else if head.starts_with(b"APETAGEX") {
        Some(32 + u64::from(u32::from_le_bytes(size(12)?)))
    } else {
        None
    }
}

/// The chunks of the WAV file that starts at `start`.
pub(super) fn read(section: &Section, start: u64, path: &Path) -> Result<WavChunks> {
    let io = |e: io::Error| unreadable(path).because(plain_io(&e));
    let mut reader = ChunkReader::new(section, start).map_err(io)?;
    while reader.next().map_err(io)? {}
    if reader.chunks.data.is_empty() {
        return Err(unreadable(path)
            .because(format!(
                "its header is truncated after {} bytes",
                section.len() - start
            ))
            .hint("export or copy it again")
            .into());
    }
    Ok(reader.chunks)
}

struct ChunkReader<'a> {
    section: &'a Section,
    /// Where the next chunk starts.
    at: u64,
    /// Where the file ends, if the header is right.
    promised_end: u64,
    /// Whether numbers are big-endian.
    is_big: bool,
    /// 64-bit size of the samples (EBU Tech 3306).
    long_len: Option<u64>,
    chunks: WavChunks,
}

impl<'a> ChunkReader<'a> {
    fn new(section: &'a Section, start: u64) -> io::Result<Self> {
        let head = section.bytes_at(start, 12)?;
        let is_big = head.starts_with(b"RIFX");
        let mut reader = Self {
            section,
            at: start + 12,
            promised_end: 0,
            is_big,
            long_len: None,
            chunks: WavChunks {
                format: Vec::new(),
                data: Vec::new(),
                is_endless: false,
                stated: None,
                unused: 0,
                end: section.len(),
                is_plain: head.starts_with(b"RIFF"),
            },
        };
        reader.promised_end = start + 8 + reader.number(&head[4..]);
        Ok(reader)
    }

    /// The first four bytes as a number.
    fn number(&self, bytes: &[u8]) -> u64 {
        let bytes = *bytes.first_chunk().unwrap_or(&[0; 4]);
        u64::from(if self.is_big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// Reads a chunk; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let head = self.section.bytes_at(self.at, 16)?;
        if head.len() < 8 {
            return Ok(false);
        }
        if !self.chunks.data.is_empty() && is_start(&head) {
            self.chunks.end = self.at;
            return Ok(false);
        }
        let (kind, len) = (&head[..4], self.number(&head[4..]));
        let body = self.at + 8;
        let left = self.section.len() - body;
        if kind == b"data" {
            return self.samples(body, len);
        }
        let is_name = kind.iter().all(|b| (0x20..0x7F).contains(b));
        if !is_name || len > left {
            return self.no_chunk(&head);
        }
        match kind {
            b"fmt " => {
                let len = len.min(MAX_FORMAT_LEN) as usize;
                self.chunks.format = self.section.bytes_at(body, len)?;
            }
            b"ds64" => {
                let sizes = self.section.bytes_at(body + 8, 8)?;
                self.long_len = sizes.first_chunk().map(|b| u64::from_le_bytes(*b));
            }
            _ => {}
        }
        self.skip(body + len)?;
        Ok(true)
    }

    /// Goes on after a chunk that ends at `end`. Chunks start at even offsets, but not every program fills up.
    fn skip(&mut self, end: u64) -> io::Result<()> {
        let is_odd = (end - self.at) % 2 == 1;
        let is_filled = is_odd && !is_start(&self.section.bytes_at(end, 12)?);
        self.at = (end + u64::from(is_filled)).min(self.section.len());
        Ok(())
    }

    /// A data chunk whose samples start at `body`.
    fn samples(&mut self, body: u64, len: u64) -> io::Result<bool> {
        let left = self.section.len() - body;
        let len = match self.long_len {
            Some(long) if len == 0xFFFF_FFFF => long,
            _ => len,
        };
        let follows = |at| -> io::Result<bool> { Ok(is_start(&self.section.bytes_at(at, 12)?)) };
        let is_unknown =
            |size: &u64| (size.saturating_sub(UNKNOWN_SIZE_SLACK)..=*size).contains(&len);
        let is_empty = len == 0 && (self.promised_end == self.section.len() || follows(body)?);
        let is_endless =
            len == 0 && !is_empty || len > left && UNKNOWN_SIZES.iter().any(is_unknown);
        if is_endless || len > left {
            let end = self.next_file(body)?;
            self.chunks.data.push(body..end);
            self.chunks.is_endless = true;
            self.chunks.stated = (!is_endless).then_some(len);
            self.chunks.end = end;
            return Ok(false);
        }
        self.chunks.data.push(body..body + len);
        self.skip(body + len)?;
        Ok(true)
    }

    /// What is neither a chunk nor a file that follows.
    fn no_chunk(&mut self, head: &[u8]) -> io::Result<bool> {
        if self.chunks.data.is_empty() {
            return Ok(false);
        }
        let end = self.next_file(self.at)?;
        let start = self.at + tag_len(head).unwrap_or(0);
        let rest = self.section.part(start.min(end)..end);
        // Any stretch of 16 bytes that is not all zeros.
        let is_used = rest.find(0, |bytes| bytes.iter().any(|b| *b != 0))?;
        if is_used.is_some() {
            self.chunks.unused = rest.len();
        }
        self.chunks.end = end;
        Ok(false)
    }

    /// Where the next WAV file starts, or the end.
    fn next_file(&self, from: u64) -> io::Result<u64> {
        let found = self
            .section
            .find(from, |bytes| is_start(bytes) && bytes.ends_with(b"fmt "))?;
        Ok(found.unwrap_or(self.section.len()))
    }
}
