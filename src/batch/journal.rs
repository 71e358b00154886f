//! What is finished, in the output folder: a line for each clip, on the disk before the clip is put in its place.
//!
//! A clip counts as finished if its line is there and the file that the line describes is in its place: so a run that was
//! killed at any moment is gone on with, and a file that no line describes is somebody else's.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::contents::ClipDigest;
use super::shard::Shard;
use crate::error::{Fault, plain_io};
use crate::output::StagedOutput;
use crate::output::fingerprint::{Fingerprint, files_of};

/// How all names of the files that batch keeps in an output folder begin.
pub(super) const PREFIX: &str = ".lipsync-batch.";
const ENDING: &str = ".jsonl";

/// A line: a clip that is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    key: ClipDigest,
    id: String,
    outputs: Vec<Written>,
}

/// A file, or a folder of frames, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    /// Relative to the output folder.
    path: PathBuf,
    #[serde(flatten)]
    state: State,
    digest: String,
}

/// What can be seen without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    bytes: u64,
    /// Nanoseconds since 1970; of the last written one of a folder's files.
    modified: u64,
}

/// The journal of a run, and what those of earlier runs say.
pub(crate) struct Journal {
    folder: PathBuf,
    file: Mutex<File>,
    known: Known,
}

/// What journals say of the output folder.
#[derive(Debug, Default)]
pub(crate) struct Known {
    folder: PathBuf,
    by_key: HashMap<ClipDigest, Record>,
    by_output: HashMap<PathBuf, Vec<Written>>,
}

impl Known {
    /// Reads the journals in `folder`; none where there is no such folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut known = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        let mut journals: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                // `.lipsync-batch.jsonl` has one dot for both.
                name.starts_with(PREFIX) && name.ends_with(ENDING)
            })
            .map(|entry| entry.path())
            .collect();
        journals.sort();
        for journal in journals {
            let text = fs::read(&journal).map_err(|e| unreadable(&journal, &e))?;
            // A line that is not whole was cut off with its run; its clip was not yet in its place.
            let lines = text.split(|byte| *byte == b'\n');
            let records = lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok());
            records.for_each(|record| known.add(record));
        }
        Ok(known)
    }

    fn add(&mut self, record: Record) {
        for written in &record.outputs {
            let of_path = self.by_output.entry(written.path.clone()).or_default();
            of_path.push(written.clone());
        }
        self.by_key.insert(record.key.clone(), record);
    }

    /// Whether a clip of this key is in its place, and as it was written.
    pub(crate) fn is_finished(&self, key: &ClipDigest) -> bool {
        let record = self.by_key.get(key);
        record.is_some_and(|record| {
            let mut outputs = record.outputs.iter();
            outputs.all(|written| self.is_there(written))
        })
    }

    fn is_there(&self, written: &Written) -> bool {
        let path = self.folder.join(&written.path);
        let Ok(state) = State::of(&path) else {
            return false;
        };
        // A copy of the folder may have lost its times.
        state == written.state
            || state.bytes == written.state.bytes
                && Fingerprint::of_output(&path)
                    .is_ok_and(|digest| digest.to_string() == written.digest)
    }

    /// Whether what lies at `path` (relative to the output folder) is what a run put there, to the byte.
    pub(crate) fn is_ours(&self, path: &Path) -> bool {
        let Some(written) = self.by_output.get(path) else {
            return false;
        };
        let digest = Fingerprint::of_output(&self.folder.join(path));
        digest.is_ok_and(|digest| {
            let digest = digest.to_string();
            written.iter().any(|written| written.digest == digest)
        })
    }
}

impl Journal {
    /// Goes on with the journal of `shard`, or of whole runs, in `folder`.
    pub(crate) fn open(folder: &Path, shard: Option<Shard>, known: Known) -> Result<Self> {
        let path = match shard {
            None => folder.join(format!("{PREFIX}jsonl")),
            Some(shard) => folder.join(format!("{PREFIX}{shard}{ENDING}")),
        };
        let open = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(&path)?;
            cut_off_torn_line(&mut file)?;
            Ok(file)
        };
        let file = open().map_err(|e| unwritable(&path, &e))?;
        Ok(Self {
            folder: folder.to_owned(),
            file: Mutex::new(file),
            known,
        })
    }

    /// What was known when it was opened.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// Writes down that the clip of `key` is complete in `parts`, which are to be put in their places next.
    pub(crate) fn complete(
        &self,
        key: &ClipDigest,
        id: &str,
        parts: &[StagedOutput],
    ) -> Result<()> {
        let outputs = parts.iter().map(|part| {
            let place = part.place();
            Ok(Written {
                path: place.strip_prefix(&self.folder).unwrap_or(place).to_owned(),
                state: State::of(part.path()).map_err(|e| unreadable(part.path(), &e))?,
                digest: Fingerprint::of_output(part.path())?.to_string(),
            })
        });
        let record = Record {
            key: key.clone(),
            id: id.to_owned(),
            outputs: outputs.collect::<Result<_>>()?,
        };
        let line = serde_json::to_string(&record)? + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_data());
        Ok(written.map_err(|e| unwritable(&self.folder.join(PREFIX), &e))?)
    }
}

impl State {
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut state = Self {
            bytes: 0,
            modified: 0,
        };
        let files = files_of(path)?;
        for file in files {
            let about = fs::metadata(file)?;
            let modified = about.modified()?.duration_since(UNIX_EPOCH);
            let modified = modified.map_or(0, |since| since.as_nanos() as u64);
            state.bytes += about.len();
            state.modified = state.modified.max(modified);
        }
        Ok(state)
    }
}

/// A line that a killed run has not finished says nothing, and must not become the beginning of the next one.
fn cut_off_torn_line(file: &mut File) -> std::io::Result<()> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64)?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    let target = crate::output::Target {
        path: path.to_owned(),
        kind: crate::output::OutputKind::File,
        force: true,
    };
    target.cannot_write(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{OutputKind, Target};

    fn part(folder: &Path, name: &str, content: &[u8]) -> StagedOutput {
        let target = Target {
            path: folder.join(name),
            kind: OutputKind::File,
            force: true,
        };
        let part = target.begin().unwrap();
        fs::write(part.path(), content).unwrap();
        part
    }

    fn journal(folder: &Path, shard: Option<Shard>) -> Journal {
        Journal::open(folder, shard, Known::read(folder).unwrap()).unwrap()
    }

    #[test]
    fn a_clip_is_finished_once_it_is_in_its_place_and_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let key = "k1".to_owned();
        let clip = part(folder, "a.mp4", b"film");
        let at_work = journal(folder, None);
        at_work
            .complete(&key, "a", std::slice::from_ref(&clip))
            .unwrap();
        let known = || Known::read(folder).unwrap();
        assert!(!known().is_finished(&key), "it is not in its place");
        clip.commit().unwrap();
        assert!(known().is_finished(&key));
        assert!(!known().is_finished(&"k2".to_owned()));
        // The same bytes at another time.
        fs::write(folder.join("a.mp4"), b"film").unwrap();
        assert!(known().is_finished(&key) && known().is_ours(Path::new("a.mp4")));
        // As large, but not the same.
        fs::write(folder.join("a.mp4"), b"Film").unwrap();
        assert!(!known().is_finished(&key) && !known().is_ours(Path::new("a.mp4")));
        fs::write(folder.join("b.mp4"), b"film").unwrap();
        assert!(!known().is_ours(Path::new("b.mp4")));
    }

    #[test]
    fn a_torn_line_says_nothing_and_harms_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let finish = |shard, name: &str| {
            let clip = part(folder, name, name.as_bytes());
            let parts = std::slice::from_ref(&clip);
            journal(folder, shard)
                .complete(&name.to_owned(), name, parts)
                .unwrap();
            clip.commit().unwrap();
        };
        let shard = "1/3".parse().ok();
        finish(None, "a");
        finish(shard, "b");
        let path = folder.join(".lipsync-batch.jsonl");
        let whole = fs::read(&path).unwrap();
        for torn in 1..whole.len() {
            fs::write(&path, [&whole[..], &whole[..torn]].concat()).unwrap();
            let known = Known::read(folder).unwrap();
            assert!(known.is_finished(&"a".to_owned()) && known.is_finished(&"b".to_owned()));
        }
        finish(None, "c");
        let known = Known::read(folder).unwrap();
        let finished = |name: &str| known.is_finished(&name.to_owned());
        assert!(["a", "b", "c"].into_iter().all(finished));
        assert!(folder.join(".lipsync-batch.1-of-3.jsonl").exists());
    }
}
