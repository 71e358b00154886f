//! YAML in which every value knows its place: text -> a tree, sections with known keys, and faults that show the line.

mod section;

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::error::Fault;
pub(crate) use section::Section;

/// Lists and sections inside each other; the schema needs 3.
const DEEPEST: usize = 32;
/// Characters of a word that a message shows.
const WORD_SHOWN: usize = 60;
/// Characters of a line that a message shows.
const LINE_SHOWN: usize = 100;

/// A value and the line of the file where it stands, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its line, from 1.
    pub line: usize,
}

/// A place in the text; both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// A line and a column, both from 1.
    pub(crate) fn new(line: usize, column: usize) -> Self {
        Self {
            line: line.max(1),
            column: column.max(1),
        }
    }
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A value, shared by all aliases of its anchor.
#[derive(Debug)]
pub(crate) struct Node {
    place: Place,
    /// 1 for a scalar, one more than the highest child's for others.
    height: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Text(String),
    /// Not in quotes, so that it may be a number, `true` or `false`.
    Plain(String),
    List(Vec<Rc<Node>>),
    /// Keys and values in turn.
    Map(Vec<Rc<Node>>),
}

impl Node {
    fn scalar(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) | Content::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// What a message calls it.
    fn describe(&self) -> String {
        match &self.content {
            Content::Nothing => "nothing".into(),
            Content::Text(text) => format!("the text \"{}\"", shown(text)),
            Content::Plain(text) => format!("`{}`", shown(text)),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "keys with values".into(),
        }
    }
}

/// The text of a file, or of a line of it, for its messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    /// What the file is called: `config`.
    pub(crate) file: &'a str,
    /// What the whole document is called: `a config`.
    pub(crate) whole: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
    /// Lines of the file before the text.
    pub(crate) lines_before: usize,
}

impl Document<'_> {
    /// Builds the tree; none where the file holds nothing but comments.
    pub(crate) fn tree(&self) -> Result<Option<Rc<Node>>> {
        let mut parser = Parser::new_from_str(self.text);
        let mut builder = Builder::default();
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| {
                self.fault((*e.marker()).into(), &format!("not YAML: {}", e.info()))
                    .hint("indent with spaces, and put values with special characters in quotes")
            })?;
            let place = span.start.into();
            builder
                .take(event, place)
                .map_err(|problem| self.fault(place, problem))?;
        }
        let root = builder.root;
        Ok(root.filter(|root| !matches!(root.content, Content::Nothing)))
    }

    /// `problem` at `place`, with the line itself and a mark under the column.
    pub(crate) fn fault(&self, place: Place, problem: &str) -> Fault {
        let Place { line, column } = place;
        let text = self.text.split('\n').nth(line - 1).unwrap_or_default();
        let line = self.lines_before + line;
        let skipped = (column - 1).saturating_sub(LINE_SHOWN / 2);
        let excerpt: String = text.chars().skip(skipped).take(LINE_SHOWN).collect();
        let number = line.to_string();
        Fault::usage(format!(
            "cannot read {} `{}`, line {line}, column {column}",
            self.file,
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

/// Builds the tree from the parser's events without recursion.
#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    /// Lists and maps that are not yet closed, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
}

struct Open {
    place: Place,
    anchor: usize,
    is_map: bool,
    children: Vec<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), &'static str> {
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err("tags (`!..`) have no meaning here"),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document starts here; there can be only one")
            }
            Event::Scalar(text, style, anchor, None) => {
                let content = match (style, text.as_ref()) {
                    (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Content::Nothing,
                    (ScalarStyle::Plain, text) => Content::Plain(text.into()),
                    (_, text) => Content::Text(text.into()),
                };
                self.add(anchor, place, 1, content)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor);
                let node = node.ok_or("this alias stands inside what it repeats")?;
                self.attach(Rc::clone(node));
                Ok(())
            }
            Event::SequenceStart(anchor, None) => self.open(anchor, place, false),
            Event::MappingStart(anchor, None) => self.open(anchor, place, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, place: Place, is_map: bool) -> Result<(), &'static str> {
        self.open.push(Open {
            place,
            anchor,
            is_map,
            children: Vec::new(),
        });
        check_height(self.open.len())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let highest = open.children.iter().map(|child| child.height).max();
        let content = if open.is_map {
            Content::Map(open.children)
        } else {
            Content::List(open.children)
        };
        self.add(open.anchor, open.place, highest.unwrap_or(0) + 1, content)
    }

    fn add(
        &mut self,
        anchor: usize,
        place: Place,
        height: usize,
        content: Content,
    ) -> Result<(), &'static str> {
        // Aliases of aliases would otherwise make a tree too high to be dropped.
        check_height(height)?;
        let node = Rc::new(Node {
            place,
            height,
            content,
        });
        // The parser counts anchors from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node);
        Ok(())
    }

    fn attach(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
    }
}

fn check_height(height: usize) -> Result<(), &'static str> {
    if height > DEEPEST {
        return Err("lists and sections lie too deep inside each other");
    }
    Ok(())
}

/// A word as messages show it: not too long, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(WORD_SHOWN).collect();
    if short.len() < text.len() {
        short += "..";
    }
    printable(&short)
}

fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect()
}
