//! An output while it is written: under a hidden name next to its target, renamed last.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::cleanup::{remove, remove_stale};
#[cfg(feature = "credentials")]
use super::hidden_name::SECOND_COPY;
use super::hidden_name::hidden_name;
use super::target::{OutputKind, Target};
use crate::error::Fault;

impl Target {
    /// Removes what killed runs left, and creates a hidden file or folder next to the target.
    pub fn begin(self) -> Result<StagedOutput> {
        self.check()?;
        remove_stale(&self);
        StagedOutput::create(self, "")
    }
}

/// An output that is being written. Dropped without [`StagedOutput::commit`], it vanishes.
#[derive(Debug)]
pub struct StagedOutput {
    target: Target,
    path: PathBuf,
    /// The file or folder, opened. Its lock is held while this process lives: another run takes an unlocked one for
    /// abandoned.
    file: File,
    committed: bool,
}

impl StagedOutput {
    /// `suffix` tells apart the copies of one process, see [`hidden_name`].
    fn create(target: Target, suffix: &str) -> Result<Self> {
        let path = fs::canonicalize(target.folder())
            .map_err(|e| target.cannot_write(&e))?
            .join(hidden_name(&target.path, suffix));
        let file = match target.kind {
            OutputKind::File => OpenOptions::new().write(true).create_new(true).open(&path),
            OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => {
                fs::create_dir(&path).and_then(|()| File::open(&path))
            }
            OutputKind::Stdout => Err(io::ErrorKind::Unsupported.into()),
        };
        let file = file.map_err(|e| target.cannot_write(&e))?;
        // Without locks (some network file systems), only the cleanup after killed runs is lost.
        let _ = file.try_lock();
        Ok(Self {
            target,
            path,
            file,
            committed: false,
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
        Self::create(self.target.clone(), SECOND_COPY)
    }

    /// Moves the output to its final name.
    pub fn commit(mut self) -> Result<()> {
        match self.publish() {
            Ok(()) => {
                self.committed = true;
                Ok(())
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(self.target.taken().into())
            }
            Err(e) => Err(self.cannot_write(&e).into()),
        }
    }

    fn publish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        match (self.target.kind, self.target.force) {
            // Unlike a rename, a link fails if a file with that name has appeared meanwhile.
            (OutputKind::File, false) => {
                fs::hard_link(&self.path, &self.target.path)?;
                fs::remove_file(&self.path)
            }
            // A folder is only ever renamed onto an empty one.
            (OutputKind::File | OutputKind::Stdout, true)
            | (
                OutputKind::Frames
                | OutputKind::Pictures
                | OutputKind::Prepared
                | OutputKind::Stdout,
                false,
            ) => fs::rename(&self.path, &self.target.path),
            (OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared, true) => {
                self.replace_folder()
            }
        }
    }

    /// Moves the new folder into the place of the old one, and only then removes the old one.
    fn replace_folder(&self) -> io::Result<()> {
        let target = &self.target.path;
        if !target.exists() {
            return fs::rename(&self.path, target);
        }
        // In one step: a killed run leaves one folder complete under the target's name, the other under the hidden name.
        if renameat_with(CWD, &self.path, CWD, target, RenameFlags::EXCHANGE).is_ok() {
            remove(&self.path);
            return Ok(());
        }
        // Not all file systems can exchange names.
        let mut old = self.path.clone().into_os_string();
        old.push(".old");
        fs::rename(target, &old)?;
        fs::rename(&self.path, target).or_else(|e| fs::rename(&old, target).and(Err(e)))?;
        remove(Path::new(&old));
        Ok(())
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
        if !self.committed {
            remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: PathBuf, kind: OutputKind, force: bool) -> Target {
        Target { path, kind, force }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_dropped_output_leaves_nothing_and_a_committed_one_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a clip.mp4");
        drop(
            target(clip.clone(), OutputKind::File, false)
                .begin()
                .unwrap(),
        );
        assert!(names(dir.path()).is_empty());
        let staged = target(clip.clone(), OutputKind::File, false)
            .begin()
            .unwrap();
        fs::write(staged.path(), b"clip").unwrap();
        staged.commit().unwrap();
        assert_eq!(names(dir.path()), ["a clip.mp4"]);
        assert_eq!(fs::read(clip).unwrap(), b"clip");
    }

    #[test]
    fn an_output_that_appears_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a.mp4");
        let staged = target(clip.clone(), OutputKind::File, false)
            .begin()
            .unwrap();
        fs::write(&clip, b"another clip").unwrap();
        assert!(staged.commit().is_err());
        assert_eq!(fs::read(&clip).unwrap(), b"another clip");
        assert_eq!(names(dir.path()), ["a.mp4"]);
    }

    #[test]
    fn abandoned_outputs_are_removed_and_living_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a.mp4");
        fs::write(dir.path().join(".a.mp4.99999999.part"), b"left").unwrap();
        fs::write(dir.path().join(".a.mp4.99999999-2.part"), b"left").unwrap();
        fs::write(dir.path().join(".a.mp4.mine.part"), b"not ours").unwrap();
        let living = dir.path().join(".a.mp4.99999998.part");
        fs::write(&living, b"in use").unwrap();
        let other = File::open(&living).unwrap();
        other.try_lock().unwrap();
        drop(target(clip, OutputKind::File, false).begin().unwrap());
        assert_eq!(
            names(dir.path()),
            [".a.mp4.99999998.part", ".a.mp4.mine.part"]
        );
    }

    #[test]
    fn force_replaces_a_folder_of_frames_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let frames = dir.path().join("frames");
        fs::create_dir(&frames).unwrap();
        fs::write(frames.join("000000.png"), b"old").unwrap();
        assert!(
            target(frames.clone(), OutputKind::Frames, false)
                .begin()
                .is_err()
        );
        let staged = target(frames.clone(), OutputKind::Frames, true)
            .begin()
            .unwrap();
        fs::write(staged.path().join("000001.png"), b"new").unwrap();
        staged.commit().unwrap();
        assert_eq!(
            (names(dir.path()), names(&frames)),
            (vec!["frames".into()], vec!["000001.png".into()])
        );
        fs::write(frames.join("notes.txt"), b"mine").unwrap();
        assert!(
            target(frames.clone(), OutputKind::Frames, true)
                .begin()
                .is_err()
        );
        assert_eq!(names(&frames), ["000001.png", "notes.txt"]);
    }
}
