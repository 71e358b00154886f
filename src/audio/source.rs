//! Where audio is read from: a file, or the copy of a stream. Both can be read any number of times at once.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::iter;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::checks::unreadable;
use crate::error::plain_io;

/// An audio file, or a stream whose bytes were copied to a file without a name.
#[derive(Debug, Clone)]
pub struct AudioSource {
    path: PathBuf,
    copy: Option<Arc<File>>,
}

impl AudioSource {
    /// The file at `path`.
    pub fn file(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            copy: None,
        }
    }

    /// A stream that messages call `path`; `copy` holds all of its bytes.
    pub fn stream(path: &Path, copy: File) -> Self {
        Self {
            path: path.to_owned(),
            copy: Some(Arc::new(copy)),
        }
    }

    /// The path as the user gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the audio came through a pipe: whoever wrote it could not go back to fill in sizes.
    pub fn is_stream(&self) -> bool {
        self.copy.is_some()
    }

    /// Opens all of it. Fails if it is empty or not a regular file.
    pub(super) fn open(&self) -> Result<Section> {
        let io = |e| unreadable(&self.path).because(plain_io(&e));
        let file = match &self.copy {
            Some(copy) => Arc::clone(copy),
            None => Arc::new(open_file(&self.path)?),
        };
        let len = file.metadata().map_err(io)?.len();
        if len == 0 {
            return Err(unreadable(&self.path)
                .because("the file is empty (0 bytes)")
                .hint("record or export it again")
                .into());
        }
        Ok(Section {
            file,
            ranges: iter::once(0..len).collect(),
            position: 0,
        })
    }
}

/// Opens a regular file.
fn open_file(path: &Path) -> Result<File> {
    let io = |e| unreadable(path).because(plain_io(&e));
    // Checked before opening: opening a pipe blocks until something writes to it.
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(unreadable(path)
            .because("it is a folder, not an audio file")
            .into());
    }
    if !metadata.is_file() {
        return Err(unreadable(path)
            .because("it is a pipe or a device, and audio is read more than once")
            .hint("write the audio to a file first")
            .into());
    }
    Ok(File::open(path).map_err(io)?)
}

/// Ranges of bytes of a file, read as if they were one file.
#[derive(Debug, Clone)]
pub(super) struct Section {
    file: Arc<File>,
    ranges: Vec<Range<u64>>,
    position: u64,
}

impl Section {
    /// The same file, but only these ranges of it.
    pub(super) fn of(&self, ranges: Vec<Range<u64>>) -> Self {
        Self {
            file: Arc::clone(&self.file),
            ranges,
            position: 0,
        }
    }

    /// Only these of its bytes.
    pub(super) fn part(&self, bytes: Range<u64>) -> Self {
        let mut before = 0;
        let parts = self.ranges.iter().map(|range| {
            let len = range.end - range.start;
            let [from, to] = [bytes.start, bytes.end].map(|at| at.saturating_sub(before).min(len));
            before += len;
            range.start + from..range.start + to
        });
        self.of(parts.collect())
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// Reads up to `len` bytes from `start` on; fewer at the end.
    pub(super) fn bytes_at(&self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut section = self.clone();
        section.position = start;
        let mut bytes = Vec::new();
        section.take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Where the first match of a pattern of up to 16 bytes starts, from `start` on.
    pub(super) fn find(
        &self,
        start: u64,
        is_match: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<u64>> {
        const PIECE: usize = 1 << 16;
        let mut at = start;
        loop {
            let bytes = self.bytes_at(at, PIECE)?;
            if let Some(found) = bytes.windows(16).position(&is_match) {
                return Ok(Some(at + found as u64));
            }
            if bytes.len() < PIECE {
                return Ok(None);
            }
            at += (PIECE - 15) as u64;
        }
    }
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut before = 0;
        for range in &self.ranges {
            let len = range.end - range.start;
            if self.position < before + len {
                let offset = self.position - before;
                let count = (len - offset).min(out.len() as u64) as usize;
                let read = self.file.read_at(&mut out[..count], range.start + offset)?;
                self.position += read as u64;
                return Ok(read);
            }
            before += len;
        }
        Ok(0)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_like_one_file() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789abcdef", 0).unwrap();
        let source = AudioSource::stream(Path::new("-"), file);
        let mut section = source.open().unwrap().of(vec![2..4, 4..4, 10..13]);
        let mut text = String::new();
        section.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), section.len()), ("23abc", 5));
        assert_eq!(section.seek(SeekFrom::End(-2)).unwrap(), 3);
        text.clear();
        section.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bc");
        text.clear();
        section.part(1..4).read_to_string(&mut text).unwrap();
        assert_eq!(text, "3ab");
        assert!(section.seek(SeekFrom::Current(-9)).is_err());
    }
}
