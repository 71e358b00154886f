//! Parser events -> a tree of nodes that know their positions. Depth is limited; aliases share their node.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_yaml::Number;

use super::document::{Document, Position, shortened};
use crate::error::Fault;

/// Most sequences and mappings inside each other; the schemas need 3.
const MAX_DEPTH: usize = 32;

/// A value, shared by all aliases of its anchor.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) position: Position,
    /// 1 for a scalar, one more than the highest child's for others.
    height: usize,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Null,
    Quoted(String),
    /// Without quotes: may be a number, `true` or `false`.
    Plain(String),
    Sequence(Vec<Rc<Node>>),
    /// Keys and values in turn.
    Mapping(Vec<Rc<Node>>),
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// The text of a scalar, as written.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.content {
            Content::Quoted(text) | Content::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a plain scalar by the rules of YAML; none if it is no such number or boolean.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Option<T> {
        match &self.content {
            Content::Plain(text) => match text.parse::<Number>() {
                // Jobs files can have millions of numbers: no parser for each.
                Ok(number) => T::deserialize(number).ok(),
                Err(_) => serde_yaml::from_str(text).ok(),
            },
            _ => None,
        }
    }

    /// What a message calls it.
    pub(super) fn describe(&self) -> String {
        match &self.content {
            Content::Null => "no value".into(),
            Content::Quoted(text) => format!("the text \"{}\"", shortened(text)),
            Content::Plain(text) => format!("`{}`", shortened(text)),
            Content::Sequence(_) => "a list".into(),
            Content::Mapping(_) => "a mapping".into(),
        }
    }
}

impl Document<'_> {
    /// Builds the tree; none if the document is empty.
    pub(crate) fn tree(&self) -> Result<Option<Rc<Node>>> {
        let mut parser = Parser::new_from_str(self.text);
        let mut builder = Builder::default();
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| self.invalid((*e.marker()).into(), e.info()))?;
            let position = span.start.into();
            builder
                .take(event, position)
                .map_err(|problem| self.fault(position, problem))?;
        }
        Ok(builder.root.filter(|root| !root.is_null()))
    }
}

impl Document<'_> {
    /// The error for text that is not YAML: `info` at `position`. Windows paths in double quotes and tabs get a hint of
    /// their own.
    fn invalid(&self, position: Position, info: &str) -> Fault {
        let line = |number: usize| self.text.lines().nth(number - 1).unwrap_or_default();
        let mut rest = line(position.line).chars().skip(position.column - 1);
        if rest.next() == Some('"') && rest.any(|c| c == '\\') {
            return self
                .fault(
                    position,
                    "invalid YAML: in double quotes, a backslash begins an escape sequence",
                )
                .hint(r"write a path in single quotes ('C:\Users\me'), or with / ('C:/Users/me')");
        }
        // The parser may stop at the value before the tab.
        let lines = [position.line, position.line + 1];
        let with_tab = lines
            .into_iter()
            .find(|number| line(*number).contains('\t'));
        let fault = |position| self.fault(position, &format!("invalid YAML: {info}"));
        match with_tab {
            Some(number) => {
                let before = line(number).chars().take_while(|c| *c != '\t').count();
                fault(Position::new(number, before + 1)).hint("replace the tab by spaces")
            }
            None => fault(position)
                .hint("indent with spaces, and quote values that contain special characters"),
        }
    }
}

/// Builds the tree without recursion.
#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    /// Sequences and mappings that are not yet closed, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
}

struct Open {
    position: Position,
    anchor: usize,
    is_mapping: bool,
    children: Vec<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), &'static str> {
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err("tags (`!..`) are not supported"),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document starts here; only one is allowed")
            }
            Event::Scalar(text, style, anchor, None) => {
                let content = match (style, text.as_ref()) {
                    (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Content::Null,
                    (ScalarStyle::Plain, text) => Content::Plain(text.into()),
                    (_, text) => Content::Quoted(text.into()),
                };
                self.add(anchor, position, 1, content)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor);
                let node = node.ok_or("this alias refers to a value that contains it")?;
                self.attach(Rc::clone(node));
                Ok(())
            }
            Event::SequenceStart(anchor, None) => self.open(anchor, position, false),
            Event::MappingStart(anchor, None) => self.open(anchor, position, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        anchor: usize,
        position: Position,
        is_mapping: bool,
    ) -> Result<(), &'static str> {
        self.open.push(Open {
            position,
            anchor,
            is_mapping,
            children: Vec::new(),
        });
        check_height(self.open.len())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let highest = open.children.iter().map(|child| child.height).max();
        let content = if open.is_mapping {
            Content::Mapping(open.children)
        } else {
            Content::Sequence(open.children)
        };
        self.add(
            open.anchor,
            open.position,
            highest.unwrap_or(0) + 1,
            content,
        )
    }

    fn add(
        &mut self,
        anchor: usize,
        position: Position,
        height: usize,
        content: Content,
    ) -> Result<(), &'static str> {
        // Aliases of aliases would otherwise make a tree too high to be dropped.
        check_height(height)?;
        let node = Rc::new(Node {
            position,
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
    if height > MAX_DEPTH {
        return Err("lists and mappings are nested too deeply, more than 32 levels");
    }
    Ok(())
}
