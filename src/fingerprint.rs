//! What files hold, as a short number by which others know it again.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::{Fault, plain_io};

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// The content of `files`, one after the other, as 32 hexadecimal digits (XXH3, 128 bits). Their names do not matter.
pub fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<String> {
    let mut hash = Xxh3::new();
    let mut chunk = vec![0; CHUNK];
    for path in files {
        let fault =
            |e| Fault::failed(format!("cannot read `{}`", path.display())).because(plain_io(&e));
        let mut file = File::open(path).map_err(fault)?;
        let mut len: u64 = 0;
        loop {
            let read = file.read(&mut chunk).map_err(fault)?;
            if read == 0 {
                break;
            }
            len += read as u64;
            hash.update(&chunk[..read]);
        }
        // Where one ends and the next begins.
        hash.update(&len.to_le_bytes());
    }
    Ok(format!("{:032x}", hash.digest128()))
}

/// A text, as 32 hexadecimal digits.
pub fn of_text(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_its_borders_count_and_names_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
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
        assert!(of_files([dir.path().join("none").as_path()]).is_err());
    }
}
