//! Removes what killed runs left behind.

use std::fs::{self, File};
use std::path::Path;

use walkdir::WalkDir;

use super::hidden_name::{prefix, prefix_of};
use super::target::Target;

/// Removes all unfinished outputs of killed runs in `folder` and the folders below it.
pub fn remove_abandoned(folder: &Path) {
    let entries = WalkDir::new(folder).into_iter().flatten();
    let staged = entries.filter(|entry| prefix_of(entry.file_name()).is_some());
    // A folder of frames is gone before the walk would enter it.
    staged.for_each(|entry| remove_if_abandoned(entry.path()));
}

/// Removes the unfinished copies of `target` that killed runs left.
pub(super) fn remove_stale(target: &Target) {
    let prefix = prefix(&target.path);
    let Ok(entries) = fs::read_dir(target.folder()) else {
        return;
    };
    for entry in entries.flatten() {
        if prefix_of(&entry.file_name()) == Some(prefix.as_encoded_bytes()) {
            remove_if_abandoned(&entry.path());
        }
    }
}

/// A living run holds the lock of what it writes.
fn remove_if_abandoned(staged: &Path) {
    if File::open(staged).is_ok_and(|file| file.try_lock().is_ok()) {
        remove(staged);
    }
}

/// Removes a file or folder if possible; what remains is hidden, and the next run tries again.
pub(super) fn remove(path: &Path) {
    let _ = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
}
