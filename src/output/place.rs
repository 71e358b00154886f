//! What a path leads to: a file, which is replaced as a whole, or a stream, which is written to and never read or renamed.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// More links in a row are a cycle: the limit of Linux.
const MAX_LINKS: usize = 40;

/// What a path leads to, with symbolic links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file or folder that exists or can be created: an absolute path without links, as far as its folders exist.
    File(PathBuf),
    /// Something that bytes can be sent to.
    Stream(Stream),
    /// Something that nothing can be written to: what it is.
    Unfit(&'static str),
}

/// Something that bytes can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stream {
    /// The descriptor of this process with this number.
    Descriptor(u32),
    /// A named pipe.
    Pipe(PathBuf),
    /// A character device, such as `/dev/null`.
    Device(PathBuf),
}

impl Place {
    /// What `path` leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if let Some(number) = descriptor(&path) {
                return Ok(Self::Stream(Stream::Descriptor(number)));
            }
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_symlink() => {
                    path = folder_of(&path).join(fs::read_link(&path)?);
                }
                Ok(about) => return Self::existing(path, about.file_type()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Ok(Self::File(full(&path)?));
                }
                Err(e) => return Err(e),
            }
        }
        Err(Errno::LOOP.into())
    }

    fn existing(path: PathBuf, kind: FileType) -> io::Result<Self> {
        Ok(if kind.is_fifo() {
            Self::Stream(Stream::Pipe(path))
        } else if kind.is_char_device() {
            Self::Stream(Stream::Device(path))
        } else if kind.is_block_device() {
            Self::Unfit("a disk")
        } else if kind.is_socket() {
            Self::Unfit("a socket")
        } else {
            Self::File(full(&path)?)
        })
    }
}

impl Stream {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Descriptor(_) => "a stream",
            Self::Pipe(_) => "a pipe",
            Self::Device(_) => "a device",
        }
    }

    /// Opens it to write. A pipe that nobody reads yet is `None`: waiting for a reader here could not be interrupted.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        let path = match self {
            Self::Descriptor(number) => &PathBuf::from(format!("/dev/fd/{number}")),
            Self::Pipe(path) | Self::Device(path) => path,
        };
        // A file that the descriptor leads to is appended to: what is in it was not written by this run alone.
        let file = OpenOptions::new()
            .append(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32)
            .open(path);
        match file {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The number in `/dev/fd/3` and the like.
fn descriptor(path: &Path) -> Option<u32> {
    let path = path.to_str()?;
    match path {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => ["/dev/fd/", "/proc/self/fd/"]
            .iter()
            .find_map(|folder| path.strip_prefix(folder)?.parse().ok()),
    }
}

/// The folder that holds `path`.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path without links and `..`, as far as its folders exist.
fn full(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        // `..` and `/` exist.
        return fs::canonicalize(path);
    };
    match fs::canonicalize(folder_of(path)) {
        Ok(folder) => Ok(folder.join(name)),
        Err(_) => std::path::absolute(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_streams_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let of = |name: &str| Place::of(&dir.join(name));
        symlink("missing.mp4", dir.join("dangling.mp4")).unwrap();
        assert_eq!(
            of("dangling.mp4").unwrap(),
            Place::File(dir.join("missing.mp4"))
        );
        fs::create_dir(dir.join("folder")).unwrap();
        symlink("folder/../dangling.mp4", dir.join("twice.mp4")).unwrap();
        assert_eq!(
            of("twice.mp4").unwrap(),
            Place::File(dir.join("missing.mp4"))
        );
        symlink("circle", dir.join("circle")).unwrap();
        assert!(of("circle").is_err());
        symlink("/dev/stdout", dir.join("out")).unwrap();
        assert_eq!(of("out").unwrap(), Place::Stream(Stream::Descriptor(1)));
        let null = Place::of(Path::new("/dev/null")).unwrap();
        assert_eq!(null, Place::Stream(Stream::Device("/dev/null".into())));
        let third = Place::of(Path::new("/proc/self/fd/3")).unwrap();
        assert_eq!(third, Place::Stream(Stream::Descriptor(3)));
    }
}
