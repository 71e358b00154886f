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

    fn commit_with(mut self, moves: &impl Moves) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::ErrorReport;
    use crate::output::OutputKind;

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

    /// A file system that can move nothing.
    struct Sealed;

    impl Moves for Sealed {
        fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }

        fn exchange(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.rename_new(from, to)
        }

        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.rename_new(from, to)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.rename_new(from, to)
        }
    }

    /// A staged clip.
    fn clip(path: &Path, force: bool) -> StagedOutput {
        let staged = target(path.to_owned(), OutputKind::File, force)
            .begin()
            .unwrap();
        fs::write(staged.path(), b"clip").unwrap();
        staged
    }

    #[test]
    fn an_output_that_appears_meanwhile_is_not_overwritten_and_the_new_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let staged = clip(&path, false);
        fs::write(&path, b"another clip").unwrap();
        let report = ErrorReport::of(&staged.commit().unwrap_err());
        assert_eq!(fs::read(&path).unwrap(), b"another clip");
        let names = names(dir.path());
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            report.causes[0].ends_with(&format!("/{}`", names[0])),
            "{report:?}"
        );
        assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), b"clip");
        // It is nobody's leftover.
        drop(clip(&path, true));
        assert!(dir.path().join(&names[0]).exists());
    }

    #[test]
    fn an_output_that_cannot_be_moved_stays_where_it_is() {
        for force in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.mp4");
            let staged = clip(&path, force);
            let report = ErrorReport::of(&staged.commit_with(&Sealed).unwrap_err());
            let names = names(dir.path());
            assert!(
                report.causes[0].starts_with("permission denied; "),
                "{report:?}"
            );
            assert!(
                report.causes[0].contains(&format!("/{}`", names[0])),
                "{report:?}"
            );
            assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), b"clip");
        }
    }

    #[test]
    fn a_link_is_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("disk")).unwrap();
        symlink("disk/a.mp4", at("a.mp4")).unwrap();
        // Something is there, even if it leads nowhere.
        assert!(
            target(at("a.mp4"), OutputKind::File, false)
                .begin()
                .is_err()
        );
        clip(&at("a.mp4"), true).commit().unwrap();
        assert!(at("a.mp4").is_symlink());
        assert_eq!(
            (names(dir.path()).len(), names(&at("disk"))),
            (2, vec!["a.mp4".into()])
        );
        fs::create_dir(at("disk/frames")).unwrap();
        symlink("disk/frames", at("frames")).unwrap();
        for force in [false, true] {
            let frames = target(at("frames"), OutputKind::Frames, force)
                .begin()
                .unwrap();
            fs::write(frames.path().join("0.png"), b"frame").unwrap();
            frames.commit().unwrap();
            assert!(at("frames").is_symlink());
            assert_eq!(names(&at("disk/frames")), ["0.png"]);
        }
        assert_eq!(names(&at("disk")), ["a.mp4", "frames"]);
    }

    #[test]
    fn clips_do_not_go_to_pipes_and_devices() {
        let null = PathBuf::from("/dev/null");
        let error = target(null.clone(), OutputKind::File, true)
            .begin()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write `/dev/null`: it is a device"
        );
        assert!(
            target(null.clone(), OutputKind::Frames, true)
                .check()
                .is_err()
        );
        let report = target(null, OutputKind::Streamable, false);
        report.check().unwrap();
        report.save(b"report", &Cancel::default()).unwrap();
        let dash = target("-".into(), OutputKind::Frames, false);
        assert!(dash.check().is_err());
    }

    #[test]
    fn abandoned_outputs_are_removed_and_living_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        for name in [
            ".a.mp4.99999999.part",
            ".a.mp4.99999999-2.part",
            ".a.mp4.lipsync-0123456789ab.part",
            ".a.mp4.mine.part",
        ] {
            fs::write(dir.path().join(name), b"left").unwrap();
        }
        // Old frames, and what somebody put among them.
        let frames = dir.path().join(".a.mp4.lipsync-ba9876543210.part");
        fs::create_dir(&frames).unwrap();
        fs::write(frames.join("0.png"), b"left").unwrap();
        fs::write(frames.join("notes.txt"), b"not ours").unwrap();
        let living = dir.path().join(".a.mp4.99999998.part");
        fs::write(&living, b"in use").unwrap();
        let other = File::open(&living).unwrap();
        other.try_lock().unwrap();
        drop(clip(&path, false));
        let mut names = names(dir.path());
        let kept = names.pop().unwrap();
        assert!(kept.starts_with("a.kept-"), "{kept}");
        assert_eq!(super::tests::names(&dir.path().join(kept)), ["notes.txt"]);
        assert_eq!(names, [".a.mp4.99999998.part", ".a.mp4.mine.part"]);
    }

    #[test]
    fn runs_that_start_together_do_not_take_each_other_for_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        std::thread::scope(|scope| {
            for kind in [OutputKind::File, OutputKind::Frames].repeat(4) {
                let path = path.with_extension(if kind == OutputKind::File {
                    "mp4"
                } else {
                    "png"
                });
                scope.spawn(move || {
                    for _ in 0..200 {
                        let staged = target(path.clone(), kind, true).begin().unwrap();
                        assert!(staged.removed().is_none());
                    }
                });
            }
        });
        assert!(names(dir.path()).is_empty());
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
        // What others put there during the work stays.
        let staged = target(frames.clone(), OutputKind::Frames, true)
            .begin()
            .unwrap();
        fs::write(staged.path().join("000002.png"), b"new").unwrap();
        fs::write(frames.join("notes.txt"), b"mine").unwrap();
        staged.commit().unwrap();
        assert_eq!(names(&frames), ["000002.png", "notes.txt"]);
        assert!(
            target(frames.clone(), OutputKind::Frames, true)
                .begin()
                .is_err()
        );
        assert_eq!(names(&frames), ["000002.png", "notes.txt"]);
    }
}
