//! Moves a finished output into its place, on every file system, and never over or away from what belongs to others.
//!
//! Linux can rename without replacing and exchange two names, each in one step, but many file systems (exFAT, FUSE, network
//! mounts) can do only one of them or none, and some have no hard links. Each move therefore tries the best way first.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::hidden_name::kept_name;

/// The calls that move files, which the tests replace by those of a file system that can do less.
pub(super) trait Moves {
    /// Renames; fails if `to` exists.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    /// Exchanges two names.
    fn exchange(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)?)
    }

    /// Gives a file a second name; fails if `to` exists.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    /// Renames; replaces a file, or an empty folder by a folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

/// What the system can do.
pub(super) struct System;

impl Moves for System {}

/// What `--force` may remove from an existing folder.
pub(super) struct Replaced<'a> {
    /// Names of the files that were there before the work began.
    pub(super) names: &'a HashSet<OsString>,
    /// Whether a folder of this kind may hold this file.
    pub(super) may_hold: &'a dyn Fn(&Path) -> bool,
}

impl Replaced<'_> {
    fn contains(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        self.names.contains(name) && (self.may_hold)(path)
    }
}

/// Moves a file to a name that must be free.
pub(super) fn place_new(moves: &impl Moves, from: &Path, to: &Path) -> io::Result<()> {
    match moves.rename_new(from, to) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => (),
        done => return done,
    }
    match moves.link(from, to) {
        // A network file system may have done it, and lost the answer.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && !is_same(from, to) => return Err(e),
        Err(e) if e.kind() != ErrorKind::AlreadyExists => (),
        _ => {
            // If this fails, a hidden name of the same file remains.
            let _ = fs::remove_file(from);
            return Ok(());
        }
    }
    // An empty file takes the name, so that nothing that appears now is overwritten.
    drop(OpenOptions::new().write(true).create_new(true).open(to)?);
    moves.rename(from, to).or_else(|_| {
        fs::remove_file(to)?;
        moves.rename(from, to)
    })
}

/// Moves a file to a name that may be taken.
pub(super) fn replace_file(moves: &impl Moves, from: &Path, to: &Path) -> io::Result<()> {
    let Err(error) = moves.rename(from, to) else {
        return Ok(());
    };
    // Some file systems only rename to free names.
    let old = aside(from);
    if fs::symlink_metadata(to).is_err() || moves.rename(to, &old).is_err() {
        return Err(error);
    }
    moves
        .rename(from, to)
        .or_else(|e| moves.rename(&old, to).and(Err(e)))?;
    fs::remove_file(&old)
}

/// Moves a folder to a name that is free, or that of an empty folder.
pub(super) fn place_new_folder(moves: &impl Moves, from: &Path, to: &Path) -> io::Result<()> {
    // Over anything but an empty folder, it fails.
    let Err(error) = moves.rename(from, to) else {
        return Ok(());
    };
    match fs::read_dir(to) {
        // An empty folder that cannot be replaced, such as a mount point.
        Ok(mut entries) => match entries.next() {
            None => move_files(moves, from, to),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        },
        Err(_) => Err(error),
    }
}

/// Moves a folder into the place of an existing one. Of the old folder's files, only `replaced` are removed; the others are
/// moved into the new folder.
pub(super) fn replace_folder(
    moves: &impl Moves,
    from: &Path,
    to: &Path,
    replaced: &Replaced,
) -> io::Result<()> {
    // In one step: a killed run leaves one folder complete under the target's name, the other under the hidden name.
    if moves.exchange(from, to).is_ok() {
        dissolve(moves, from, to, replaced);
        return Ok(());
    }
    let old = aside(from);
    if moves.rename(to, &old).is_ok() {
        moves
            .rename(from, to)
            .or_else(|e| moves.rename(&old, to).and(Err(e)))?;
        dissolve(moves, &old, to, replaced);
        return Ok(());
    }
    // The folder itself cannot be renamed: it is a mount point, or lies in a lower layer of an overlay.
    let stale: Vec<PathBuf> = files_in(to)?
        .into_iter()
        .filter(|old| replaced.contains(old) && !from.join(name_of(old)).exists())
        .collect();
    move_files(moves, from, to)?;
    stale.iter().try_for_each(fs::remove_file)
}

/// Removes the `old` folder, after what it may not remove is moved into the `new` one. What cannot be moved or removed stays
/// under a visible name: the new folder is in place by now.
fn dissolve(moves: &impl Moves, old: &Path, new: &Path, replaced: &Replaced) {
    for path in files_in(old).unwrap_or_default() {
        let to = new.join(name_of(&path));
        let is_replaced = replaced.contains(&path) || (replaced.may_hold)(&path) && to.exists();
        let _ = if is_replaced {
            fs::remove_file(&path)
        } else {
            place_new(moves, &path, &to).or_else(|e| match to.symlink_metadata() {
                Ok(_) => Err(e),
                // A folder, where names cannot be reserved.
                Err(_) => moves.rename(&path, &to),
            })
        };
    }
    let _ = fs::remove_dir(old).or_else(|_| moves.rename(old, &new.with_file_name(kept_name(new))));
}

/// Moves all files of a folder into another one, one by one, over those of the same name.
fn move_files(moves: &impl Moves, from: &Path, to: &Path) -> io::Result<()> {
    for path in files_in(from)? {
        let to = to.join(name_of(&path));
        if moves.rename(&path, &to).is_err() {
            // Another file system.
            fs::copy(&path, &to)?;
            fs::remove_file(&path)?;
        }
    }
    fs::remove_dir(from)
}

/// A free name for the old output while the new one takes its place. No cleanup recognises it: if a run is killed here, it is
/// the only copy.
fn aside(staged: &Path) -> PathBuf {
    let mut name = staged.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn is_same(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| fs::symlink_metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system that cannot do some of it: a bit for each.
    #[derive(Debug, Clone, Copy)]
    struct Poor(u8);

    const RENAME_NEW: u8 = 1;
    const EXCHANGE: u8 = 2;
    const LINK: u8 = 4;
    const RENAME_OVER: u8 = 8;
    const RENAME_FOLDERS: u8 = 16;

    impl Poor {
        fn all() -> impl Iterator<Item = Self> {
            (0..32).map(Self)
        }

        fn lacks(self, ability: u8) -> bool {
            self.0 & ability != 0
        }

        /// Calls it if it needs none of the abilities that are missing.
        fn if_able(self, needed: u8, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
            if self.lacks(needed) {
                Err(ErrorKind::PermissionDenied.into())
            } else {
                call()
            }
        }
    }

    fn folders(path: &Path) -> u8 {
        if path.is_dir() { RENAME_FOLDERS } else { 0 }
    }

    impl Moves for Poor {
        fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.if_able(RENAME_NEW | folders(from), || System.rename_new(from, to))
        }

        fn exchange(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.if_able(EXCHANGE | folders(from), || System.exchange(from, to))
        }

        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.if_able(LINK, || System.link(from, to))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            let over = to.symlink_metadata().map_or(0, |_| RENAME_OVER);
            self.if_able(over | folders(from), || System.rename(from, to))
        }
    }

    /// A folder with a file or folder for each name; those that end in `/` are folders.
    fn folder(names: &[&str]) -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, *name).unwrap();
            }
        }
        let path = dir.path().to_owned();
        (dir, move |name: &str| path.join(name))
    }

    /// Name and text of each file in a folder; folders have no text.
    fn content(folder: &Path) -> Vec<(String, String)> {
        let mut content: Vec<(String, String)> = files_in(folder)
            .unwrap()
            .into_iter()
            .map(|path| {
                let name = name_of(&path).to_str().unwrap().to_owned();
                (name, fs::read_to_string(&path).unwrap_or_default())
            })
            .collect();
        content.sort();
        content
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
        owned.collect()
    }

    #[test]
    fn a_file_takes_a_free_name_and_no_other_on_every_file_system() {
        for system in Poor::all() {
            let (_dir, at) = folder(&["new"]);
            place_new(&system, &at("new"), &at("clip")).unwrap();
            assert_eq!(content(&at("")), pairs(&[("clip", "new")]), "{system:?}");
            let (_dir, at) = folder(&["new", "clip"]);
            let error = place_new(&system, &at("new"), &at("clip")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{system:?}");
            assert_eq!(content(&at("")), pairs(&[("clip", "clip"), ("new", "new")]));
        }
    }

    #[test]
    fn a_file_is_replaced_on_every_file_system() {
        for system in Poor::all() {
            for names in [&["new"][..], &["new", "clip"]] {
                let (_dir, at) = folder(names);
                replace_file(&system, &at("new"), &at("clip")).unwrap();
                assert_eq!(content(&at("")), pairs(&[("clip", "new")]), "{system:?}");
            }
        }
    }

    #[test]
    fn a_folder_takes_a_free_name_or_that_of_an_empty_folder() {
        for system in Poor::all() {
            let (_dir, at) = folder(&["new/0.png", "frames/"]);
            place_new_folder(&system, &at("new"), &at("frames")).unwrap();
            assert_eq!(
                content(&at("frames")),
                pairs(&[("0.png", "new/0.png")]),
                "{system:?}"
            );
            assert!(!at("new").exists());
            let (_dir, at) = folder(&["new/0.png", "frames/notes.txt"]);
            assert!(place_new_folder(&system, &at("new"), &at("frames")).is_err());
            assert_eq!(
                content(&at("frames")),
                pairs(&[("notes.txt", "frames/notes.txt")])
            );
            assert_eq!(content(&at("new")), pairs(&[("0.png", "new/0.png")]));
        }
    }

    #[test]
    fn only_frames_that_were_there_before_are_removed() {
        for system in Poor::all() {
            let (_dir, at) = folder(&["new/0.png", "frames/0.png", "frames/1.png"]);
            let names = ["0.png", "1.png"].map(OsString::from).into();
            // Others put these there meanwhile.
            for name in ["2.png", "notes.txt"] {
                fs::write(at("frames").join(name), name).unwrap();
            }
            fs::create_dir(at("frames/mine")).unwrap();
            let replaced = Replaced {
                names: &names,
                may_hold: &|path| path.extension().is_some_and(|e| e == "png"),
            };
            replace_folder(&system, &at("new"), &at("frames"), &replaced).unwrap();
            let mut found = content(&at("frames"));
            // A folder that cannot be renamed stays in the old one.
            if found.iter().all(|(name, _)| name != "mine") {
                assert!(system.lacks(RENAME_FOLDERS), "{system:?}");
                found.push(("mine".into(), String::new()));
                found.sort();
            }
            let expected = [
                ("0.png", "new/0.png"),
                ("2.png", "2.png"),
                ("mine", ""),
                ("notes.txt", "notes.txt"),
            ];
            assert_eq!(found, pairs(&expected), "{system:?}");
            assert_eq!(files_in(&at("")).unwrap().len(), 1, "{system:?}");
        }
    }
}
