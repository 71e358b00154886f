//! Where an output goes, and whether it can be written there.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Access;

use super::kind::OutputKind;
use super::place::{Place, Stream, folder_of};
use crate::error::{Fault, plain_io};

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
        match self.place()? {
            Place::File(place) => self.check_file(&place),
            Place::Stream(stream) => self.check_stream(&stream),
            Place::Unfit(what) => Err(self.unfit(what).into()),
        }
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

    /// What the path leads to. `-` is stdout for outputs that can go there.
    pub(super) fn place(&self) -> Result<Place> {
        if self.path == Path::new("-") {
            if self.kind == OutputKind::Streamable {
                return Ok(Place::Stream(Stream::Descriptor(1)));
            }
            return Err(
                Fault::usage(format!("{self} means stdout, which takes no folder"))
                    .hint("for a folder of that name, write `./-`")
                    .into(),
            );
        }
        Ok(Place::of(&self.path).map_err(|e| self.cannot_write(&e))?)
    }

    /// Whether it goes to stdout, a pipe or a device, where nothing is replaced.
    pub(crate) fn is_stream(&self) -> bool {
        self.kind == OutputKind::Stdout || matches!(self.place(), Ok(Place::Stream(_)))
    }

    /// The folder that holds the output, as it was named.
    pub(super) fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Whether the output exists already; an empty folder does not count, nor does a pipe or a device.
    pub(crate) fn exists(&self) -> bool {
        if self.is_stream() {
            return false;
        }
        if self.kind.is_folder() {
            return fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some());
        }
        self.path.symlink_metadata().is_ok()
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
        let folder = self.folder();
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Fault::machine(message)
                .because(plain_io(error))
                .hint("free space or choose another place with -o"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                if matches!(Place::of(&self.path), Ok(Place::File(_)))
                    && rustix::fs::access(folder, Access::WRITE_OK).is_err() =>
            {
                fault
                    .because(format!(
                        "the folder `{}` is read-only: {}",
                        folder.display(),
                        plain_io(error)
                    ))
                    .hint("choose another place with -o")
            }
            _ => fault.because(plain_io(error)),
        }
    }

    fn check_file(&self, place: &Path) -> Result<()> {
        if place.file_name().is_none() {
            let message = format!("output `{}` is not a file name", self.path.display());
            return Err(Fault::usage(message).into());
        }
        self.check_parent(folder_of(place))?;
        self.check_kind()?;
        if self.exists() && !self.force {
            return Err(self.taken().into());
        }
        if self.kind.is_folder() && self.path.is_dir() {
            self.check_content()?;
        }
        self.check_owner(place)
    }

    fn check_stream(&self, stream: &Stream) -> Result<()> {
        if self.kind != OutputKind::Streamable {
            return Err(self.unfit(stream.what()).into());
        }
        let (path, access) = match stream {
            Stream::Descriptor(number) => (format!("/dev/fd/{number}").into(), Access::EXISTS),
            Stream::Pipe(path) | Stream::Device(path) => (path.clone(), Access::WRITE_OK),
        };
        rustix::fs::access(&path, access).map_err(|e| self.cannot_write(&e.into()))?;
        Ok(())
    }

    /// The error for something that cannot hold this output.
    fn unfit(&self, what: &str) -> Fault {
        let fault = Fault::failed(format!("cannot write {self}: it is {what}"));
        match self.kind {
            OutputKind::Streamable | OutputKind::Stdout => fault.hint("choose another name"),
            OutputKind::Frames | OutputKind::Pictures | OutputKind::Prepared => {
                fault.hint(format!("name a folder with {}", self.kind.folder_words().2))
            }
            OutputKind::File => fault.hint(
                "a clip is written to a file and checked; to stream it, use -o - and redirect stdout",
            ),
        }
    }

    fn check_parent(&self, folder: &Path) -> Result<()> {
        if !folder.is_dir() {
            // As it was named, unless a link leads elsewhere.
            let folder = if self.folder().is_dir() {
                folder
            } else {
                self.folder()
            };
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
        if !self.kind.is_folder() && self.path.is_dir() {
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

    /// Fails if the output belongs to another user in a folder, such as /tmp, where only its owner may replace it.
    fn check_owner(&self, place: &Path) -> Result<()> {
        const STICKY: u32 = 0o1000;
        let user = rustix::process::geteuid();
        let (Ok(output), Ok(folder)) = (place.symlink_metadata(), folder_of(place).metadata())
        else {
            return Ok(());
        };
        let owns = |about: &fs::Metadata| about.uid() == user.as_raw();
        if folder.mode() & STICKY == 0 || user.is_root() || owns(&output) || owns(&folder) {
            return Ok(());
        }
        Err(Fault::failed(format!("cannot replace {self}"))
            .because(format!(
                "it belongs to another user, and in `{}` only they may replace it",
                self.folder().display()
            ))
            .hint("choose another name")
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
        let is_dash = self.kind == OutputKind::Streamable && self.path == Path::new("-");
        if is_dash || self.kind == OutputKind::Stdout {
            return f.write_str("to stdout");
        }
        write!(f, "`{}`", self.path.display())
    }
}
