//! A file -> the files that were joined into it end to end, each of which is read on its own.
//!
//! Speech servers and recorders join WAV files, and Ogg files may be chained (RFC 3533, 4). Whoever reads such a file
//! as one gets the first link only, or the wrong sample rate for the others.

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
/// Start of a page (RFC 3533, 6).
const OGG_PAGE: &[u8] = b"OggS";
/// Bytes of a page's header before its table of segments.
const OGG_HEADER: usize = 27;
/// Flag of the first page of a stream.
const OGG_FIRST_PAGE: u8 = 2;
/// The marker of a FLAC stream, and the header of its first block, which is 34 bytes long (RFC 9639, 8).
const FLAC_START: &[u8] = b"fLaC\0\0\0\x22";

/// One of the files.
#[derive(Debug)]
pub(super) struct Link {
    /// Its bytes.
    pub(super) range: Range<u64>,
    /// Its chunks, if it is a WAV file.
    pub(super) wav: Option<WavChunks>,
}

/// The links of the file at `path`, in order. At least one.
pub(super) fn find(section: &Section, path: &Path) -> Result<Vec<Link>> {
    let io = |e: io::Error| unreadable(path).because(plain_io(&e));
    let head = section.bytes_at(0, 16).map_err(io)?;
    let starts = if wav_chunks::is_start(&head) {
        return find_wavs(section, path);
    } else if head.starts_with(OGG_PAGE) {
        ogg_starts(section).map_err(io)?
    } else if head.starts_with(FLAC_START) {
        flac_starts(section).map_err(io)?
    } else {
        vec![0]
    };
    check_count(path, starts.len())?;
    let ends = starts[1..].iter().copied().chain([section.len()]);
    let links = starts.iter().zip(ends).map(|(&start, end)| Link {
        range: start..end,
        wav: None,
    });
    Ok(links.collect())
}

fn check_count(path: &Path, count: usize) -> Result<()> {
    if count <= MAX_LINKS {
        return Ok(());
    }
    Err(unreadable(path)
        .because(format!(
            "more than {MAX_LINKS} files were joined into it"
        ))
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
            wav: Some(chunks),
        });
        check_count(path, links.len())?;
    }
    Ok(links)
}

/// Where the links of an Ogg file start: at a stream's first page that comes after other pages.
fn ogg_starts(section: &Section) -> io::Result<Vec<u64>> {
    let mut starts = vec![0];
    let (mut at, mut in_streams) = (0, false);
    loop {
        let page = section.bytes_at(at, OGG_HEADER + 255)?;
        let (Some(&flags), Some(&count)) = (page.get(5), page.get(OGG_HEADER - 1)) else {
            return Ok(starts);
        };
        let Some(table) = page.get(OGG_HEADER..OGG_HEADER + usize::from(count)) else {
            return Ok(starts);
        };
        if !page.starts_with(OGG_PAGE) {
            // Damage: the decoder finds its way, or reports it.
            return Ok(starts);
        }
        let is_first = flags & OGG_FIRST_PAGE != 0;
        if is_first && in_streams && starts.len() <= MAX_LINKS {
            starts.push(at);
        }
        in_streams = !is_first;
        let len: usize = table.iter().map(|&len| usize::from(len)).sum();
        at += (OGG_HEADER + table.len() + len) as u64;
    }
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
