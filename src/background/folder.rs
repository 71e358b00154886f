//! The numbered pictures of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::other_pictures::FolderContents;
use super::still;
use crate::error::{Fault, plain_io};

/// The picture in which `prepare` shows what it found.
const OVERVIEW: &str = "prepare.png";

/// The numbered pictures of `folder` or of `full_body_img/` in it, in order and without gaps, and which of both it is.
pub(super) fn list(folder: &Path) -> Result<(PathBuf, Vec<(u64, PathBuf)>)> {
    let mut pictures = list_pictures(folder)?;
    let mut found_in = folder.to_owned();
    let inner = folder.join("full_body_img");
    if pictures.is_empty() && inner.is_dir() {
        pictures = list_pictures(&inner)?;
        found_in = inner;
    }
    if pictures.is_empty() {
        return Err(no_pictures(&found_in).into());
    }
    let mut numbered = BTreeMap::new();
    for path in pictures {
        let number = frame_number(&path)?;
        if let Some(other) = numbered.insert(number, path.clone()) {
            return Err(Fault::failed(format!(
                "two background frames have number {number}: `{}` and `{}`",
                other.display(),
                path.display()
            ))
            .hint("remove one of them")
            .into());
        }
    }
    let first = numbered.keys().next().copied().unwrap_or(0);
    let last = numbered.keys().next_back().copied().unwrap_or(0);
    if let Some(gap) = (first..last).find(|n| !numbered.contains_key(n)) {
        return Err(Fault::failed(format!(
            "frame {gap} is missing in background folder `{}`",
            found_in.display()
        ))
        .because(format!(
            "its {} pictures are numbered {first} to {last}",
            numbered.len()
        ))
        .hint("put the frame back, or number the frames without gaps")
        .into());
    }
    Ok((found_in, numbered.into_iter().collect()))
}

/// The error about a folder without pictures: it says what is there instead.
fn no_pictures(folder: &Path) -> Fault {
    let contents = FolderContents::of(folder);
    let hint = contents.hint.unwrap_or_else(|| {
        "put numbered JPEG or PNG frames in it: 0.jpg, 1.jpg, .. or frame_0000.png, ..".into()
    });
    Fault::failed(format!(
        "background folder `{}` has no pictures that can be read",
        folder.display()
    ))
    .because(contents.words)
    .hint(hint)
}

/// Files that are named like pictures, sorted by name; without folders, hidden files and the overview of `prepare`.
pub(crate) fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let fault = |e: &std::io::Error| {
        Fault::failed(format!(
            "cannot read background folder `{}`",
            folder.display()
        ))
        .because(plain_io(e))
    };
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| fault(&e))? {
        let path = entry.map_err(|e| fault(&e))?.path();
        let is_no_frame = path
            .file_name()
            .is_none_or(|n| n.as_encoded_bytes().starts_with(b".") || n == OVERVIEW);
        if is_no_frame || !still::has_image_extension(&path) {
            continue;
        }
        // A broken link is an error: its frame is missing.
        let metadata = fs::metadata(&path).map_err(|e| {
            Fault::failed(format!("cannot read background frame `{}`", path.display()))
                .because(plain_io(&e))
        })?;
        if metadata.is_file() {
            pictures.push(path);
        }
    }
    pictures.sort_by(|a, b| {
        natord::compare(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b))
    });
    Ok(pictures)
}

/// The number at the end of a file's stem: 7 for `frame_0007.png`.
pub(crate) fn frame_number(path: &Path) -> Result<u64, Fault> {
    let digits = trailing_digits(path);
    let fault = |what: &str| {
        Fault::failed(format!("background frame `{}` {what}", path.display())).hint(
            "name frames 0.jpg, 1.jpg, .. or frame_0000.png, ..; move other pictures to another folder",
        )
    };
    match digits {
        Some("") | None => Err(fault("has no number")),
        Some(digits) => digits
            .parse()
            .map_err(|_| fault("has a number that is too large")),
    }
}

/// The digits at the end of a file's stem: 0007 for `frame_0007.png`.
fn trailing_digits(path: &Path) -> Option<&str> {
    let stem = path.file_stem()?.as_encoded_bytes();
    let other = stem.iter().rposition(|byte| !byte.is_ascii_digit());
    str::from_utf8(&stem[other.map_or(0, |at| at + 1)..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(name: &str) -> Option<u64> {
        frame_number(Path::new(name)).ok()
    }

    #[test]
    fn numbers_are_at_the_end_of_the_stem() {
        assert_eq!(number("7.jpg"), Some(7));
        assert_eq!(number("frame_0012.png"), Some(12));
        assert_eq!(number("take2_0012.png"), Some(12));
        assert_eq!(number("cover.png"), None);
        assert_eq!(number("18446744073709551615.png"), Some(u64::MAX));
        let error = frame_number(Path::new("99999999999999999999.png")).unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
    }

    proptest! {
        #[test]
        fn any_name_is_accepted(name in "\\PC*", n in any::<u64>(), zeros in 0_usize..30) {
            let _ = number(&name);
            let stem: String = name.chars().filter(|c| !"/.0123456789".contains(*c)).collect();
            prop_assert_eq!(number(&format!("{stem}_{}{n}.png", "0".repeat(zeros))), Some(n));
        }
    }
}
