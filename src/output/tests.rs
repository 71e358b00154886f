//! The life of an output: staged, moved into place or kept.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::moves::Moves;
use super::{OutputKind, StagedOutput, Target};
use crate::cancel::Cancel;
use crate::error::ErrorReport;

fn target(path: PathBuf, kind: OutputKind, force: bool) -> Target {
    Target { path, kind, force }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_dropped_output_leaves_nothing_and_a_committed_one_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("a clip.mp4");
    drop(
        target(clip.clone(), OutputKind::File, false)
            .begin()
            .unwrap(),
    );
    assert!(names(dir.path()).is_empty());
    let staged = target(clip.clone(), OutputKind::File, false)
        .begin()
        .unwrap();
    fs::write(staged.path(), b"clip").unwrap();
    staged.commit().unwrap();
    assert_eq!(names(dir.path()), ["a clip.mp4"]);
    assert_eq!(fs::read(clip).unwrap(), b"clip");
}

/// A file system that can move nothing.
struct Sealed;

impl Moves for Sealed {
    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn exchange(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_new(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_new(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_new(from, to)
    }
}

/// A staged clip.
fn clip(path: &Path, force: bool) -> StagedOutput {
    let staged = target(path.to_owned(), OutputKind::File, force)
        .begin()
        .unwrap();
    fs::write(staged.path(), b"clip").unwrap();
    staged
}

#[test]
fn an_output_that_appears_meanwhile_is_not_overwritten_and_the_new_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    let staged = clip(&path, false);
    fs::write(&path, b"another clip").unwrap();
    let report = ErrorReport::of(&staged.commit().unwrap_err());
    assert_eq!(fs::read(&path).unwrap(), b"another clip");
    let names = names(dir.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        report.causes[0].ends_with(&format!("/{}`", names[0])),
        "{report:?}"
    );
    assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), b"clip");
    // It is nobody's leftover.
    drop(clip(&path, true));
    assert!(dir.path().join(&names[0]).exists());
}

#[test]
fn an_output_that_cannot_be_moved_stays_where_it_is() {
    for force in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let staged = clip(&path, force);
        let report = ErrorReport::of(&staged.commit_with(&Sealed).unwrap_err());
        let names = names(dir.path());
        assert!(
            report.causes[0].starts_with("permission denied; "),
            "{report:?}"
        );
        assert!(
            report.causes[0].contains(&format!("/{}`", names[0])),
            "{report:?}"
        );
        assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), b"clip");
    }
}

#[test]
fn a_link_is_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("disk")).unwrap();
    symlink("disk/a.mp4", at("a.mp4")).unwrap();
    // Something is there, even if it leads nowhere.
    assert!(
        target(at("a.mp4"), OutputKind::File, false)
            .begin()
            .is_err()
    );
    clip(&at("a.mp4"), true).commit().unwrap();
    assert!(at("a.mp4").is_symlink());
    assert_eq!(
        (names(dir.path()).len(), names(&at("disk"))),
        (2, vec!["a.mp4".into()])
    );
    fs::create_dir(at("disk/frames")).unwrap();
    symlink("disk/frames", at("frames")).unwrap();
    for force in [false, true] {
        let frames = target(at("frames"), OutputKind::Frames, force)
            .begin()
            .unwrap();
        fs::write(frames.path().join("0.png"), b"frame").unwrap();
        frames.commit().unwrap();
        assert!(at("frames").is_symlink());
        assert_eq!(names(&at("disk/frames")), ["0.png"]);
    }
    assert_eq!(names(&at("disk")), ["a.mp4", "frames"]);
}

#[test]
fn clips_do_not_go_to_pipes_and_devices() {
    let null = PathBuf::from("/dev/null");
    let error = target(null.clone(), OutputKind::File, true)
        .begin()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write `/dev/null`: it is a device"
    );
    assert!(
        target(null.clone(), OutputKind::Frames, true)
            .check()
            .is_err()
    );
    let report = target(null, OutputKind::Streamable, false);
    report.check().unwrap();
    report.save(b"report", &Cancel::default()).unwrap();
    let dash = target("-".into(), OutputKind::Frames, false);
    assert!(dash.check().is_err());
}

#[test]
fn abandoned_outputs_are_removed_and_living_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    for name in [
        ".a.mp4.99999999.part",
        ".a.mp4.99999999-2.part",
        ".a.mp4.lipsync-0123456789ab.part",
        ".a.mp4.mine.part",
    ] {
        fs::write(dir.path().join(name), b"left").unwrap();
    }
    // Old frames, and what somebody put among them.
    let frames = dir.path().join(".a.mp4.lipsync-ba9876543210.part");
    fs::create_dir(&frames).unwrap();
    fs::write(frames.join("0.png"), b"left").unwrap();
    fs::write(frames.join("notes.txt"), b"not ours").unwrap();
    let living = dir.path().join(".a.mp4.99999998.part");
    fs::write(&living, b"in use").unwrap();
    let other = File::open(&living).unwrap();
    other.try_lock().unwrap();
    drop(clip(&path, false));
    let mut names = names(dir.path());
    let kept = names.pop().unwrap();
    assert!(kept.starts_with("a.kept-"), "{kept}");
    assert_eq!(self::names(&dir.path().join(kept)), ["notes.txt"]);
    assert_eq!(names, [".a.mp4.99999998.part", ".a.mp4.mine.part"]);
}

#[test]
fn runs_that_start_together_do_not_take_each_other_for_abandoned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    std::thread::scope(|scope| {
        for kind in [OutputKind::File, OutputKind::Frames].repeat(4) {
            let path = path.with_extension(if kind == OutputKind::File {
                "mp4"
            } else {
                "png"
            });
            scope.spawn(move || {
                for _ in 0..200 {
                    let staged = target(path.clone(), kind, true).begin().unwrap();
                    assert!(staged.removed().is_none());
                }
            });
        }
    });
    assert!(names(dir.path()).is_empty());
}

#[test]
fn force_replaces_a_folder_of_frames_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let frames = dir.path().join("frames");
    fs::create_dir(&frames).unwrap();
    fs::write(frames.join("000000.png"), b"old").unwrap();
    assert!(
        target(frames.clone(), OutputKind::Frames, false)
            .begin()
            .is_err()
    );
    let staged = target(frames.clone(), OutputKind::Frames, true)
        .begin()
        .unwrap();
    fs::write(staged.path().join("000001.png"), b"new").unwrap();
    staged.commit().unwrap();
    assert_eq!(
        (names(dir.path()), names(&frames)),
        (vec!["frames".into()], vec!["000001.png".into()])
    );
    // What others put there during the work stays.
    let staged = target(frames.clone(), OutputKind::Frames, true)
        .begin()
        .unwrap();
    fs::write(staged.path().join("000002.png"), b"new").unwrap();
    fs::write(frames.join("notes.txt"), b"mine").unwrap();
    staged.commit().unwrap();
    assert_eq!(names(&frames), ["000002.png", "notes.txt"]);
    assert!(
        target(frames.clone(), OutputKind::Frames, true)
            .begin()
            .is_err()
    );
    assert_eq!(names(&frames), ["000002.png", "notes.txt"]);
}
