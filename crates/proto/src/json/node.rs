//! A value of JSON or YAML, with its place in the text.

use std::borrow::Cow;

use super::{Violation, reason};

/// How deep lists and mappings may be nested.
pub const MAX_DEPTH: usize = 64;

/// How many values one text may hold, aliases counted as what they stand for.
pub const MAX_NODES: usize = 500_000;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A value, borrowed from its text where nothing was escaped.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// What it is.
    pub kind: NodeKind<'a>,
    /// Where it begins.
    pub at: Position,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind<'a> {
    /// `null`, or nothing where YAML expects a value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number as it was written, so that no digit is lost.
    Number(Cow<'a, str>),
    /// Text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Node<'a>>),
    /// A mapping in the order of the text; a key may stand there twice.
    Map(Vec<(Key<'a>, Node<'a>)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Key<'a> {
    /// The key.
    pub text: Cow<'a, str>,
    /// Where it begins.
    pub at: Position,
}

impl<'a> Node<'a> {
    /// The value of a key of a mapping; the first one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        let NodeKind::Map(entries) = &self.kind else {
            return None;
        };
        let (_, value) = entries.iter().find(|(name, _)| name.text == key)?;
        Some(value)
    }

    /// The text, when it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many values it holds, itself included, and how deep they are nested.
    pub(super) fn measure(&self) -> (usize, usize) {
        let children: Box<dyn Iterator<Item = &Node<'a>>> = match &self.kind {
            NodeKind::List(items) => Box::new(items.iter()),
            NodeKind::Map(entries) => Box::new(entries.iter().map(|(_, value)| value)),
            _ => return (1, 0),
        };
        children.fold((1, 1), |(count, depth), child| {
            let (more, below) = child.measure();
            (count + more, depth.max(below + 1))
        })
    }
}

/// Counts what is parsed, so that a short text cannot ask for much memory.
#[derive(Debug, Default)]
pub(super) struct Budget {
    nodes: usize,
}

impl Budget {
    /// Takes `count` values at `depth`.
    pub(super) fn take(
        &mut self,
        count: usize,
        depth: usize,
        at: Position,
    ) -> Result<(), Violation> {
        self.nodes += count;
        if self.nodes > MAX_NODES {
            return Err(too_large(at, format!("has more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(too_large(
                at,
                format!("is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        Ok(())
    }
}

fn too_large(at: Position, message: String) -> Violation {
    Violation {
        path: String::new(),
        reason: reason::TOO_LARGE,
        message,
        at: Some(at),
    }
}
