//! Digests (XXH3) of files, folders and settings: equal digests mean equal content.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::{Fault, plain_io};
use crate::files;

/// Bytes per read.
const BLOCK: usize = 1 << 20;

/// A digest (XXH3, 128 bits); written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// Of a text.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(xxh3_128(text.as_bytes()))
    }

    /// Of the bytes of the file at `path`.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let mut hash = Xxh3::new();
        let mut block = vec![0; BLOCK];
        let mut read = || -> std::io::Result<()> {
            let mut file = files::open(path)?;
            loop {
                match file.read(&mut block) {
                    Ok(0) => break Ok(()),
                    Ok(n) => hash.update(&block[..n]),
                    Err(e) if e.kind() == ErrorKind::Interrupted => (),
                    Err(e) => break Err(e),
                }
            }
        };
        read().map_err(|e| unreadable(path, &e))?;
        Ok(Self(hash.digest128()))
    }

    /// Of the contents of `files`, in this order. Their names do not matter.
    pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut all = Xxh3::new();
        for file in files {
            all.update(&Self::of_file(file)?.0.to_le_bytes());
        }
        Ok(Self(all.digest128()))
    }

    /// Of a file, or of the names and contents of a folder's files.
    pub(crate) fn of_output(path: &Path) -> Result<Self> {
        let mut all = Xxh3::new();
        for file in files_of(path).map_err(|e| unreadable(path, &e))? {
            if file != path {
                all.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            }
            all.update(&Self::of_file(&file)?.0.to_le_bytes());
        }
        Ok(Self(all.digest128()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The file at `path`, or the files of the folder at `path`, sorted by name.
pub(crate) fn files_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.metadata()?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_their_boundaries_count_and_names_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let of = |files: &[&Path]| Fingerprint::of_files(files.iter().copied()).unwrap();
        let [ab, c, a, bc, again] = [
            ("1", "ab"),
            ("2", "c"),
            ("3", "a"),
            ("4", "bc"),
            ("5", "ab"),
        ]
        .map(|(n, t)| file(n, t));
        assert_eq!(of(&[&ab, &c]), of(&[&again, &c]));
        assert_ne!(of(&[&ab, &c]), of(&[&a, &bc]));
        assert_ne!(of(&[&ab, &c]), of(&[&c, &ab]));
        assert!(Fingerprint::of_file(&dir.path().join("none")).is_err());
    }
}
