//! Where in a message the reader stands; written out only when something is wrong there.

use std::fmt;

use super::{Node, NodeKind};

/// The longest part of a key or of a value that a violation repeats, in characters.
const MAX_QUOTED_CHARS: usize = 64;

/// A path as a chain of borrowed steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    is_secret: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Place<'a> {
    /// The whole text.
    pub(crate) fn root() -> Place<'static> {
        Place {
            parent: None,
            step: Step::Root,
            is_secret: false,
        }
    }

    pub(crate) fn field<'b>(&'b self, name: &'b str) -> Place<'b> {
        self.below(Step::Field(name))
    }

    pub(super) fn index(&self, index: usize) -> Place<'_> {
        self.below(Step::Index(index))
    }

    pub(super) fn key<'b>(&'b self, key: &'b str) -> Place<'b> {
        self.below(Step::Key(key))
    }

    /// The same place, whose values must not be repeated when `is_secret`.
    pub(super) fn guarded(self, is_secret: bool) -> Self {
        Self {
            is_secret: self.is_secret || is_secret,
            ..self
        }
    }

    fn below<'b>(&'b self, step: Step<'b>) -> Place<'b> {
        Place {
            parent: Some(self),
            step,
            is_secret: self.is_secret,
        }
    }

    /// What stands there, as far as it may be told.
    pub(crate) fn got(&self, node: &Node<'_>) -> String {
        match &node.kind {
            NodeKind::Null => "null".to_owned(),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Map(_) => "a mapping".to_owned(),
            NodeKind::Bool(_) if self.is_secret => "a truth value".to_owned(),
            NodeKind::Number(_) if self.is_secret => "a number".to_owned(),
            NodeKind::Text(_) if self.is_secret => "text".to_owned(),
            NodeKind::Bool(value) => value.to_string(),
            NodeKind::Number(text) => shortened(text),
            NodeKind::Text(text) => format!("{:?}", shortened(text)),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return Ok(());
        };
        parent.fmt(f)?;
        let separator = match parent.step {
            Step::Root => "",
            _ => ".",
        };
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Field(name) => write!(f, "{separator}{name}"),
            Step::Key(key) if is_plain(key) => write!(f, "{separator}{key}"),
            Step::Key(key) => write!(f, "[{:?}]", shortened(key)),
        }
    }
}

/// Keys such as `limits.json` read well without quotes.
fn is_plain(key: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    !key.is_empty() && key.len() <= MAX_QUOTED_CHARS && key.chars().all(is_plain)
}

pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
