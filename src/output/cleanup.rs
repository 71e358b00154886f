//! Removes what killed runs left behind.

use std::fs::{self, File};
use std::path::Path;

use walkdir::WalkDir;

use super::hidden_name::{kept_name, prefix, prefix_of};
use super::kind::OutputKind;
use super::place::folder_of;

/// Removes all unfinished outputs of killed runs in `folder` and the folders below it.
pub fn remove_abandoned(folder: &Path) {
    let entries = WalkDir::new(folder).into_iter().flatten();
    let staged = entries.filter(|entry| prefix_of(entry.file_name()).is_some());
    // A folder of frames is gone before the walk would enter it.
    staged.for_each(|entry| remove_if_abandoned(entry.path()));
}

/// Removes the unfinished copies of the output at `place` that killed runs left.
pub(super) fn remove_stale(place: &Path) {
    let prefix = prefix(place);
    let Ok(entries) = fs::read_dir(folder_of(place)) else {
        return;
    };
    for entry in entries.flatten() {
        if prefix_of(&entry.file_name()) == Some(prefix.as_encoded_bytes()) {
            remove_if_abandoned(&entry.path());
        }
    }
}

/// A living run holds the lock of what it writes. The lock is held until the file is gone: a run that has just created it
/// finds it locked or missing, and takes another one.
fn remove_if_abandoned(staged: &Path) {
    let is_ours = staged
        .symlink_metadata()
        .is_ok_and(|about| about.is_file() || about.is_dir());
    if !is_ours {
        return;
    }
    if let Ok(file) = File::open(staged)
        && file.try_lock().is_ok()
    {
        remove(staged);
    }
}

/// Removes a file or folder if possible; what remains is hidden, and the next run tries again. What others have put into a
/// folder is kept under a visible name.
pub(super) fn remove(path: &Path) {
    if !path.is_dir() {
        let _ = fs::remove_file(path);
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let mut kinds = OutputKind::FOLDERS.iter();
        if kinds.any(|kind| kind.may_hold(&entry.path())) {
            let _ = fs::remove_file(entry.path());
        }
    }
    if fs::remove_dir(path).is_err()
        && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
    {
        let _ = fs::rename(path, path.with_file_name(visible_name(path)));
    }
}

/// A visible name for what is left under a hidden one.
fn visible_name(hidden: &Path) -> std::ffi::OsString {
    let name = hidden.file_name().unwrap_or_default();
    let prefix = prefix_of(name).unwrap_or_default();
    let name = String::from_utf8_lossy(prefix).trim_matches('.').to_owned();
    kept_name(Path::new(&name))
}
