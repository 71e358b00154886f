//! Where an output goes, and whether it can be written there.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Access;

use crate::error::{Fault, plain_io};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// One file.
    File,
    /// A folder of numbered PNGs.
    Frames,
    /// A folder of numbered PNGs and `plot.png`: the pictures of a comparison.
    Pictures,
    /// A background folder as `prepare` writes it: numbered PNGs, and files that describe them.
    Prepared,
    /// A stream to stdout, whatever the path.
    Stdout,
}

/// What a prepared folder holds beside its frames.
const PREPARED_FILES: [&str; 5] = [
    "crop_rects.json",
    "landmarks.json",
    "audio.wav",
    "prepare.json",
    "prepare.png",
];

impl OutputKind {
    fn is_folder(self) -> bool {
        matches!(self, Self::Frames | Self::Pictures | Self::Prepared)
    }

    /// What a folder of this kind holds, for messages: the content, the names of its files, and the flag that asks for it.
    fn folder_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pictures => (
                "pictures of a comparison",
                "numbered PNGs and plot.png",
                "--diff",
            ),
            Self::Prepared => (
                "a prepared background",
                "numbered PNGs and what describes them",
                "-o",
            ),
            Self::File | Self::Frames | Self::Stdout => ("frames", "numbered PNGs", "--frames"),
        }
    }

    /// Whether a folder of this kind may hold this file.
    fn may_hold(self, path: &Path) -> bool {
        let is_number = path
            .file_stem()
            .is_some_and(|stem| stem.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let is_numbered_png = is_number && path.extension().is_some_and(|e| e == "png");
        let others: &[&str] = match self {
            Self::Pictures => &["plot.png"],
            Self::Prepared => &PREPARED_FILES,
            Self::File | Self::Frames | Self::Stdout => &[],
        };
        let is_other = others
            .iter()
            .any(|other| path.file_name().is_some_and(|name| name == *other));
        (is_numbered_png || is_other) && path.is_file()
    }
}

/// Where an output is to appear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its final name.
    pub path: PathBuf,
    /// What it is.
    pub kind: OutputKind,
    /// Whether to replace an existing output.
    pub force: bool,
}

impl Target {
    /// Fails if the output could not be written here: call it before any work is done.
    pub fn check(&self) -> Result<()> {
        if self.kind == OutputKind::Stdout {
            return check_stdout();
        }
        if self.path.file_name().is_none() {
            let message = format!("output `{}` is not a file name", self.path.display());
            return Err(Fault::usage(message).into());
        }
        self.check_parent()?;
        self.check_kind()?;
        if self.exists() && !self.force {
            return Err(self.taken().into());
        }
        if self.kind.is_folder() && self.path.is_dir() {
            self.check_content()?;
        }
        Ok(())
    }

    /// Like [`Target::check`], but missing folders above the output are fine: [`Target::make_folders`] creates them.
    pub fn check_allowing_missing_folders(&self) -> Result<()> {
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

    /// Creates the folders above the output.
    pub fn make_folders(&self) -> Result<()> {
        Ok(fs::create_dir_all(self.folder()).map_err(|e| self.cannot_write(&e))?)
    }

    /// The folder that holds the output.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Whether the output exists already; an empty folder does not count.
    pub(crate) fn exists(&self) -> bool {
        match self.kind {
            OutputKind::File => self.path.symlink_metadata().is_ok(),
            OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => {
                fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some())
            }
            OutputKind::Stdout => false,
        }
    }

    /// The error for an output that exists and is not to be replaced.
    pub(crate) fn taken(&self) -> Fault {
        Fault::failed(format!("output `{}` exists", self.path.display()))
            .hint("choose another name, or pass --force to replace it")
    }

    /// The error for a failed write.
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

    fn check_parent(&self) -> Result<()> {
        let folder = self.folder();
        if !folder.is_dir() {
            return Err(Fault::failed(format!("cannot write {self}"))
                .because(format!("the folder `{}` does not exist", folder.display()))
                .hint(format!("create it: mkdir -p '{}'", folder.display()))
                .into());
        }
        rustix::fs::access(folder, Access::WRITE_OK).map_err(|e| self.cannot_write(&e.into()))?;
        Ok(())
    }

    /// Fails where a file would replace a folder, or a folder a file.
    fn check_kind(&self) -> Result<()> {
        if self.kind == OutputKind::File && self.path.is_dir() {
            return Err(
                Fault::failed(format!("cannot write {self}: it is a folder"))
                    .hint("name a file with -o")
                    .into(),
            );
        }
        if self.kind.is_folder() && self.path.exists() && !self.path.is_dir() {
            let (what, _, flag) = self.kind.folder_words();
            return Err(
                Fault::failed(format!("cannot write {what} to {self}: it is a file"))
                    .hint(format!("name a folder with {flag}"))
                    .into(),
            );
        }
        Ok(())
    }

    /// Fails if the existing folder holds something that an output of this kind does not write.
    fn check_content(&self) -> Result<()> {
        let entries = fs::read_dir(&self.path).map_err(|e| {
            Fault::failed(format!("cannot read folder {self}")).because(plain_io(&e))
        })?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        let Some(other) = paths.find(|path| !self.kind.may_hold(path)) else {
            return Ok(());
        };
        let (what, files, _) = self.kind.folder_words();
        Err(Fault::failed(format!(
            "{self} holds more than {what}: `{}`",
            other.display()
        ))
        .hint(format!(
            "--force replaces a folder only if it holds nothing but {files}; name another folder"
        ))
        .into())
    }
}

fn check_stdout() -> Result<()> {
    if io::stdout().is_terminal() {
        return Err(Fault::usage("cannot write a clip to the terminal")
            .hint("pipe it into a program, or name a file with -o")
            .into());
    }
    Ok(())
}

/// As it follows "write".
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OutputKind::Stdout => f.write_str("to stdout"),
            OutputKind::File | OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => {
                write!(f, "`{}`", self.path.display())
            }
        }
    }
}
