//! YAML in which every value knows its place: text -> a tree, sections with known keys, and faults that show the line.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::error::Fault;

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

/// Keys with values, of which all keys are known and none is there twice.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    document: &'a Document<'a>,
    /// What messages put before a key: nothing, or `gpu.`.
    prefix: String,
    /// Where it begins.
    place: Place,
    /// Each key with its place and its value.
    entries: Vec<(&'a str, Place, &'a Node)>,
}

impl<'a> Section<'a> {
    /// Reads `node` as a section with some of `keys`; messages name its keys with `prefix`.
    pub(crate) fn new(
        document: &'a Document<'a>,
        node: &'a Node,
        prefix: &str,
        keys: &[&str],
    ) -> Result<Self> {
        let name = match prefix.trim_end_matches('.') {
            "" => document.whole.into(),
            name => format!("`{name}`"),
        };
        let Content::Map(children) = &node.content else {
            let problem = format!("{name} must be keys with values, found {}", node.describe());
            return Err(document
                .fault(node.place, &problem)
                .hint(format!("its keys: {}", keys.join(", ")))
                .into());
        };
        let mut section = Self {
            document,
            prefix: prefix.into(),
            place: node.place,
            entries: Vec::new(),
        };
        let mut seen = HashMap::new();
        for pair in children.chunks_exact(2) {
            let (key, value) = (pair[0].as_ref(), pair[1].as_ref());
            let name = key.scalar().filter(|name| keys.contains(name));
            let Some(name) = name else {
                return Err(section.unknown(key, keys).into());
            };
            if let Some(line) = seen.insert(name, key.place.line) {
                let problem = format!("key `{prefix}{name}` is there twice");
                return Err(document
                    .fault(key.place, &problem)
                    .hint(format!(
                        "the first one is in line {line}; remove one of them"
                    ))
                    .into());
            }
            section.entries.push((name, key.place, value));
        }
        Ok(section)
    }

    fn unknown(&self, key: &Node, keys: &[&str]) -> Fault {
        let Some(name) = key.scalar() else {
            let problem = format!("a key must be a word, found {}", key.describe());
            return self.document.fault(key.place, &problem);
        };
        let problem = format!("unknown key `{}{}`", self.prefix, shown(name));
        self.document
            .fault(key.place, &problem)
            .hint(suggestion(name, keys))
    }

    fn entry(&self, key: &str) -> Option<(Place, &'a Node)> {
        let mut entries = self.entries.iter();
        let (_, place, value) = entries.find(|(name, _, _)| *name == key)?;
        Some((*place, value))
    }

    /// The section under `key`; none where it is missing or empty.
    pub(crate) fn section(&self, key: &str, keys: &[&str]) -> Result<Option<Self>> {
        match self.entry(key) {
            Some((_, node)) if !matches!(node.content, Content::Nothing) => {
                let prefix = format!("{}{key}.", self.prefix);
                Ok(Some(Self::new(self.document, node, &prefix, keys)?))
            }
            _ => Ok(None),
        }
    }

    /// The sections in the list under `key`; none where it is missing or empty.
    pub(crate) fn sections(&self, key: &str, keys: &[&str]) -> Result<Vec<Self>> {
        match self.entry(key) {
            Some((_, node)) if !matches!(node.content, Content::Nothing) => {
                let name = format!("{}{key}", self.prefix);
                let sections = Self::listed(self.document, node, &name, keys)?;
                Ok(sections.ok_or_else(|| self.wrong(key, "a list"))?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The sections in the list `node`, which messages call `name`; none if it is no list.
    pub(crate) fn listed(
        document: &'a Document<'a>,
        node: &'a Node,
        name: &str,
        keys: &[&str],
    ) -> Result<Option<Vec<Self>>> {
        let Content::List(items) = &node.content else {
            return Ok(None);
        };
        let sections = items.iter().enumerate().map(|(i, item)| {
            let prefix = format!("{name}[{i}].");
            Self::new(document, item, &prefix, keys)
        });
        sections.collect::<Result<_>>().map(Some)
    }

    /// Where it begins: its line, from 1.
    pub(crate) fn line(&self) -> usize {
        self.document.lines_before + self.place.line
    }

    /// Whether `key` has a number for its value, not in quotes.
    pub(crate) fn is_number(&self, key: &str) -> bool {
        let is_number = |node: &Node| match &node.content {
            Content::Plain(text) => text.parse::<f64>().is_ok(),
            _ => false,
        };
        self.entry(key).is_some_and(|(_, node)| is_number(node))
    }

    /// The value under `key` as `convert` makes it out of its text; `expected` names what it takes.
    pub(crate) fn value<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<Located<T>>> {
        let Some((_, node)) = self.entry(key) else {
            return Ok(None);
        };
        let value = node.scalar().and_then(convert);
        Ok(Some(Located {
            value: value.ok_or_else(|| self.wrong(key, expected))?,
            line: self.document.lines_before + node.place.line,
        }))
    }

    /// Text of at least one character.
    pub(crate) fn text(&self, key: &str) -> Result<Option<Located<String>>> {
        self.value(key, "text", |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// One of `words`.
    pub(crate) fn word(
        &self,
        key: &str,
        words: &[&'static str],
    ) -> Result<Option<Located<&'static str>>> {
        let Some((_, node)) = self.entry(key) else {
            return Ok(None);
        };
        let text = node.scalar().unwrap_or_default();
        if let Some(value) = words.iter().copied().find(|word| *word == text) {
            let line = self.document.lines_before + node.place.line;
            return Ok(Some(Located { value, line }));
        }
        Err(self.no_such_word(key, text, words).into())
    }

    /// One of the words that `T` has.
    pub(crate) fn choice<T: ValueEnum>(&self, key: &str) -> Result<Option<Located<T>>> {
        let Some((_, node)) = self.entry(key) else {
            return Ok(None);
        };
        let text = node.scalar().unwrap_or_default();
        if let Ok(value) = T::from_str(text, false) {
            let line = self.document.lines_before + node.place.line;
            return Ok(Some(Located { value, line }));
        }
        let words = T::value_variants().iter().filter_map(T::to_possible_value);
        let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Err(self.no_such_word(key, text, &words).into())
    }

    fn no_such_word(&self, key: &str, text: &str, words: &[&str]) -> Fault {
        let fault = self.wrong(key, &format!("one of {}", words.join(", ")));
        match nearest(text, words) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        }
    }

    /// A number in `range` that is not in quotes.
    pub(crate) fn number<T: FromStr + PartialOrd>(
        &self,
        key: &str,
        expected: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<Located<T>>> {
        self.plain(key, expected, |text| {
            text.parse().ok().filter(|n| range.contains(n))
        })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<Located<bool>>> {
        self.plain(key, "true or false", |text| text.parse().ok())
    }

    fn plain<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<Located<T>>> {
        let in_quotes = self
            .entry(key)
            .is_some_and(|(_, node)| matches!(node.content, Content::Text(_)));
        self.value(key, expected, |text| {
            (!in_quotes).then(|| convert(text)).flatten()
        })
    }

    /// The value, or a fault that says that `key` is missing.
    pub(crate) fn require<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        Ok(value.ok_or_else(|| {
            let problem = format!("key `{}{key}` is missing", self.prefix);
            self.document.fault(self.place, &problem)
        })?)
    }

    /// A fault at the value of `key`.
    pub(crate) fn fault(&self, key: &str, problem: &str) -> Fault {
        let place = self.entry(key).map_or(self.place, |(_, node)| node.place);
        self.document.fault(place, problem)
    }

    /// The value of `key` is not what it should be.
    fn wrong(&self, key: &str, expected: &str) -> Fault {
        let (place, found) = match self.entry(key) {
            // What is not there has no place of its own.
            Some((key_place, node)) if matches!(node.content, Content::Nothing) => {
                (key_place, "nothing".into())
            }
            Some((_, node)) => (node.place, node.describe()),
            None => (self.place, "nothing".into()),
        };
        let problem = format!("`{}{key}` must be {expected}, found {found}", self.prefix);
        self.document.fault(place, &problem)
    }
}

/// A hint with the key that was probably meant, else with all.
fn suggestion(name: &str, keys: &[&str]) -> String {
    match nearest(name, keys) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", keys.join(", ")),
    }
}

/// The word that differs from `name` in a third of its letters at most.
fn nearest<'w>(name: &str, words: &[&'w str]) -> Option<&'w str> {
    let name: String = name.chars().take(WORD_SHOWN).collect();
    let distances = words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&name, word), *word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.len().div_ceil(3)).then_some(word)
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
