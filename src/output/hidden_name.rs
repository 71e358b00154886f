//! The hidden name of an output that is being written, `.NAME.lipsync-RANDOM.part`, and the name of one that could not be
//! moved into place.
//!
//! Names are random: process IDs repeat between containers that share a folder. Version 0.1.0 used them
//! (`.NAME.PID.part`), and their leftovers are still recognised.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a name that leave room for what is added: most file systems take 255.
const LONGEST_NAME: usize = 226;
/// Begins the random part of a hidden name.
const MARK: &[u8] = b"lipsync-";
/// Marked the second copy of one output in one process, in names with a process ID.
const SECOND_COPY: &[u8] = b"-2";

/// A new hidden name for the output at `path`.
pub(super) fn hidden_name(path: &Path) -> OsString {
    let mut name = prefix(path);
    name.push(format!("lipsync-{}.part", random()));
    name
}

/// A new visible name next to `path`, for an output that could not be moved there: `NAME.kept-RANDOM.EXTENSION`.
pub(super) fn kept_name(path: &Path) -> OsString {
    let mut name = shortened(path.file_stem().unwrap_or_default());
    name.push(format!(".kept-{}", random()));
    if let Some(extension) = path.extension().filter(|e| e.len() < 10) {
        name.push(".");
        name.push(extension);
    }
    name
}

/// `.NAME.`, with which all hidden names of the output at `path` begin.
pub(super) fn prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(shortened(path.file_name().unwrap_or_default()));
    prefix.push(".");
    prefix
}

/// The prefix, `.NAME.`, if `name` is a hidden name.
pub(super) fn prefix_of(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_encoded_bytes().strip_suffix(b".part")?;
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let (prefix, middle) = name.split_at(dot + 1);
    let is_ours = match middle.strip_prefix(MARK) {
        Some(random) => random.len() == RANDOM && random.iter().all(u8::is_ascii_hexdigit),
        None => is_pid(middle.strip_suffix(SECOND_COPY).unwrap_or(middle)),
    };
    (is_ours && prefix.starts_with(b".")).then_some(prefix)
}

fn is_pid(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Digits of the random part.
const RANDOM: usize = 12;

/// 48 random bits: the standard library seeds each thread's hashers from the system.
fn random() -> String {
    let digits = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    digits[..RANDOM].to_owned()
}

/// Long names are shortened, and a hash keeps them apart.
fn shortened(name: &OsStr) -> OsString {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let bytes = name.as_encoded_bytes();
    let mut beginning = String::from_utf8_lossy(&bytes[..LONGEST_NAME / 2]);
    while beginning.ends_with(char::REPLACEMENT_CHARACTER) {
        beginning.to_mut().pop();
    }
    format!("{beginning}~{:016x}", xxh3_64(bytes)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let path = |last: char| "é".repeat(120) + &last.to_string() + ".mp4";
        let [a, b] = ['a', 'b'].map(|last| hidden_name(Path::new(&path(last))));
        assert!(a.len() < 255, "{a:?}");
        assert_ne!(prefix_of(&a).unwrap(), prefix_of(&b).unwrap());
        assert_eq!(a.to_str().unwrap().matches('é').count(), 56);
        let longest = "x".repeat(250) + ".mp4";
        for name in [hidden_name, kept_name] {
            assert!(name(Path::new(&longest)).len() <= 255);
            assert!(name(Path::new(&"x".repeat(LONGEST_NAME))).len() <= 255);
        }
    }

    #[test]
    fn only_hidden_names_have_a_prefix() {
        let of = |name| prefix_of(OsStr::new(name));
        assert_eq!(
            of(".a.mp4.lipsync-0123456789ab.part"),
            Some(&b".a.mp4."[..])
        );
        assert_eq!(of(".a.mp4.12.part"), Some(&b".a.mp4."[..]));
        assert_eq!(of(".a.mp4.12-2.part"), Some(&b".a.mp4."[..]));
        for other in [
            "a.mp4.12.part",
            ".a.mp4.mine.part",
            ".a.mp4.lipsync-mine.part",
            ".a.mp4..part",
            ".a.mp4",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        let kept = kept_name(Path::new("a.mp4"));
        assert!(prefix_of(&kept).is_none() && kept.as_encoded_bytes().ends_with(b".mp4"));
    }

    #[test]
    fn no_name_comes_twice() {
        let names: std::collections::HashSet<OsString> =
            (0..1000).map(|_| hidden_name(Path::new("a.mp4"))).collect();
        assert_eq!(names.len(), 1000);
    }
}
