//! An output while it is written: under a hidden name next to its target, renamed last.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cleanup::{remove, remove_stale};
use super::hidden_name::{hidden_name, kept_name};
use super::moves::{
    Moves, Replaced, System, place_new, place_new_folder, replace_file, replace_folder,
};
use super::place::{Place, folder_of};
use super::stream::{Unsent, send};
use super::target::Target;
use crate::cancel::Cancel;
use crate::error::{Fault, plain_io};

/// How many names are tried: each is random, and a cleanup takes only names without a lock.
const ATTEMPTS: usize = 20;

impl Target {
    /// Removes what killed runs left, and creates a hidden file or folder next to the target.
    pub fn begin(self) -> Result<StagedOutput> {
        self.check()?;
        match self.place()? {
            Place::File(place) => {
                remove_stale(&place);
                StagedOutput::create(self, place)
            }
            Place::Stream(_) | Place::Unfit(_) => {
                Err(self.cannot_write(&io::ErrorKind::Unsupported.into()).into())
            }
        }
    }

    /// Writes an output that consists of `bytes`. A pipe without a reader is waited for, but not once the run is cancelled.
    pub(crate) fn save(self, bytes: &[u8], cancel: &Cancel) -> Result<()> {
        self.check()?;
        if let Place::Stream(stream) = self.place()? {
            return send(bytes, &stream, cancel).map_err(|unsent| match unsent {
                Unsent::Failed(e) => self.cannot_write(&e).into(),
                Unsent::Interrupted => Fault::interrupted().into(),
            });
        }
        let staged = self.begin()?;
        fs::write(staged.path(), bytes).map_err(|e| staged.cannot_write(&e))?;
        staged.commit()
    }
}

/// An output that is being written. Dropped without [`StagedOutput::commit`], it vanishes.
#[derive(Debug)]
pub struct StagedOutput {
    target: Target,
    /// Where it is written.
    path: PathBuf,
    /// Where it will be: the target's path, with links followed.
    place: PathBuf,
    /// The file or folder, opened. Its lock is held while this process lives: another run takes an unlocked one for
    /// abandoned.
    file: File,
    /// The files in the folder that it replaces.
    replaced: HashSet<OsString>,
    /// Whether it is complete, and no longer removed.
    finished: bool,
}

impl StagedOutput {
    fn create(target: Target, place: PathBuf) -> Result<Self> {
        let folder = folder_of(&place);
        let (path, file) = create_locked(|| folder.join(hidden_name(&place)), &target)
            .map_err(|e| target.cannot_write(&e))?;
        let mut replaced = HashSet::new();
        if target.kind.is_folder() {
            let old = fs::read_dir(&place).into_iter().flatten().flatten();
            replaced.extend(old.map(|entry| entry.file_name()));
        }
        Ok(Self {
            target,
            path,
            place,
            file,
            replaced,
            finished: false,
        })
    }

    /// Where to write: an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path under which the output will appear.
    pub fn place(&self) -> &Path {
        &self.target.path
    }

    /// A second, empty copy of the same output, for a step that rewrites this one.
    #[cfg(feature = "credentials")]
    pub(crate) fn second_copy(&self) -> Result<Self> {
        Self::create(self.target.clone(), self.place.clone())
    }

    /// Moves the output to its final name. If that fails, it stays under another name, which the error tells.
    pub fn commit(self) -> Result<()> {
        self.commit_with(&System)
    }

    pub(super) fn commit_with(mut self, moves: &impl Moves) -> Result<()> {
        match self.file.sync_all() {
            Err(e) if !is_unsupported(&e) => return Err(self.cannot_write(&e).into()),
            _ => (),
        }
        self.finished = true;
        Ok(self
            .publish(moves)
            .map_err(|e| self.not_placed(&e, moves))?)
    }

    fn publish(&self, moves: &impl Moves) -> io::Result<()> {
        let (from, to) = (&self.path, &self.place);
        match (self.target.kind.is_folder(), self.target.force) {
            (false, false) => place_new(moves, from, to),
            (false, true) => replace_file(moves, from, to),
            (true, true) if to.exists() => {
                let kind = self.target.kind;
                let replaced = Replaced {
                    names: &self.replaced,
                    may_hold: &|path| kind.may_hold(path),
                };
                replace_folder(moves, from, to, &replaced)
            }
            (true, _) => place_new_folder(moves, from, to),
        }
    }

    /// The error if the finished output could not be moved, which says where it is now.
    fn not_placed(&self, error: &io::Error, moves: &impl Moves) -> Fault {
        if let Some(removed) = self.removed() {
            return removed;
        }
        let kept = self.place.with_file_name(kept_name(&self.place));
        let renamed = moves.rename(&self.path, &kept);
        let kept = if renamed.is_ok() { &kept } else { &self.path };
        // As the user named the folder.
        let kept = self
            .target
            .folder()
            .join(kept.file_name().unwrap_or_default());
        let kept = kept.strip_prefix(".").unwrap_or(&kept).display();
        let is_taken = matches!(
            error.kind(),
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
        );
        let (fault, why) = if is_taken {
            (self.target.taken(), "it appeared during the work".into())
        } else {
            (self.target.cannot_write(error), plain_io(error))
        };
        let fault = fault.because(format!("{why}; the finished output is kept as `{kept}`"));
        if renamed.is_err() {
            fault.hint("move it elsewhere: the next run with the same output removes it")
        } else if is_taken {
            fault.hint("give it another name, or pass --force next time")
        } else {
            let place = self.target.path.display();
            fault.hint(format!("once that is fixed: mv '{kept}' '{place}'"))
        }
    }

    /// The error for a failed write.
    pub(crate) fn cannot_write(&self, error: &io::Error) -> Fault {
        self.removed()
            .unwrap_or_else(|| self.target.cannot_write(error))
    }

    /// The error to report if another program has removed the hidden file or folder; none if it still exists.
    pub(crate) fn removed(&self) -> Option<Fault> {
        (!self.path.exists()).then(|| {
            Fault::failed(format!("cannot write {}", self.target)).because(format!(
                "its temporary file `{}` was removed by another program",
                self.path.display()
            ))
        })
    }
}

impl Drop for StagedOutput {
    fn drop(&mut self) {
        if !self.finished {
            remove(&self.path);
        }
    }
}

/// Creates a file or folder under one of `names` that another run cannot take for abandoned: locked, and still there.
fn create_locked(names: impl Fn() -> PathBuf, target: &Target) -> io::Result<(PathBuf, File)> {
    for _ in 0..ATTEMPTS {
        let path = names();
        let created = if target.kind.is_folder() {
            fs::create_dir(&path).and_then(|()| File::open(&path))
        } else {
            OpenOptions::new().write(true).create_new(true).open(&path)
        };
        let file = match created {
            Ok(file) => file,
            // Taken, or already removed by the cleanup of another run.
            Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists) => continue,
            Err(e)
                if target.kind.is_folder()
                    && e.kind() == io::ErrorKind::NotFound
                    && folder_of(&path).exists() =>
            {
                continue;
            }
            Err(e) => return Err(e),
        };
        // Without locks (some network file systems), no run cleans up after another.
        let is_locked = !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
        let is_there = || Ok::<_, io::Error>(file.metadata()?.ino() == path.metadata()?.ino());
        if is_locked && is_there().unwrap_or(false) {
            return Ok((path, file));
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether a file system does not know how to write a file through to the disk.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}
