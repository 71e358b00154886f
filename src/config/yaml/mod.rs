//! The one reader of YAML files: `lipsync.yaml`, `model.yaml`, jobs files, and jobs as JSON lines.
//!
//! ```text
//! file --crate::files--> String --parser events--> tree::Node --section::Section--> typed values, each with its line
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `document` | a text and its file; errors with line, column and the line itself |
//! | `tree` | builds nodes that know their line and column from the events of `saphyr-parser` |
//! | `section` | mappings whose keys are all known; reports the nearest key, the expected type and the value found |
//!
//! `saphyr-parser` splits every file into events with positions, and `serde_yaml` types the scalars (what is a number, what
//! is `true`). Deriving whole structs through `serde_yaml` would be shorter, but its errors are plain text: the list of keys,
//! the position of an unknown key and the value found would have to be parsed back out of a sentence, `crf:` without a
//! value would silently count as missing, and settings would lose the line that `render --dry-run -v` shows for each.

mod document;
mod section;
mod tree;

pub(crate) use document::{Document, FileKind, Located, Position, shortened};
pub(crate) use section::Section;
