//! A file -> the files that were joined into it end to end, each of which is read on its own.
//!
//! Speech servers and recorders join WAV files, and Ogg files may be chained (RFC 3533, 4). Whoever reads such a file
//! as one gets the first link only, or the wrong sample rate for the others. MP3, ADTS and other formats without a
//! container are read to their end by FFmpeg.

use std::io;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::checks::unreadable;
use super::source::Section;
use super::wav_chunks::{self, WavChunks};
use crate::error::plain_io;

/// Most links of a file.
const MAX_LINKS: usize = 10_000;
/// Parts of a file (boxes, chunks) that are looked at.
const MAX_PARTS: usize = 1_000_000;
/// Start of a page (RFC 3533, 6).
const OGG_PAGE: &[u8] = b"OggS";
/// Bytes of a page's header before its table of segments.
const OGG_HEADER: usize = 27;
/// Flag of the first page of a stream.
const OGG_FIRST_PAGE: u8 = 2;
/// The marker of a FLAC stream, and the header of its first block, which is 34 bytes long (RFC 9639, 8).
const FLAC_START: &[u8] = b"fLaC\0\0\0\x22";

/// The GUID of a Wave64 file.
const WAVE64: &[u8] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\0\0";

/// One of the files.
#[derive(Debug)]
pub(super) struct Link {
    /// Its bytes.
    pub(super) range: Range<u64>,
    /// Its chunks, if it is a WAV file.
    pub(super) wav: Option<WavChunks>,
    /// Bytes after it that are of no known kind.
    pub(super) unused: u64,
}

/// The links of the file at `path`, in order. At least one.
pub(super) fn find(section: &Section, path: &Path) -> Result<Vec<Link>> {
    let io = |e: io::Error| unreadable(path).because(plain_io(&e));
    let head = section.bytes_at(0, 16).map_err(io)?;
    let mut end = section.len();
    let starts = if wav_chunks::is_start(&head) {
        return find_wavs(section, path);
    } else if head.starts_with(OGG_PAGE) {
        let (starts, pages_end) = ogg_starts(section).map_err(io)?;
        end = pages_end;
        starts
    } else if head.starts_with(FLAC_START) {
        flac_starts(section).map_err(io)?
    } else {
        sized_starts(section).map_err(io)?
    };
    check_count(path, starts.len())?;
    let ends = starts[1..].iter().copied().chain([end]);
    let links = starts.iter().zip(ends).map(|(&start, end)| Link {
        range: start..end,
        wav: None,
        unused: 0,
    });
    let mut links: Vec<Link> = links.collect();
    if let Some(last) = links.last_mut() {
        last.unused = section.len() - end;
    }
    Ok(links)
}

fn check_count(path: &Path, count: usize) -> Result<()> {
    if count <= MAX_LINKS {
        return Ok(());
    }
    Err(unreadable(path)
        .because(format!("more than {MAX_LINKS} files were joined into it"))
        .hint("join fewer files")
        .into())
}

fn find_wavs(section: &Section, path: &Path) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let mut start = 0;
    while start < section.len() {
        let chunks = wav_chunks::read(section, start, path)?;
        let range = start..chunks.end;
        start = chunks.end;
        links.push(Link {
            range,
            unused: chunks.unused,
            wav: Some(chunks),
        });
        check_count(path, links.len())?;
    }
    Ok(links)
}

/// Where the links of an Ogg file start, at a stream's first page that comes after other pages; and where its last page
/// ends.
fn ogg_starts(section: &Section) -> io::Result<(Vec<u64>, u64)> {
    let mut starts = vec![0];
    let (mut at, mut in_streams) = (0, false);
    loop {
        let page = section.bytes_at(at, OGG_HEADER + 255)?;
        if !page.starts_with(OGG_PAGE) {
            // Damage or something else in between: the decoder reports it, or does not mind.
            match section.find(at, |bytes| bytes.starts_with(OGG_PAGE))? {
                Some(next) => at = next,
                None => return Ok((starts, at)),
            }
            continue;
        }
        let count = page.get(OGG_HEADER - 1).copied().unwrap_or(0);
        let table = page.get(OGG_HEADER..OGG_HEADER + usize::from(count));
        let (Some(&flags), Some(table)) = (page.get(5), table) else {
            return Ok((starts, section.len()));
        };
        let is_first = flags & OGG_FIRST_PAGE != 0;
        if is_first && in_streams && starts.len() <= MAX_LINKS {
            starts.push(at);
        }
        in_streams = !is_first;
        let len: usize = table.iter().map(|&len| usize::from(len)).sum();
        let end = at + (OGG_HEADER + table.len() + len) as u64;
        at = end.min(section.len());
    }
}

/// Where the links of files start whose parts state their sizes: MP4, AIFF, CAF and Wave64.
fn sized_starts(section: &Section) -> io::Result<Vec<u64>> {
    let mut starts = vec![0];
    let mut at = 0;
    for _ in 0..MAX_PARTS {
        let head = section.bytes_at(at, 24)?;
        if at > 0 && sized_start(&head) {
            starts.push(at);
        }
        let parent = section.bytes_at(starts[starts.len() - 1], 24)?;
        let Some(len) = part_len(&parent, &head) else {
            break;
        };
        let Some(next) = at.checked_add(len).filter(|next| *next < section.len()) else {
            break;
        };
        at = next;
    }
    Ok(starts)
}

/// Whether an MP4, AIFF, CAF or Wave64 file starts with these bytes.
fn sized_start(head: &[u8]) -> bool {
    let is_aiff = head.starts_with(b"FORM") && head.get(8..11) == Some(b"AIF");
    is_aiff
        || head.get(4..8) == Some(b"ftyp")
        || head.starts_with(b"caff\0\x01")
        || head.starts_with(WAVE64)
}

/// How long the part of a file is that begins with `head`; `file` is how the file begins. None if that is unknown.
fn part_len(file: &[u8], head: &[u8]) -> Option<u64> {
    let short = |at: usize| {
        let bytes = head.get(at..)?.first_chunk()?;
        Some(u64::from(u32::from_be_bytes(*bytes)))
    };
    let long = |at: usize| head.get(at..)?.first_chunk::<8>().copied();
    if !sized_start(file) {
        None
    } else if file.starts_with(b"FORM") {
        // Parts start at even offsets.
        short(4).map(|len| 8 + len + len % 2)
    } else if file.starts_with(WAVE64) {
        u64::from_le_bytes(long(16)?).checked_next_multiple_of(8)
    } else if file.starts_with(b"caff") {
        if head.starts_with(b"caff") {
            Some(8)
        } else {
            u64::from_be_bytes(long(4)?).checked_add(12)
        }
    } else {
        // 0 is a box that lasts until the end, 1 one with a 64-bit size (ISO/IEC 14496-12, 4.2).
        match short(0)? {
            1 => Some(u64::from_be_bytes(long(8)?)),
            len => Some(len),
        }
    }
    .filter(|len| *len >= 8)
}

fn flac_starts(section: &Section) -> io::Result<Vec<u64>> {
    let mut starts = vec![0];
    while starts.len() <= MAX_LINKS
        && let Some(&last) = starts.last()
        && let Some(next) = section.find(last + 4, |bytes| bytes.starts_with(FLAC_START))?
    {
        starts.push(next);
    }
    Ok(starts)
}
