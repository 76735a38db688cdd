//! YAML 1.2 with the core schema, from the events of a parser that knows positions.
//!
//! Anchors and aliases work, and count as what they stand for. Tags of the core schema are
//! accepted, others are not. A key must be a scalar.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::node::Budget;
use super::{Key, MAX_TEXT_BYTES, Node, NodeKind, Position, Violation, number, reason};

/// Reads the only document of a text; nothing at all is null.
pub(super) fn parse(text: &str) -> Result<Node<'_>, Violation> {
    let mut documents = parse_all(text).into_iter();
    let first = match documents.next() {
        Some((_, outcome)) => outcome?,
        None => Node {
            kind: NodeKind::Null,
            at: Position { line: 1, column: 1 },
        },
    };
    match documents.next() {
        None => Ok(first),
        Some((line, _)) => Err(violation(
            reason::SYNTAX,
            "only one document may stand here".to_owned(),
            Position { line, column: 1 },
        )),
    }
}

/// Reads all documents, leaving out empty ones.
pub(super) fn parse_all(text: &str) -> Vec<(u32, Result<Node<'_>, Violation>)> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is larger than {MAX_TEXT_BYTES} bytes");
        let at = Position { line: 1, column: 1 };
        return vec![(1, Err(violation(reason::TOO_LARGE, message, at)))];
    }
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut budget = Budget::default();
    let mut found = Vec::new();
    loop {
        let mut builder = Builder::new(&mut budget);
        match builder.document(&mut parser) {
            Ok(Step::End) => return found,
            Ok(Step::Document(node)) => {
                // Documents without content are what is left of a separator too many.
                if node.kind != NodeKind::Null {
                    found.push((builder.line, Ok(node)));
                }
            }
            Err(violation) => {
                let is_exhausted = violation.reason == reason::TOO_LARGE;
                let line = violation
                    .at
                    .map_or(builder.line, |at| at.line.min(builder.line));
                found.push((line.max(1), Err(violation)));
                // A parser that cannot find the next document has nothing more to say.
                if is_exhausted || !matches!(parser.proceed_next_document(), Ok(true)) {
                    return found;
                }
            }
        }
    }
}

enum Step<'a> {
    Document(Node<'a>),
    End,
}

/// A list or a mapping that is not finished.
struct Open<'a> {
    node: Node<'a>,
    key: Option<Key<'a>>,
    anchor: usize,
}

struct Builder<'a, 'b> {
    budget: &'b mut Budget,
    open: Vec<Open<'a>>,
    root: Option<Node<'a>>,
    anchors: HashMap<usize, Node<'a>>,
    /// First line of the document's content.
    line: u32,
}

impl<'a, 'b> Builder<'a, 'b> {
    fn new(budget: &'b mut Budget) -> Self {
        Self {
            budget,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            line: u32::MAX,
        }
    }

    /// Takes events up to the end of a document or of the stream.
    fn document(&mut self, parser: &mut Parser<'a, StrInput<'a>>) -> Result<Step<'a>, Violation> {
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| syntax(&error))?;
            let at = position(span.start);
            match event {
                Event::StreamEnd => return Ok(Step::End),
                Event::DocumentEnd => {
                    let at = Position { line: 1, column: 1 };
                    let nothing = Node {
                        kind: NodeKind::Null,
                        at,
                    };
                    return Ok(Step::Document(self.root.take().unwrap_or(nothing)));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let kind = scalar(text, style, tag.as_deref(), at)?;
                    self.add(Node { kind, at }, anchor)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    expect_tag(tag.as_deref(), "seq", at)?;
                    self.begin(NodeKind::List(Vec::new()), at, anchor)?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    expect_tag(tag.as_deref(), "map", at)?;
                    self.begin(NodeKind::Map(Vec::new()), at, anchor)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
                Event::Alias(anchor) => self.alias(anchor, at)?,
                _ => {}
            }
        }
        Ok(Step::End)
    }

    fn begin(&mut self, kind: NodeKind<'a>, at: Position, anchor: usize) -> Result<(), Violation> {
        self.expect_key_or_value(at)?;
        self.line = self.line.min(at.line);
        self.budget.take(1, self.open.len() + 1, at)?;
        self.open.push(Open {
            node: Node { kind, at },
            key: None,
            anchor,
        });
        Ok(())
    }

    /// A list or a mapping cannot be a key.
    fn expect_key_or_value(&self, at: Position) -> Result<(), Violation> {
        let is_key = self
            .open
            .last()
            .is_some_and(|open| matches!(open.node.kind, NodeKind::Map(_)) && open.key.is_none());
        if is_key {
            let message = "a key must be text".to_owned();
            return Err(violation(reason::SYNTAX, message, at));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Violation> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        self.place(open.node, open.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Violation> {
        // An anchor that is still open stands for what contains the alias.
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "an alias must not stand inside of its anchor".to_owned();
            return Err(violation(reason::SYNTAX, message, at));
        };
        let (count, depth) = node.measure();
        self.budget.take(count, self.open.len() + depth, at)?;
        self.place(node, 0)
    }

    fn add(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Violation> {
        self.line = self.line.min(node.at.line);
        self.budget.take(1, self.open.len(), node.at)?;
        self.place(node, anchor)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Violation> {
        if anchor != 0 {
            let (count, _) = node.measure();
            self.budget.take(count, 0, node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => open.key = Some(key(node)?),
            },
            _ => {}
        }
        Ok(())
    }
}

fn key(node: Node<'_>) -> Result<Key<'_>, Violation> {
    let text = match node.kind {
        NodeKind::Text(text) | NodeKind::Number(text) => text,
        NodeKind::Bool(true) => Cow::Borrowed("true"),
        NodeKind::Bool(false) => Cow::Borrowed("false"),
        NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => {
            let message = "a key must be text".to_owned();
            return Err(violation(reason::SYNTAX, message, node.at));
        }
    };
    Ok(Key { text, at: node.at })
}

/// Resolves a scalar by the core schema; quoted ones are text.
fn scalar<'a>(
    text: Cow<'a, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<NodeKind<'a>, Violation> {
    let is_plain = style == ScalarStyle::Plain;
    let resolved = match tag {
        None if is_plain => return Ok(plain(text)),
        None => return Ok(NodeKind::Text(text)),
        Some(tag) => match tag.core_suffix() {
            Some("str") => return Ok(NodeKind::Text(text)),
            Some("null" | "bool" | "int" | "float") => plain(text),
            _ => return Err(unknown_tag(tag, at)),
        },
    };
    if matches!(resolved, NodeKind::Text(_)) {
        let message = "the value does not fit its tag".to_owned();
        return Err(violation(reason::SYNTAX, message, at));
    }
    Ok(resolved)
}

fn plain(text: Cow<'_, str>) -> NodeKind<'_> {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        other if number::is_yaml_number(other) => NodeKind::Number(text),
        _ => NodeKind::Text(text),
    }
}

fn expect_tag(tag: Option<&Tag>, wanted: &str, at: Position) -> Result<(), Violation> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(wanted) => Err(unknown_tag(tag, at)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Position) -> Violation {
    let tag = super::place::shortened(&tag.original());
    violation(
        reason::SYNTAX,
        format!("the tag {tag:?} means nothing here"),
        at,
    )
}

fn syntax(error: &ScanError) -> Violation {
    let reason = match error.kind() {
        ErrorKind::RecursionLimitExceeded => reason::TOO_LARGE,
        _ => reason::SYNTAX,
    };
    violation(reason, error.info(), position(*error.marker()))
}

fn position(marker: Marker) -> Position {
    Position {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
    }
}

fn violation(reason: &'static str, message: String, at: Position) -> Violation {
    Violation {
        path: String::new(),
        reason,
        message,
        at: Some(at),
    }
}
