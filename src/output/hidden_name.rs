//! The hidden name of an output that is being written: `.NAME.PID.part`, or `.NAME.PID-2.part` for a process's second copy.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a name that leave room for what is added: most file systems take 255.
const LONGEST_NAME: usize = 230;
/// Marks the second copy of one output in one process.
pub(super) const SECOND_COPY: &str = "-2";

/// The hidden name of this process's copy of the output at `path`; `suffix` is empty or [`SECOND_COPY`].
pub(super) fn hidden_name(path: &Path, suffix: &str) -> OsString {
    let mut name = prefix(path);
    name.push(format!("{}{suffix}.part", std::process::id()));
    name
}

/// `.NAME.`, with which all hidden names of the output at `path` begin. Long names are shortened, and a hash keeps them
/// apart.
pub(super) fn prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default();
    let mut prefix = OsString::from(".");
    if name.len() <= LONGEST_NAME {
        prefix.push(name);
    } else {
        let bytes = name.as_encoded_bytes();
        let mut beginning = String::from_utf8_lossy(&bytes[..LONGEST_NAME / 2]);
        while beginning.ends_with(char::REPLACEMENT_CHARACTER) {
            beginning.to_mut().pop();
        }
        prefix.push(format!("{beginning}~{:016x}", xxh3_64(bytes)));
    }
    prefix.push(".");
    prefix
}

/// The prefix, `.NAME.`, if `name` is a hidden name.
pub(super) fn prefix_of(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_encoded_bytes().strip_suffix(b".part")?;
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let (prefix, middle) = name.split_at(dot + 1);
    let pid = middle
        .strip_suffix(SECOND_COPY.as_bytes())
        .unwrap_or(middle);
    let is_number = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    (is_number && prefix.starts_with(b".")).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let name = |last: char| hidden_name(Path::new(&("é".repeat(120) + &last.to_string())), "");
        let [a, b] = ['a', 'b'].map(name);
        assert!(a.len() < 255 && a != b, "{a:?} {b:?}");
        assert_eq!(a.to_str().unwrap().matches('é').count(), 57);
        assert!(prefix_of(&a).is_some());
    }

    #[test]
    fn only_hidden_names_have_a_prefix() {
        let of = |name| prefix_of(OsStr::new(name));
        assert_eq!(of(".a.mp4.12.part"), Some(&b".a.mp4."[..]));
        assert_eq!(of(".a.mp4.12-2.part"), Some(&b".a.mp4."[..]));
        for other in [
            "a.mp4.12.part",
            ".a.mp4.mine.part",
            ".a.mp4..part",
            ".a.mp4",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
