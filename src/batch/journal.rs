//! The journal in the output folder: one line per finished clip, on disk before the clip is published.
//!
//! A clip counts as finished if it has a line and its outputs are as the line describes them. So a run that was killed at any
//! moment can be resumed, and a file without a line belongs to somebody else.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::contents::ClipDigest;
use super::path_json;
use super::shard::Shard;
use crate::error::{Fault, plain_io};
use crate::files::{self, SizeLimit};
use crate::output::StagedOutput;
use crate::output::fingerprint::{Fingerprint, files_of};

/// The prefix of all files that `batch` keeps in an output folder.
pub(super) const PREFIX: &str = ".lipsync-batch.";
const EXTENSION: &str = ".jsonl";
/// Three million clips.
const JOURNAL: SizeLimit = SizeLimit {
    kind: "a journal",
    bytes: 1 << 30,
};

/// A line of the journal: a complete clip.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    key: ClipDigest,
    id: String,
    outputs: Vec<RecordedOutput>,
}

/// A file, or a folder of frames, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedOutput {
    /// Relative to the output folder.
    #[serde(with = "path_json")]
    path: PathBuf,
    #[serde(flatten)]
    state: OutputState,
    digest: String,
}

/// What is known of an output without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct OutputState {
    bytes: u64,
    /// Nanoseconds since 1970; of a folder's files, the latest.
    modified: u64,
}

/// The journal of a run, and what earlier journals say.
pub(crate) struct Journal {
    folder: PathBuf,
    file: Mutex<File>,
    known: FinishedClips,
}

/// The finished clips, as the journals in the output folder list them.
#[derive(Debug, Default)]
pub(crate) struct FinishedClips {
    folder: PathBuf,
    by_key: HashMap<ClipDigest, Record>,
    by_output: HashMap<PathBuf, Vec<RecordedOutput>>,
}

impl FinishedClips {
    /// Reads the journals in `folder`, which may not exist yet.
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
                name.starts_with(PREFIX) && name.ends_with(EXTENSION)
            })
            .map(|entry| entry.path())
            .collect();
        journals.sort();
        for journal in journals {
            let text = files::read(&journal, JOURNAL, || cannot_read(&journal))?;
            // An incomplete line was cut off when its run was killed; its clip was not published yet.
            let lines = text.split(|byte| *byte == b'\n');
            let records = lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok());
            records.for_each(|record| known.add(record));
        }
        Ok(known)
    }

    fn add(&mut self, record: Record) {
        for output in &record.outputs {
            let versions = self.by_output.entry(output.path.clone()).or_default();
            versions.push(output.clone());
        }
        self.by_key.insert(record.key.clone(), record);
    }

    /// Whether the clip with this digest is there, unchanged.
    pub(crate) fn is_finished(&self, key: &ClipDigest) -> bool {
        let record = self.by_key.get(key);
        record.is_some_and(|record| {
            let mut outputs = record.outputs.iter();
            outputs.all(|output| self.is_unchanged(output))
        })
    }

    fn is_unchanged(&self, output: &RecordedOutput) -> bool {
        let path = self.folder.join(&output.path);
        let Ok(state) = OutputState::of(&path) else {
            return false;
        };
        // A copy of the folder may have new times.
        state == output.state
            || state.bytes == output.state.bytes
                && Fingerprint::of_output(&path)
                    .is_ok_and(|digest| digest.to_string() == output.digest)
    }

    /// Whether the output at `path` (relative to the output folder) is byte-identical to one that a run wrote there.
    pub(crate) fn is_ours(&self, path: &Path) -> bool {
        let Some(versions) = self.by_output.get(path) else {
            return false;
        };
        let digest = Fingerprint::of_output(&self.folder.join(path));
        digest.is_ok_and(|digest| {
            let digest = digest.to_string();
            versions.iter().any(|version| version.digest == digest)
        })
    }
}

impl Journal {
    /// Opens the journal of `shard`, or of whole runs, in `folder` to append to it.
    pub(crate) fn open(folder: &Path, shard: Option<Shard>, known: FinishedClips) -> Result<Self> {
        let path = match shard {
            None => folder.join(format!("{PREFIX}jsonl")),
            Some(shard) => folder.join(format!("{PREFIX}{shard}{EXTENSION}")),
        };
        let open = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(&path)?;
            remove_incomplete_line(&mut file)?;
            Ok(file)
        };
        let file = open().map_err(|e| unwritable(&path, &e))?;
        Ok(Self {
            folder: folder.to_owned(),
            file: Mutex::new(file),
            known,
        })
    }

    /// The clips that were finished when it was opened.
    pub(crate) fn known(&self) -> &FinishedClips {
        &self.known
    }

    /// Records that the clip with digest `key` is complete in the staged outputs `parts`, which are published next.
    pub(crate) fn complete(
        &self,
        key: &ClipDigest,
        id: &str,
        parts: &[StagedOutput],
    ) -> Result<()> {
        let outputs = parts.iter().map(|part| {
            let place = part.place();
            Ok(RecordedOutput {
                path: place.strip_prefix(&self.folder).unwrap_or(place).to_owned(),
                state: OutputState::of(part.path()).map_err(|e| unreadable(part.path(), &e))?,
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

impl OutputState {
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

/// An incomplete line of a killed run must not become the beginning of the next line.
fn remove_incomplete_line(file: &mut File) -> std::io::Result<()> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let complete = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if complete < text.len() {
        file.set_len(complete as u64)?;
    }
    Ok(())
}

fn cannot_read(path: &Path) -> Fault {
    Fault::failed(format!("cannot read `{}`", path.display()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    cannot_read(path).because(plain_io(error))
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
        Journal::open(folder, shard, FinishedClips::read(folder).unwrap()).unwrap()
    }

    #[test]
    fn a_clip_is_finished_once_it_is_published_and_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let key = "k1".to_owned();
        let clip = part(folder, "a.mp4", b"clip");
        let running = journal(folder, None);
        running
            .complete(&key, "a", std::slice::from_ref(&clip))
            .unwrap();
        let known = || FinishedClips::read(folder).unwrap();
        assert!(!known().is_finished(&key), "it is not published");
        clip.commit().unwrap();
        assert!(known().is_finished(&key));
        assert!(!known().is_finished(&"k2".to_owned()));
        // The same bytes at another time.
        fs::write(folder.join("a.mp4"), b"clip").unwrap();
        assert!(known().is_finished(&key) && known().is_ours(Path::new("a.mp4")));
        // The same size, but other bytes.
        fs::write(folder.join("a.mp4"), b"Clip").unwrap();
        assert!(!known().is_finished(&key) && !known().is_ours(Path::new("a.mp4")));
        fs::write(folder.join("b.mp4"), b"clip").unwrap();
        assert!(!known().is_ours(Path::new("b.mp4")));
    }

    #[test]
    fn an_incomplete_line_is_ignored() {
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
        for cut in 1..whole.len() {
            fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            let known = FinishedClips::read(folder).unwrap();
            assert!(known.is_finished(&"a".to_owned()) && known.is_finished(&"b".to_owned()));
        }
        finish(None, "c");
        let known = FinishedClips::read(folder).unwrap();
        let finished = |name: &str| known.is_finished(&name.to_owned());
        assert!(["a", "b", "c"].into_iter().all(finished));
        assert!(folder.join(".lipsync-batch.1-of-3.jsonl").exists());
    }
}
