//! What files hold, as a number by which it is known again: XXH3, 128 bits.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Fault, plain_io};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// A network's file, and the files beside it whose names begin with its own: its weights, where they lie outside.
pub fn of_network(path: &Path) -> Result<u128> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(name))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    of_files(files.iter().map(PathBuf::as_path))
}

/// The digest of the bytes of `files`, in this order; their names do not matter.
pub fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<u128> {
    let mut all = Xxh3::new();
    for file in files {
        all.update(&of_file(file)?.to_le_bytes());
    }
    Ok(all.digest128())
}

/// The digest of a file's bytes.
pub fn of_file(path: &Path) -> Result<u128> {
    let mut hash = Xxh3::new();
    let mut piece = vec![0; PIECE];
    let mut read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(n) => hash.update(&piece[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => (),
                Err(e) => break Err(e),
            }
        }
    };
    read().map_err(|e| unreadable(path, &e))?;
    Ok(hash.digest128())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_its_borders_count_and_names_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let of = |files: &[&Path]| of_files(files.iter().copied()).unwrap();
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
        assert!(of_file(&dir.path().join("none")).is_err());
        // Weights that lie outside.
        let network = file("net.onnx", "graph");
        let before = of_network(&network).unwrap();
        file("net.onnx.data", "weights");
        assert_ne!(of_network(&network).unwrap(), before);
    }
}
