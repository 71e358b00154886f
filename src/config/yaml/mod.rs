//! The one reader of YAML files: `lipsync.yaml`, `model.yaml`, jobs files, and jobs as JSON lines.
//!
//! ```text
//! file --text--> String --parser events--> tree::Node --section::Section--> typed values, each with its line
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `text` | reads a file up to a size limit; UTF-8, with or without a byte-order mark |
//! | `tree` | builds nodes that know their line and column from the events of `saphyr-parser` |
//! | `section` | mappings whose keys are all known; reports the nearest key, the expected type and the value found |
//!
//! `saphyr-parser` splits every file into events with positions, and `serde_yaml` types the scalars (what is a number, what
//! is `true`). Deriving whole structs through `serde_yaml` would be shorter, but its errors are plain text: the list of keys,
//! the position of an unknown key and the value found would have to be parsed back out of a sentence, `crf:` without a
//! value would silently count as missing, and settings would lose the line that `render --dry-run -v` shows for each.

mod section;
mod text;
mod tree;

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use saphyr_parser::Marker;

use crate::error::Fault;
pub(crate) use section::Section;
use tree::Node;

/// Most characters of a word in a message.
const MAX_WORD_CHARS: usize = 60;
/// Most characters of a line in a message.
const MAX_LINE_CHARS: usize = 100;

/// A value and its line in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The line, from 1.
    pub line: usize,
}

impl<T> Located<T> {
    /// Converts the value; the line stays.
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: convert(self.value),
            line: self.line,
        }
    }
}

/// A position in the text: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// A line and a column; 0 counts as 1.
    pub(crate) fn new(line: usize, column: usize) -> Self {
        Self {
            line: line.max(1),
            column: column.max(1),
        }
    }
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self::new(marker.line(), marker.col() + 1)
    }
}

/// A kind of file that is read as YAML.
#[derive(Debug)]
pub(crate) struct FileKind {
    /// What messages call it: `config`.
    pub(crate) name: &'static str,
    /// Larger files are refused.
    pub(crate) max_bytes: u64,
    /// Makes the error for a faulty file from its message: wrong usage, or bad input.
    pub(crate) fault: fn(String) -> Fault,
}

/// The text of a file, or one line of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) kind: &'static FileKind,
    /// What messages call the root of the document: `a config`.
    pub(crate) root: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
    /// How many lines of the file precede the text.
    pub(crate) lines_before: usize,
}

impl Document<'_> {
    /// Builds the tree; none if the document is empty.
    pub(crate) fn tree(&self) -> Result<Option<Rc<Node>>> {
        tree::build(self)
    }

    /// An error: `problem` at `position`, with the line itself and a mark under the column.
    pub(crate) fn fault(&self, position: Position, problem: &str) -> Fault {
        let Position { line, column } = position;
        let text = self.text.split('\n').nth(line - 1).unwrap_or_default();
        let line = self.lines_before + line;
        let skipped = (column - 1).saturating_sub(MAX_LINE_CHARS / 2);
        let excerpt: String = text.chars().skip(skipped).take(MAX_LINE_CHARS).collect();
        let number = line.to_string();
        (self.kind.fault)(format!(
            "cannot read {} `{}`, line {line}, column {column}",
            self.kind.name,
            self.path.display(),
        ))
        .because(format!(
            "{problem}\n{number} | {}\n{:width$} | {:indent$}^",
            printable(excerpt.trim_end()),
            "",
            "",
            width = number.len(),
            indent = column - 1 - skipped,
        ))
    }
}

/// A word for a message: shortened, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_WORD_CHARS).collect();
    if short.len() < text.len() {
        short += "..";
    }
    printable(&short)
}

fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
}
