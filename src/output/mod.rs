//! An output appears whole or not at all: it is written under a hidden name beside its place and renamed last.

pub(crate) mod fingerprint;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{Access, CWD, RenameFlags, renameat_with};
use walkdir::WalkDir;

use crate::error::{Fault, plain_io};

/// Bytes of a name to which 20 can be added: most file systems take 255.
const LONGEST_NAME: usize = 230;
/// Sets apart the name of a process's second part of one output.
const SECOND: &str = "-2";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// One file.
    File,
    /// A folder of numbered PNGs.
    Frames,
    /// A folder of numbered PNGs and `plot.png`: the pictures of a comparison.
    Pictures,
    /// A stream to the standard output, whatever the path.
    Stdout,
}

impl OutputKind {
    /// Whether it is a folder.
    fn is_folder(self) -> bool {
        matches!(self, Self::Frames | Self::Pictures)
    }
}

/// Where an output is to appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its final name.
    pub path: PathBuf,
    /// What it is.
    pub kind: OutputKind,
    /// Whether an existing one is replaced.
    pub force: bool,
}

impl Target {
    /// Fails if the output could not be put there: before any work is done.
    pub fn check(&self) -> Result<()> {
        if self.kind == OutputKind::Stdout {
            return if io::stdout().is_terminal() {
                Err(Fault::usage("a clip cannot be written to the terminal")
                    .hint("pipe it into a program, or name a file with -o")
                    .into())
            } else {
                Ok(())
            };
        }
        let shown = self.path.display();
        if self.path.file_name().is_none() {
            return Err(Fault::usage(format!("output `{shown}` is not a file name")).into());
        }
        let folder = self.folder();
        if !folder.is_dir() {
            return Err(Fault::failed(format!("cannot write `{shown}`"))
                .because(format!("the folder `{}` does not exist", folder.display()))
                .hint(format!("make it: mkdir -p '{}'", folder.display()))
                .into());
        }
        rustix::fs::access(folder, Access::WRITE_OK).map_err(|e| self.cannot_write(&e.into()))?;
        if self.kind == OutputKind::File && self.path.is_dir() {
            return Err(
                Fault::failed(format!("cannot write `{shown}`: it is a folder"))
                    .hint("name a file with -o")
                    .into(),
            );
        }
        if self.kind.is_folder() && self.path.exists() && !self.path.is_dir() {
            let (what, flag) = match self.kind {
                OutputKind::Pictures => ("pictures", "--diff"),
                _ => ("frames", "--frames"),
            };
            return Err(
                Fault::failed(format!("cannot write {what} to `{shown}`: it is a file"))
                    .hint(format!("name a folder with {flag}"))
                    .into(),
            );
        }
        if self.is_taken() && !self.force {
            return Err(self.taken().into());
        }
        if self.kind.is_folder()
            && self.path.is_dir()
            && let Some(other) = foreign_entry(&self.path, self.kind)?
        {
            let (what, all) = match self.kind {
                OutputKind::Pictures => ("pictures of a comparison", "numbered PNGs and plot.png"),
                _ => ("frames", "numbered PNGs"),
            };
            return Err(Fault::failed(format!(
                "`{shown}` holds more than {what}: `{}`",
                other.display()
            ))
            .hint(format!(
                "--force replaces a folder only if all in it are {all}; name another folder"
            ))
            .into());
        }
        Ok(())
    }

    /// Like [`Target::check`], where missing folders above the output will be made first.
    pub fn check_but_folders(&self) -> Result<()> {
        let folder = self.folder();
        if folder.exists() {
            return self.check();
        }
        let above = folder.ancestors().skip(1);
        let nearest = above
            .map(|folder| {
                if folder.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    folder
                }
            })
            .find(|folder| folder.exists())
            .unwrap_or(folder);
        if !nearest.is_dir() {
            return Err(Fault::failed(format!("cannot write {self}"))
                .because(format!("`{}` is not a folder", nearest.display()))
                .hint("choose another place with -o")
                .into());
        }
        rustix::fs::access(nearest, Access::WRITE_OK).map_err(|e| self.cannot_write(&e.into()))?;
        Ok(())
    }

    /// Makes the folders above the output.
    pub fn make_folders(&self) -> Result<()> {
        Ok(fs::create_dir_all(self.folder()).map_err(|e| self.cannot_write(&e))?)
    }

    /// Removes what killed runs left behind, and starts a hidden part beside the target (for a file or a folder).
    pub fn begin(self) -> Result<StagedOutput> {
        self.check()?;
        self.remove_stale();
        self.start("")
    }

    /// Starts a part; `suffix` tells apart those of one process.
    fn start(self, suffix: &str) -> Result<StagedOutput> {
        let mut name = self.part_prefix();
        name.push(format!("{}{suffix}.part", std::process::id()));
        let path = fs::canonicalize(self.folder())
            .map_err(|e| self.cannot_write(&e))?
            .join(name);
        let lock = match self.kind {
            OutputKind::File => OpenOptions::new().write(true).create_new(true).open(&path),
            OutputKind::Frames | OutputKind::Pictures => {
                fs::create_dir(&path).and_then(|()| File::open(&path))
            }
            OutputKind::Stdout => Err(io::ErrorKind::Unsupported.into()),
        };
        let lock = lock.map_err(|e| self.cannot_write(&e))?;
        // Held while this process lives; another run takes an unlocked part for abandoned. A file system without
        // locks only loses that clean-up.
        let _ = lock.try_lock();
        Ok(StagedOutput {
            target: self,
            path,
            lock,
            done: false,
        })
    }

    /// The folder the output lies in.
    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// `.NAME.`, the beginning of all parts of this output. A long name is cut, so that file systems take what is added.
    fn part_prefix(&self) -> OsString {
        let name = self.path.file_name().unwrap_or_default();
        let mut prefix = OsString::from(".");
        if name.len() <= LONGEST_NAME {
            prefix.push(name);
        } else {
            let bytes = name.as_encoded_bytes();
            let mut beginning = String::from_utf8_lossy(&bytes[..LONGEST_NAME / 2]);
            while beginning.ends_with(char::REPLACEMENT_CHARACTER) {
                beginning.to_mut().pop();
            }
            // FNV-1a tells long names apart that begin alike.
            let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)
            });
            prefix.push(format!("{beginning}~{hash:016x}"));
        }
        prefix.push(".");
        prefix
    }

    /// Whether something is there already.
    pub(crate) fn is_taken(&self) -> bool {
        match self.kind {
            OutputKind::File => self.path.symlink_metadata().is_ok(),
            OutputKind::Frames | OutputKind::Pictures => {
                fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some())
            }
            OutputKind::Stdout => false,
        }
    }

    /// Why an output that exists is not replaced.
    pub(crate) fn taken(&self) -> Fault {
        Fault::failed(format!("output `{}` exists", self.path.display()))
            .hint("choose another name, or pass --force to replace it")
    }

    /// Why the output could not be written.
    pub(crate) fn cannot_write(&self, error: &io::Error) -> Fault {
        let message = format!("cannot write {self}");
        let fault = Fault::failed(&message);
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Fault::machine(message)
                .because(plain_io(error))
                .hint("free space or choose another place with -o"),
            _ if self.kind == OutputKind::Stdout => fault.because(plain_io(error)),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => fault
                .because(format!(
                    "the folder `{}` is read-only: {}",
                    self.folder().display(),
                    plain_io(error)
                ))
                .hint("choose another place with -o"),
            _ => fault.because(plain_io(error)),
        }
    }

    fn remove_stale(&self) {
        let prefix = self.part_prefix();
        let Ok(entries) = fs::read_dir(self.folder()) else {
            return;
        };
        for entry in entries.flatten() {
            if prefix_of_part(&entry.file_name()) == Some(prefix.as_encoded_bytes()) {
                remove_if_abandoned(&entry.path());
            }
        }
    }
}

/// Removes all parts in `folder`, and in the folders in it, that killed runs left behind.
pub fn remove_abandoned(folder: &Path) {
    let entries = WalkDir::new(folder).into_iter().flatten();
    let parts = entries.filter(|entry| prefix_of_part(entry.file_name()).is_some());
    // A folder of frames that is removed is not walked through any more.
    parts.for_each(|entry| remove_if_abandoned(entry.path()));
}

/// The part's prefix, `.NAME.`, if `name` is that of a part.
fn prefix_of_part(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_encoded_bytes().strip_suffix(b".part")?;
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let (prefix, middle) = name.split_at(dot + 1);
    let number = middle.strip_suffix(SECOND.as_bytes()).unwrap_or(middle);
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    (is_number && prefix.starts_with(b".")).then_some(prefix)
}

fn remove_if_abandoned(part: &Path) {
    if File::open(part).is_ok_and(|file| file.try_lock().is_ok()) {
        remove(part);
    }
}

/// As it follows "write".
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OutputKind::Stdout => f.write_str("to stdout"),
            OutputKind::File | OutputKind::Frames | OutputKind::Pictures => {
                write!(f, "`{}`", self.path.display())
            }
        }
    }
}

/// An output that is being written. Dropped without [`StagedOutput::commit`], it vanishes.
#[derive(Debug)]
pub struct StagedOutput {
    target: Target,
    path: PathBuf,
    lock: File,
    done: bool,
}

impl StagedOutput {
    /// Where to write: an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it will be put.
    pub fn place(&self) -> &Path {
        &self.target.path
    }

    /// A second, empty part of the same output: for a step that copies this one and changes it on the way.
    #[cfg(feature = "credentials")]
    pub fn another(&self) -> Result<StagedOutput> {
        self.target.clone().start(SECOND)
    }

    /// Puts the part in its place.
    pub fn commit(mut self) -> Result<()> {
        let place = || -> io::Result<()> {
            self.lock.sync_all()?;
            match (self.target.kind, self.target.force) {
                // Unlike a rename, a link fails where somebody else's file has appeared meanwhile.
                (OutputKind::File, false) => {
                    fs::hard_link(&self.path, &self.target.path)?;
                    fs::remove_file(&self.path)
                }
                // A folder is only ever renamed onto an empty one.
                (OutputKind::File | OutputKind::Stdout, true)
                | (OutputKind::Frames | OutputKind::Pictures | OutputKind::Stdout, false) => {
                    fs::rename(&self.path, &self.target.path)
                }
                (OutputKind::Frames | OutputKind::Pictures, true) => self.replace_folder(),
            }
        };
        match place() {
            Ok(()) => {
                self.done = true;
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

    /// Why the output could not be written.
    pub(crate) fn cannot_write(&self, error: &io::Error) -> Fault {
        self.removed()
            .unwrap_or_else(|| self.target.cannot_write(error))
    }

    /// The fault to report if somebody has removed the part meanwhile.
    pub(crate) fn removed(&self) -> Option<Fault> {
        (!self.path.exists()).then(|| {
            Fault::failed(format!("cannot write {}", self.target)).because(format!(
                "its unfinished part `{}` was removed by somebody else",
                self.path.display()
            ))
        })
    }

    /// Puts the new folder in the place of the old one, and only then removes the old one.
    fn replace_folder(&self) -> io::Result<()> {
        let target = &self.target.path;
        if !target.exists() {
            return fs::rename(&self.path, target);
        }
        // In one step: a killed run leaves either folder whole, and the other under the part's name.
        if renameat_with(CWD, &self.path, CWD, target, RenameFlags::EXCHANGE).is_ok() {
            remove(&self.path);
            return Ok(());
        }
        // Not all file systems exchange names.
        let mut old = self.path.clone().into_os_string();
        old.push(".old");
        fs::rename(target, &old)?;
        fs::rename(&self.path, target).or_else(|e| fs::rename(&old, target).and(Err(e)))?;
        remove(Path::new(&old));
        Ok(())
    }
}

impl Drop for StagedOutput {
    fn drop(&mut self) {
        if !self.done {
            remove(&self.path);
        }
    }
}

/// Removes a part as well as it can be done; what stays is hidden and the next run's to remove.
fn remove(path: &Path) {
    let _ = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
}

/// Something in a folder that an output of this kind does not write.
fn foreign_entry(folder: &Path, kind: OutputKind) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| {
        Fault::failed(format!("cannot read folder `{}`", folder.display())).because(plain_io(&e))
    })?;
    let is_frame = |path: &Path| {
        let digits = path
            .file_stem()
            .is_some_and(|s| s.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let is_plot =
            kind == OutputKind::Pictures && path.file_name().is_some_and(|n| n == "plot.png");
        let digits = digits || is_plot;
        digits && path.extension().is_some_and(|e| e == "png") && path.is_file()
    };
    Ok(entries
        .flatten()
        .map(|e| e.path())
        .find(|path| !is_frame(path)))
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
    fn a_dropped_part_leaves_nothing_and_a_committed_one_only_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a clip.mp4");
        drop(
            target(clip.clone(), OutputKind::File, false)
                .begin()
                .unwrap(),
        );
        assert!(names(dir.path()).is_empty());
        let part = target(clip.clone(), OutputKind::File, false)
            .begin()
            .unwrap();
        fs::write(part.path(), b"film").unwrap();
        part.commit().unwrap();
        assert_eq!(names(dir.path()), ["a clip.mp4"]);
        assert_eq!(fs::read(clip).unwrap(), b"film");
    }

    #[test]
    fn an_output_that_appears_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("a.mp4");
        let part = target(clip.clone(), OutputKind::File, false)
            .begin()
            .unwrap();
        fs::write(&clip, b"somebody's work").unwrap();
        assert!(part.commit().is_err());
        assert_eq!(fs::read(&clip).unwrap(), b"somebody's work");
        assert_eq!(names(dir.path()), ["a.mp4"]);
    }

    #[test]
    fn abandoned_parts_are_removed_and_living_ones_are_not() {
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
        let part = target(frames.clone(), OutputKind::Frames, true)
            .begin()
            .unwrap();
        fs::write(part.path().join("000001.png"), b"new").unwrap();
        part.commit().unwrap();
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
