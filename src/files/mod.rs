//! Files that are read whole: regular files up to a limit, and text in UTF-8 with or without a byte-order mark.
//!
//! A pipe would block until somebody writes to it, and a device such as `/dev/zero` never ends: both are refused before they
//! are opened.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

pub(crate) mod misnamed;

use crate::error::{Fault, plain_io};
use misnamed::Misnamed;

/// How large a file of some kind may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeLimit {
    /// What messages call the kind, with its article: `a config`.
    pub(crate) kind: &'static str,
    /// Larger files are refused.
    pub(crate) bytes: u64,
}

/// Opens the file at `path`, unless it is a pipe, a socket or a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    check(path)?;
    File::open(path)
}

/// Fails if there is no file at `path`, or if it is a pipe, a socket or a device. An empty device and the pipes of a shell's
/// `<(command)` are fine: they end.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    let is_null = path == Path::new("/dev/null");
    let of_shell = ["/dev/fd", "/proc/self/fd"].map(|folder| path.starts_with(folder));
    let ends =
        is_null || kind.is_fifo() && (of_shell.contains(&true) || path == Path::new("/dev/stdin"));
    if kind.is_file() || kind.is_dir() || ends {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        "it is a pipe or a device, not a file",
    ))
}

/// Reads the file at `path`; `fault` begins the error.
pub(crate) fn read(
    path: &Path,
    limit: SizeLimit,
    fault: impl Fn() -> Fault,
) -> Result<Vec<u8>, Fault> {
    let file = open(path).map_err(|e| fault().because(plain_io(&e)))?;
    read_all(file, limit, fault)
}

/// Reads the text file at `path`; `fault` begins the error.
pub(crate) fn read_text(
    path: &Path,
    limit: SizeLimit,
    fault: impl Fn() -> Fault,
) -> Result<String, Fault> {
    let bytes = read(path, limit, &fault)?;
    match Misnamed::of_bytes(&bytes, &bytes) {
        Some(kind @ (Misnamed::LfsPointer | Misnamed::WebPage)) => Err(kind.explain(fault(), path)),
        _ => as_text(bytes, fault),
    }
}

/// Reads the text of `source` to its end; `fault` begins the error.
pub(crate) fn text_from(
    source: impl Read,
    limit: SizeLimit,
    fault: impl Fn() -> Fault,
) -> Result<String, Fault> {
    as_text(read_all(source, limit, &fault)?, fault)
}

fn read_all(
    source: impl Read,
    limit: SizeLimit,
    fault: impl Fn() -> Fault,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = source.take(limit.bytes + 1).read_to_end(&mut bytes);
    read.map_err(|e| fault().because(plain_io(&e)))?;
    if bytes.len() as u64 > limit.bytes {
        return Err(fault()
            .because(format!(
                "it is larger than {} MiB, the limit for {}",
                limit.bytes >> 20,
                limit.kind
            ))
            .hint("is this the right file?"));
    }
    Ok(bytes)
}

fn as_text(bytes: Vec<u8>, fault: impl Fn() -> Fault) -> Result<String, Fault> {
    // With a byte-order mark, or one of the first two characters below U+0100 in two bytes.
    let begins_as_utf_16 = matches!(
        bytes[..],
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, (1..), ..] | [(1..), 0, ..]
    );
    if begins_as_utf_16 {
        return Err(fault()
            .because("it is UTF-16 text")
            .hint("save the file as UTF-8"));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        fault()
            .because(format!("line {line} is not UTF-8 text"))
            .hint("save the file as UTF-8")
    })?;
    // Some editors begin files with a byte-order mark.
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorReport;

    const LIMIT: SizeLimit = SizeLimit {
        kind: "a test",
        bytes: 1 << 20,
    };

    fn fault() -> Fault {
        Fault::failed("cannot read it")
    }

    fn cause(result: Result<String, Fault>) -> String {
        ErrorReport::of(&result.unwrap_err().into())
            .causes
            .join("\n")
    }

    #[test]
    fn text_is_utf_8_with_or_without_a_mark() {
        let text = |bytes: &[u8]| text_from(bytes, LIMIT, fault);
        assert_eq!(text(b"\xef\xbb\xbfa\r\n").unwrap(), "a\r\n");
        assert_eq!(text(b"").unwrap(), "");
        for utf_16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"[\0]\0", b"\0[\0]"] {
            assert_eq!(cause(text(utf_16)), "it is UTF-16 text");
        }
        assert_eq!(cause(text(b"a\nb\xff")), "line 2 is not UTF-8 text");
    }

    #[test]
    fn large_and_endless_files_are_refused() {
        let large = vec![b'a'; (1 << 20) + 1];
        assert!(text_from(&large[1..], LIMIT, fault).is_ok());
        assert_eq!(
            cause(text_from(&large[..], LIMIT, fault)),
            "it is larger than 1 MiB, the limit for a test"
        );
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/full")] {
            assert_eq!(
                cause(read_text(path, LIMIT, fault)),
                "it is a pipe or a device, not a file"
            );
        }
        assert_eq!(read_text(Path::new("/dev/null"), LIMIT, fault).unwrap(), "");
        assert_eq!(cause(read_text(dir.path(), LIMIT, fault)), "is a directory");
    }
}
