//! Paths in JSON that is read back: text, or a list of bytes if they are not UTF-8. Two paths never look alike.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path as JSON holds it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum PathJson {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for PathJson {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.into()),
            None => Self::Bytes(path.as_os_str().as_bytes().into()),
        }
    }
}

/// For `#[serde(with)]`.
pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    PathJson::from(path).serialize(serializer)
}

/// For `#[serde(with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match PathJson::deserialize(deserializer)? {
        PathJson::Text(text) => text.into(),
        PathJson::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

/// A path for people, in which `\xff` stands for a byte that is not UTF-8.
pub(super) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Line {
        #[serde(with = "super")]
        path: PathBuf,
    }

    #[test]
    fn any_path_is_read_back() {
        for (bytes, json, shown) in [
            ("é.mp4".as_bytes(), r#"{"path":"é.mp4"}"#, "é.mp4"),
            (b"a\xff\xfe", r#"{"path":[97,255,254]}"#, r"a\xff\xfe"),
            (b"\xc3/b", r#"{"path":[195,47,98]}"#, r"\xc3/b"),
        ] {
            let path = PathBuf::from(OsStr::from_bytes(bytes));
            assert_eq!(escaped(&path), shown);
            let written = serde_json::to_string(&Line { path: path.clone() }).unwrap();
            assert_eq!(written, json);
            assert_eq!(serde_json::from_str::<Line>(json).unwrap().path, path);
        }
    }
}
