//! Mappings with known keys: typed access to their values, and precise errors for everything else.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use anyhow::Result;
use clap::ValueEnum;
use serde::de::DeserializeOwned;

use super::tree::{Content, Node};
use super::{Document, Located, MAX_WORD_CHARS, Position, shortened};
use crate::error::Fault;

/// A mapping whose keys are all known; none occurs twice.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    document: &'a Document<'a>,
    /// What precedes a key in messages: nothing, or `gpu.`.
    prefix: String,
    /// Where the mapping begins.
    position: Position,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    key: &'a str,
    /// Where the key begins.
    position: Position,
    value: &'a Node,
}

impl<'a> Section<'a> {
    /// Reads `node` as a mapping with some of `keys`; `prefix` precedes its keys in messages.
    pub(crate) fn new(
        document: &'a Document<'a>,
        node: &'a Node,
        prefix: &str,
        keys: &[&str],
    ) -> Result<Self> {
        let Content::Mapping(children) = &node.content else {
            let name = match prefix.trim_end_matches('.') {
                "" => document.root.into(),
                name => format!("`{name}`"),
            };
            let problem = format!("{name} must be a mapping, found {}", node.describe());
            return Err(document
                .fault(node.position, &problem)
                .hint(format!("valid keys: {}", keys.join(", ")))
                .into());
        };
        let mut section = Self {
            document,
            prefix: prefix.into(),
            position: node.position,
            entries: Vec::new(),
        };
        let mut first_lines = HashMap::new();
        for pair in children.chunks_exact(2) {
            let (key, value) = (pair[0].as_ref(), pair[1].as_ref());
            let name = key.scalar().filter(|name| keys.contains(name));
            let Some(name) = name else {
                return Err(section.unknown_key(key, keys).into());
            };
            if let Some(line) = first_lines.insert(name, key.position.line) {
                let problem = format!("duplicate key `{prefix}{name}`");
                return Err(document
                    .fault(key.position, &problem)
                    .hint(format!(
                        "the first one is on line {line}; remove one of them"
                    ))
                    .into());
            }
            section.entries.push(Entry {
                key: name,
                position: key.position,
                value,
            });
        }
        Ok(section)
    }

    fn unknown_key(&self, key: &Node, keys: &[&str]) -> Fault {
        let Some(name) = key.scalar() else {
            let problem = format!("a key must be text, found {}", key.describe());
            return self.document.fault(key.position, &problem);
        };
        let problem = format!("unknown key `{}{}`", self.prefix, shortened(name));
        let hint = match nearest(name, keys) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("valid keys: {}", keys.join(", ")),
        };
        self.document.fault(key.position, &problem).hint(hint)
    }

    fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn located<T>(&self, value: T, node: &Node) -> Located<T> {
        Located {
            value,
            line: self.document.lines_before + node.position.line,
        }
    }

    /// The mapping under `key`; none if it is missing or empty.
    pub(crate) fn section(&self, key: &str, keys: &[&str]) -> Result<Option<Self>> {
        match self.entry(key) {
            Some(entry) if !entry.value.is_null() => {
                let prefix = format!("{}{key}.", self.prefix);
                Ok(Some(Self::new(self.document, entry.value, &prefix, keys)?))
            }
            _ => Ok(None),
        }
    }

    /// The mappings in the list under `key`; none if it is missing or empty.
    pub(crate) fn sections(&self, key: &str, keys: &[&str]) -> Result<Vec<Self>> {
        match self.entry(key) {
            Some(entry) if !entry.value.is_null() => {
                let name = format!("{}{key}", self.prefix);
                let sections = Self::list(self.document, entry.value, &name, keys)?;
                Ok(sections.ok_or_else(|| self.wrong_type(key, "a list"))?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The mappings in the list `node`, which messages call `name`; none if it is not a list.
    pub(crate) fn list(
        document: &'a Document<'a>,
        node: &'a Node,
        name: &str,
        keys: &[&str],
    ) -> Result<Option<Vec<Self>>> {
        let Content::Sequence(items) = &node.content else {
            return Ok(None);
        };
        let sections = items.iter().enumerate().map(|(i, item)| {
            let prefix = format!("{name}[{i}].");
            Self::new(document, item, &prefix, keys)
        });
        sections.collect::<Result<_>>().map(Some)
    }

    /// The line where it begins, from 1.
    pub(crate) fn line(&self) -> usize {
        self.document.lines_before + self.position.line
    }

    /// Whether `key` is present.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the value of `key` is a number, not in quotes.
    pub(crate) fn is_number(&self, key: &str) -> bool {
        let entry = self.entry(key);
        entry.is_some_and(|entry| entry.value.typed::<serde_yaml::Number>().is_some())
    }

    /// The value of `key`, converted from its text; `expected` describes valid values.
    pub(crate) fn value<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<Located<T>>> {
        self.converted(key, expected, |node| node.scalar().and_then(convert))
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
        self.one_of(key, words, |text| {
            words.iter().copied().find(|word| *word == text)
        })
    }

    /// One of the values of `T`, by its name.
    pub(crate) fn choice<T: ValueEnum>(&self, key: &str) -> Result<Option<Located<T>>> {
        let names = T::value_variants().iter().filter_map(T::to_possible_value);
        let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.one_of(key, &names, |text| T::from_str(text, false).ok())
    }

    fn one_of<T>(
        &self,
        key: &str,
        words: &[&str],
        find: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<Located<T>>> {
        let Some(&Entry { value: node, .. }) = self.entry(key) else {
            return Ok(None);
        };
        let text = node.scalar().unwrap_or_default();
        if let Some(value) = find(text) {
            return Ok(Some(self.located(value, node)));
        }
        let fault = self.wrong_type(key, &format!("one of {}", words.join(", ")));
        Err(match nearest(text, words) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        }
        .into())
    }

    /// A number in `range`, not in quotes.
    pub(crate) fn number<T: DeserializeOwned + PartialOrd>(
        &self,
        key: &str,
        expected: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<Located<T>>> {
        self.converted(key, expected, |node| {
            node.typed().filter(|number| range.contains(number))
        })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<Located<bool>>> {
        self.converted(key, "true or false", Node::typed)
    }

    fn converted<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&Node) -> Option<T>,
    ) -> Result<Option<Located<T>>> {
        let Some(&Entry { value: node, .. }) = self.entry(key) else {
            return Ok(None);
        };
        let value = convert(node).ok_or_else(|| self.wrong_type(key, expected))?;
        Ok(Some(self.located(value, node)))
    }

    /// The value, or an error that says that `key` is missing.
    pub(crate) fn require<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        Ok(value.ok_or_else(|| {
            let problem = format!("missing key `{}{key}`", self.prefix);
            self.document.fault(self.position, &problem)
        })?)
    }

    /// An error at the value of `key`.
    pub(crate) fn fault(&self, key: &str, problem: &str) -> Fault {
        let entry = self.entry(key);
        let position = entry.map_or(self.position, |entry| entry.value.position);
        self.document.fault(position, problem)
    }

    fn wrong_type(&self, key: &str, expected: &str) -> Fault {
        let (position, found) = match self.entry(key) {
            // A value that is not there has no position of its own.
            Some(entry) if entry.value.is_null() => (entry.position, entry.value.describe()),
            Some(entry) => (entry.value.position, entry.value.describe()),
            None => (self.position, "no value".into()),
        };
        let problem = format!("`{}{key}` must be {expected}, found {found}", self.prefix);
        self.document.fault(position, &problem)
    }
}

/// The word that differs from `name` in at most a third of its letters.
fn nearest<'w>(name: &str, words: &[&'w str]) -> Option<&'w str> {
    let name: String = name.chars().take(MAX_WORD_CHARS).collect();
    let distances = words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&name, word), *word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.len().div_ceil(3)).then_some(word)
}
