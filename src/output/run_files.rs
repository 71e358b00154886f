//! The files of a run: no two outputs may be one file, and no output may be an input.
//!
//! Files are compared by identity: links, other spellings, and names that differ only in case where the file system ignores
//! it all lead to the same file.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::kind::OutputKind;
use super::place::{Place, Stream};
use super::target::Target;
use crate::error::Fault;

/// The outputs and inputs of a run.
#[derive(Debug, Default)]
pub struct RunFiles {
    outputs: Vec<UsedFile>,
    inputs: Vec<UsedFile>,
}

/// A file, and what the run uses it for.
#[derive(Debug)]
struct UsedFile {
    role: String,
    path: PathBuf,
    /// What other paths of the same file have as well.
    keys: Vec<Key>,
    is_folder: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Stdout,
    Path(PathBuf),
    /// Device and number of an existing file or folder.
    Inode(u64, u64),
}

impl Key {
    /// Of a regular file or a folder: any number of outputs may go to `/dev/null`.
    fn of(about: &Metadata) -> Option<Self> {
        // Some file systems have no numbers.
        let has_identity = (about.is_file() || about.is_dir()) && about.ino() != 0;
        has_identity.then(|| Self::Inode(about.dev(), about.ino()))
    }
}

impl RunFiles {
    /// Adds an output. `role` is how messages name it: an option, or "the output".
    #[must_use]
    pub fn output(mut self, role: impl Into<String>, target: &Target) -> Self {
        let place = match target.kind {
            OutputKind::Stdout => Some(Place::Stream(Stream::Descriptor(1))),
            _ => target.place().ok(),
        };
        self.outputs.extend(place.map(|place| UsedFile {
            role: role.into(),
            path: target.path.clone(),
            keys: keys_of(&place),
            is_folder: target.kind.is_folder(),
        }));
        self
    }

    /// Adds the output of all commands that print a result.
    #[must_use]
    pub(crate) fn printed(mut self, role: &str) -> Self {
        self.outputs.push(UsedFile {
            role: role.into(),
            path: "-".into(),
            keys: keys_of(&Place::Stream(Stream::Descriptor(1))),
            is_folder: false,
        });
        self
    }

    /// Adds an input. One that does not exist is the concern of whoever reads it.
    #[must_use]
    pub fn input(mut self, role: impl Into<String>, path: &Path) -> Self {
        if let Ok(about) = fs::metadata(path) {
            self.inputs.push(UsedFile {
                role: role.into(),
                path: path.to_owned(),
                keys: Key::of(&about).into_iter().collect(),
                is_folder: false,
            });
        }
        self
    }

    /// Adds inputs with the same role.
    #[must_use]
    pub fn inputs<'a>(self, role: &str, paths: impl IntoIterator<Item = &'a Path>) -> Self {
        paths
            .into_iter()
            .fold(self, |files, path| files.input(role, path))
    }

    /// Adds all of another run, which is named after the role of each of its outputs.
    #[must_use]
    pub(crate) fn and(mut self, other: Self, run: &str) -> Self {
        self.outputs
            .extend(other.outputs.into_iter().map(|mut file| {
                file.role.push_str(run);
                file
            }));
        self.inputs.extend(other.inputs);
        self
    }

    /// Fails if two of them are one file and at least one of the two is an output, or if one lies in a folder that is an
    /// output.
    pub fn check(&self) -> Result<()> {
        let mut outputs: HashMap<&Key, &UsedFile> = HashMap::new();
        for output in &self.outputs {
            for key in &output.keys {
                if let Some(other) = outputs.insert(key, output) {
                    return Err(written_twice(other, output).into());
                }
            }
        }
        for input in &self.inputs {
            if let Some(output) = input.keys.iter().find_map(|key| outputs.get(key)) {
                return Err(overwritten(input, output).into());
            }
        }
        if self.outputs.iter().any(|output| output.is_folder) {
            for file in self.outputs.iter().chain(&self.inputs) {
                if let Some(folder) = file.folders().find_map(|key| outputs.get(&key).copied()) {
                    return Err(inside(file, folder).into());
                }
            }
        }
        Ok(())
    }
}

impl UsedFile {
    /// The folders that hold it.
    fn folders(&self) -> impl Iterator<Item = Key> {
        let place = match Place::of(&self.path) {
            Ok(Place::File(place)) if !self.keys.contains(&Key::Stdout) => place,
            _ => PathBuf::new(),
        };
        let folders: Vec<PathBuf> = place.ancestors().skip(1).map(Path::to_owned).collect();
        folders.into_iter().flat_map(|folder| {
            let inode = fs::metadata(&folder).ok().and_then(|about| Key::of(&about));
            inode.into_iter().chain([Key::Path(folder)])
        })
    }
}

fn keys_of(place: &Place) -> Vec<Key> {
    let inode = |path: &Path| fs::metadata(path).ok().and_then(|about| Key::of(&about));
    match place {
        Place::File(path) => inode(path)
            .into_iter()
            .chain([Key::Path(path.clone())])
            .collect(),
        Place::Stream(Stream::Descriptor(number)) => {
            // The shell may have led it to a file.
            let file = inode(format!("/dev/fd/{number}").as_ref());
            let stdout = (*number == 1).then_some(Key::Stdout);
            file.into_iter().chain(stdout).collect()
        }
        Place::Stream(_) | Place::Unfit(_) => Vec::new(),
    }
}

fn written_twice(one: &UsedFile, other: &UsedFile) -> Fault {
    let fault = if one.keys.contains(&Key::Stdout) && other.keys.contains(&Key::Stdout) {
        Fault::usage(format!("{} and {} both go to stdout", one.role, other.role))
    } else {
        let (role, path) = (&one.role, other.path.display());
        Fault::usage(format!(
            "{role} and {} are the same file, `{path}`",
            other.role
        ))
    };
    fault.hint("choose another name for one of them")
}

fn overwritten(input: &UsedFile, output: &UsedFile) -> Fault {
    let (output, input, path) = (&output.role, &input.role, input.path.display());
    Fault::usage(format!("{output} would overwrite {input} `{path}`"))
        .hint("choose another name for the output")
}

fn inside(file: &UsedFile, folder: &UsedFile) -> Fault {
    Fault::usage(format!(
        "{} `{}` is in the folder of {}, `{}`",
        file.role,
        file.path.display(),
        folder.role,
        folder.path.display()
    ))
    .because("that folder is replaced as a whole")
    .hint("choose another place for one of them")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::ErrorReport;

    fn target(path: &Path, kind: OutputKind) -> Target {
        Target {
            path: path.to_owned(),
            kind,
            force: true,
        }
    }

    fn said(files: &RunFiles) -> Option<String> {
        files.check().err().map(|e| ErrorReport::of(&e).message)
    }

    #[test]
    fn one_file_is_found_however_it_is_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("speech.wav"), "").unwrap();
        symlink("folder", at("link")).unwrap();
        symlink("speech.wav", at("other.wav")).unwrap();
        symlink("folder/a.mp4", at("dangling.mp4")).unwrap();
        fs::hard_link(at("speech.wav"), at("second.wav")).unwrap();
        let one =
            |path: &str| RunFiles::default().output("-o", &target(&at(path), OutputKind::File));
        for (path, other) in [
            ("a.mp4", "./a.mp4"),
            ("a.mp4", "folder/../a.mp4"),
            ("folder/a.mp4", "link/a.mp4"),
            ("folder/a.mp4", "dangling.mp4"),
            ("missing/a.mp4", "missing/./a.mp4"),
            ("speech.wav", "other.wav"),
            ("speech.wav", "second.wav"),
        ] {
            let report = target(&at(other), OutputKind::Streamable);
            let message = said(&one(path).output("--report", &report)).unwrap();
            assert!(
                message.starts_with("-o and --report are the same file, `"),
                "{message}"
            );
            let message = said(&one(path).input("the audio file", &at(other)));
            let expected = at(other)
                .exists()
                .then_some("-o would overwrite the audio file `");
            assert_eq!(message.as_deref().and_then(|m| m.get(..35)), expected);
        }
        for (path, other) in [
            ("a.mp4", "b.mp4"),
            ("a.mp4", "folder/a.mp4"),
            ("a.mp4", "A.mp4"),
        ] {
            let report = target(&at(other), OutputKind::Streamable);
            assert_eq!(said(&one(path).output("--report", &report)), None);
        }
    }

    #[test]
    fn nothing_lies_in_a_folder_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("frames")).unwrap();
        let frames =
            |name| RunFiles::default().output("--frames", &target(&at(name), OutputKind::Frames));
        for name in ["frames", "new"] {
            let report = target(&at(name).join("r.json"), OutputKind::Streamable);
            assert!(
                said(&frames(name).output("--report", &report))
                    .unwrap()
                    .contains("is in the folder of --frames")
            );
        }
        for name in ["frames/0.png", "0.png"] {
            fs::write(at(name), "").unwrap();
            let message = said(&frames("frames").input("the background", &at(name)));
            assert_eq!(message.is_some(), name.starts_with("frames"));
        }
    }

    #[test]
    fn stdout_is_taken_once_and_nothing_is_lost_in_dev_null() {
        let to = |path: &str| target(Path::new(path), OutputKind::Streamable);
        let both = |a: &str, b: &str| {
            said(
                &RunFiles::default()
                    .output("--json", &to(a))
                    .output("--plot", &to(b)),
            )
        };
        assert_eq!(
            both("-", "/dev/stdout").unwrap(),
            "--json and --plot both go to stdout"
        );
        assert!(both("/dev/null", "/dev/null").is_none());
        let printed = RunFiles::default()
            .printed("the table")
            .output("--json", &to("-"));
        assert_eq!(
            said(&printed).unwrap(),
            "the table and --json both go to stdout"
        );
    }
}
