//! Kinds of outputs.

use std::path::Path;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// One file.
    File,
    /// One file that is written from front to back: it may also go to stdout (`-`), a pipe or a device.
    Streamable,
    /// A folder of numbered PNGs.
    Frames,
    /// A folder of numbered PNGs and `plot.png`: the pictures of a comparison.
    Pictures,
    /// A background folder as `prepare` writes it: numbered PNGs, and files that describe them.
    Prepared,
    /// A stream to stdout, whatever the path.
    Stdout,
}

/// What a prepared folder holds beside its frames.
const PREPARED_FILES: [&str; 5] = [
    "crop_rects.json",
    "landmarks.json",
    "audio.wav",
    "prepare.json",
    "prepare.png",
];

impl OutputKind {
    /// The kinds that are folders.
    pub(super) const FOLDERS: [Self; 3] = [Self::Frames, Self::Pictures, Self::Prepared];

    pub(super) fn is_folder(self) -> bool {
        Self::FOLDERS.contains(&self)
    }

    /// What a folder of this kind holds, for messages: the content, the names of its files, and the flag that asks for it.
    pub(super) fn folder_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pictures => (
                "pictures of a comparison",
                "numbered PNGs and plot.png",
                "--diff",
            ),
            Self::Prepared => (
                "a prepared background",
                "numbered PNGs and what describes them",
                "-o",
            ),
            _ => ("frames", "numbered PNGs", "--frames"),
        }
    }

    /// Whether a folder of this kind may hold this file.
    pub(super) fn may_hold(self, path: &Path) -> bool {
        let is_number = path
            .file_stem()
            .is_some_and(|stem| stem.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        let is_numbered_png = is_number && path.extension().is_some_and(|e| e == "png");
        let others: &[&str] = match self {
            Self::Pictures => &["plot.png"],
            Self::Prepared => &PREPARED_FILES,
            _ => &[],
        };
        let mut others = others.iter();
        let is_other = others.any(|other| path.file_name().is_some_and(|name| name == *other));
        (is_numbered_png || is_other) && path.is_file()
    }
}
