//! Keys with values of kinds that are known, and what is told of those that are not.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum;

use super::{Content, Document, Located, Node, Place, WORD_SHOWN, shown};
use crate::error::Fault;

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

    /// Whether `key` is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
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
