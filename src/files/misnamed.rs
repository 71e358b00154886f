//! What a file that cannot be used really is: a placeholder of Git LFS, a web page, a checkpoint, nothing at all.
//!
//! The room that cannot read a file knows what it expected. [`explain`] adds what it got instead, as far as the first
//! and last bytes tell.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::Fault;

/// Bytes that are looked at, at the start and at the end of a file.
const LOOK: u64 = 64 << 10;

/// What a file is, if it is none of the kinds that the program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misnamed {
    /// No bytes.
    Empty,
    /// Only bytes of 0: what an interrupted copy or a failing disk leaves.
    Zeros,
    /// The text that Git stores in place of a large file.
    LfsPointer,
    /// HTML or XML: a page instead of a download.
    WebPage,
    /// The answer of a server that refused the download: JSON or a line of text.
    Refusal,
    /// What `torch.save` writes, in a ZIP archive or as a bare pickle.
    TorchCheckpoint,
    /// What `torch.jit.save` writes.
    TorchScript,
    /// Weights of Hugging Face's format.
    Safetensors,
    /// A TensorFlow Lite model.
    TfLite,
    /// HDF5, as older versions of Keras write it.
    Hdf5,
    /// A model of Keras 3.
    Keras,
    /// A ZIP archive of something else.
    Zip,
    /// Compressed with gzip.
    Gzip,
}

impl Misnamed {
    /// What the file at `path` is, if it is one of these kinds.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        // Of a pipe or a device, nothing is read.
        let file = path.metadata().ok()?;
        if !file.is_file() {
            return None;
        }
        let mut opened = File::open(path).ok()?;
        let mut read = |start: u64| -> Option<Vec<u8>> {
            let mut bytes = Vec::new();
            opened.seek(SeekFrom::Start(start)).ok()?;
            opened.by_ref().take(LOOK).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let (head, tail) = (read(0)?, read(file.len().saturating_sub(LOOK))?);
        Self::of_bytes(&head, &tail)
    }

    /// The same, of the first and the last bytes.
    pub(super) fn of_bytes(head: &[u8], tail: &[u8]) -> Option<Self> {
        let starts = |magic: &[u8]| head.starts_with(magic);
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|b| b.starts_with(magic));
        Some(match head {
            [] => Self::Empty,
            _ if head.iter().chain(tail).all(|&byte| byte == 0) => Self::Zeros,
            _ if starts(b"version https://git-lfs") => Self::LfsPointer,
            _ if starts(b"PK\x03\x04") => Self::of_zip(tail),
            [0x80, 2..=5, ..] => Self::TorchCheckpoint,
            _ if starts(b"\x89HDF\r\n\x1a\n") => Self::Hdf5,
            _ if starts(b"\x1f\x8b") => Self::Gzip,
            _ if at(4, b"TFL3") => Self::TfLite,
            // The length of the JSON that follows, in 8 bytes.
            _ if at(8, b"{\"") && at(4, &[0; 4]) => Self::Safetensors,
            _ => return Self::of_text(head),
        })
    }

    /// The kind of a ZIP archive, by the names in the list at its end.
    fn of_zip(tail: &[u8]) -> Self {
        let holds = |name: &[u8]| tail.windows(name.len()).any(|window| window == name);
        if holds(b"/code/") && holds(b"/constants.pkl") {
            Self::TorchScript
        } else if holds(b"/data.pkl") {
            Self::TorchCheckpoint
        } else if holds(b"model.weights.h5") {
            Self::Keras
        } else {
            Self::Zip
        }
    }

    /// The kind of a text that a server sends.
    fn of_text(head: &[u8]) -> Option<Self> {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let start = text.trim_ascii_start();
        let start = start[..start.len().min(64)].to_ascii_lowercase();
        let is_page = ["<!doctype", "<html", "<head", "<?xml"];
        if is_page.iter().any(|tag| start.starts_with(tag.as_bytes())) {
            return Some(Self::WebPage);
        }
        let refusals = [
            "{\"error\"",
            "{\"message\"",
            "entry not found",
            "invalid username or password",
            "repository not found",
            "access to ",
            "not found",
            "404",
        ];
        let is_short = head.len() < 4096;
        let refused = refusals
            .iter()
            .any(|text| start.starts_with(text.as_bytes()));
        (is_short && refused).then_some(Self::Refusal)
    }

    /// What it is, as the cause of an error.
    fn cause(self) -> &'static str {
        match self {
            Self::Empty => "the file is empty (0 bytes)",
            Self::Zeros => "the file holds nothing but zeros",
            Self::LfsPointer => {
                "it is a placeholder of Git LFS; the file itself was not downloaded"
            }
            Self::WebPage => "it is a web page, not the file that was to be downloaded",
            Self::Refusal => {
                "it is a server's error message, not the file that was to be downloaded"
            }
            Self::TorchCheckpoint => "it is a PyTorch checkpoint: weights without a network",
            Self::TorchScript => "it is a TorchScript file",
            Self::Safetensors => "it is a safetensors file: weights without a network",
            Self::TfLite => "it is a TensorFlow Lite model",
            Self::Hdf5 => "it is an HDF5 file, as Keras writes it",
            Self::Keras => "it is a Keras model",
            Self::Zip => "it is a ZIP archive",
            Self::Gzip => "it is compressed with gzip",
        }
    }

    /// `fault` about the file at `path`, with what the file is as the cause, and what to do as the hint.
    pub(super) fn explain(self, fault: Fault, path: &Path) -> Fault {
        fault.because(self.cause()).hint(self.hint(path))
    }

    /// How to get the right file.
    fn hint(self, path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Empty => "record, export or download it again".into(),
            Self::Zeros => "copy or download it again".into(),
            Self::LfsPointer => {
                format!("install git-lfs, then run: git lfs pull --include '*{name}'")
            }
            Self::WebPage | Self::Refusal => {
                "download it again with the link to the file itself; it may need a login".into()
            }
            Self::TorchCheckpoint | Self::Safetensors => {
                "load it into its network in PyTorch, and export that with torch.onnx.export".into()
            }
            Self::TorchScript => {
                "load it in PyTorch (torch.jit.load), and export it with torch.onnx.export".into()
            }
            Self::TfLite | Self::Hdf5 | Self::Keras => "convert it to ONNX with tf2onnx".into(),
            Self::Zip => "unpack it".into(),
            Self::Gzip => "unpack it with gunzip".into(),
        }
    }
}

/// `fault` about the file at `path`, which could not be read: if the file is something else than its name says, with that
/// as the cause and what to do as the hint.
pub(crate) fn explain(fault: Fault, path: &Path) -> Fault {
    match Misnamed::of(path) {
        Some(kind) => kind.explain(fault, path),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(names: &[&str]) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04................".to_vec();
        for name in names {
            bytes.extend_from_slice(b"PK\x01\x02............");
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }

    #[test]
    fn each_kind_is_recognized() {
        let cases: [(&[u8], Misnamed); 19] = [
            (b"", Misnamed::Empty),
            (&[0; 300], Misnamed::Zeros),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
                Misnamed::LfsPointer,
            ),
            (b"\n <!DOCTYPE html><html>", Misnamed::WebPage),
            (b"\xef\xbb\xbf<html lang=\"en\">", Misnamed::WebPage),
            (
                b"<?xml version=\"1.0\"?><Error><Code>AccessDenied",
                Misnamed::WebPage,
            ),
            (b"Entry not found", Misnamed::Refusal),
            (b"{\"error\":\"Repository not found\"}", Misnamed::Refusal),
            (
                &zip(&["archive/data.pkl", "archive/data/0"]),
                Misnamed::TorchCheckpoint,
            ),
            (
                &zip(&["net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"]),
                Misnamed::TorchScript,
            ),
            (&zip(&["config.json", "model.weights.h5"]), Misnamed::Keras),
            (&zip(&["holiday.jpg"]), Misnamed::Zip),
            (b"\x80\x02\x8a\nl\xfc\x9c", Misnamed::TorchCheckpoint),
            (b"\x80\x04\x95\x10", Misnamed::TorchCheckpoint),
            (
                b"\x40\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"}}",
                Misnamed::Safetensors,
            ),
            (b"\x1c\0\0\0TFL3\x14\0", Misnamed::TfLite),
            (b"\x89HDF\r\n\x1a\n\0\0", Misnamed::Hdf5),
            (b"\x1f\x8b\x08\0", Misnamed::Gzip),
            (b"404: Not Found", Misnamed::Refusal),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (bytes, kind) in cases {
            let path = dir.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Misnamed::of(&path), Some(kind), "{kind:?}");
        }
    }

    #[test]
    fn what_is_right_or_unknown_is_left_alone() {
        for path in [
            "models/ada/generator.onnx",
            "tests/golden/models/tiny_audio_encoder.onnx",
            "tests/golden/audio/speech.wav",
            "tests/golden/clip/background/0.png",
            "Cargo.toml",
            "src",
            "/dev/null",
            "no such file",
        ] {
            assert_eq!(Misnamed::of(Path::new(path)), None, "{path}");
        }
    }
}
