//! A text with positions, and errors that show the line.

use std::path::Path;

use saphyr_parser::Marker;

use crate::error::Fault;
use crate::files::{self, SizeLimit};

/// Most characters of a word in a message.
pub(super) const MAX_WORD_CHARS: usize = 60;
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
    pub(super) line: usize,
    pub(super) column: usize,
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
    /// How large it may be.
    pub(crate) limit: SizeLimit,
    /// Makes the error for a faulty file from its message: wrong usage, or bad input.
    pub(crate) fault: fn(String) -> Fault,
}

impl FileKind {
    /// Reads the text of the file at `path`.
    pub(crate) fn text_of(&self, path: &Path) -> Result<String, Fault> {
        files::read_text(path, self.limit, || {
            (self.fault)(format!("cannot read {} `{}`", self.name, path.display()))
        })
    }
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
