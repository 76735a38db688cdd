//! JSON after RFC 8259, strictly, with positions and exact numbers.

use std::borrow::Cow;

use super::node::Budget;
use super::{Key, MAX_TEXT_BYTES, Node, NodeKind, Position, Violation, reason};

/// Reads one value.
pub(super) fn parse(text: &str) -> Result<Node<'_>, Violation> {
    let mut parser = Parser::try_new(text)?;
    let node = parser.value(0)?;
    parser.blanks();
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("the end")),
    }
}

/// Reads values that follow each other; the first malformed one ends it.
pub(super) fn parse_all(text: &str) -> Vec<(u32, Result<Node<'_>, Violation>)> {
    let mut parser = match Parser::try_new(text) {
        Ok(parser) => parser,
        Err(violation) => return vec![(1, Err(violation))],
    };
    let mut found = Vec::new();
    loop {
        parser.blanks();
        if parser.peek().is_none() {
            return found;
        }
        let line = parser.line;
        let outcome = parser.value(0);
        let is_end = outcome.is_err();
        found.push((line, outcome));
        if is_end {
            return found;
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Where the line begins, moved on by what its characters have more bytes than one.
    line_base: usize,
    budget: Budget,
}

impl<'a> Parser<'a> {
    fn try_new(text: &'a str) -> Result<Self, Violation> {
        let parser = Self {
            // Some editors write a byte order mark.
            text: text.strip_prefix('\u{feff}').unwrap_or(text),
            at: 0,
            line: 1,
            line_base: 0,
            budget: Budget::default(),
        };
        if text.len() > MAX_TEXT_BYTES {
            let message = format!("the text is larger than {MAX_TEXT_BYTES} bytes");
            return Err(parser.violation(reason::TOO_LARGE, message));
        }
        Ok(parser)
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Violation> {
        self.blanks();
        let at = self.position();
        let kind = match self.peek() {
            Some(b'{') => self.map(depth + 1, at)?,
            Some(b'[') => self.list(depth + 1, at)?,
            Some(b'"') => NodeKind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => NodeKind::Number(self.number()?),
            Some(b't') => self.word("true", NodeKind::Bool(true))?,
            Some(b'f') => self.word("false", NodeKind::Bool(false))?,
            Some(b'n') => self.word("null", NodeKind::Null)?,
            _ => return Err(self.unexpected("a value")),
        };
        self.budget.take(1, depth, at)?;
        Ok(Node { kind, at })
    }

    fn map(&mut self, depth: usize, at: Position) -> Result<NodeKind<'a>, Violation> {
        self.budget.take(0, depth, at)?;
        self.at += 1;
        let mut entries = Vec::new();
        if self.ends_with(b'}') {
            return Ok(NodeKind::Map(entries));
        }
        loop {
            self.blanks();
            let at = self.position();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let text = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("':'"));
            }
            self.at += 1;
            entries.push((Key { text, at }, self.value(depth)?));
            if self.ends_with(b'}') {
                return Ok(NodeKind::Map(entries));
            }
            self.comma("',' or '}'")?;
        }
    }

    fn list(&mut self, depth: usize, at: Position) -> Result<NodeKind<'a>, Violation> {
        self.budget.take(0, depth, at)?;
        self.at += 1;
        let mut items = Vec::new();
        if self.ends_with(b']') {
            return Ok(NodeKind::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends_with(b']') {
                return Ok(NodeKind::List(items));
            }
            self.comma("',' or ']'")?;
        }
    }

    fn comma(&mut self, expected: &str) -> Result<(), Violation> {
        if self.peek() != Some(b',') {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn ends_with(&mut self, end: u8) -> bool {
        self.blanks();
        let is_end = self.peek() == Some(end);
        if is_end {
            self.at += 1;
        }
        is_end
    }

    fn word(&mut self, word: &str, kind: NodeKind<'a>) -> Result<NodeKind<'a>, Violation> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<Cow<'a, str>, Violation> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Cow::Borrowed(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), Violation> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a digit"));
        }
        Ok(())
    }

    /// Reads a string, whose opening quote is next.
    fn string(&mut self) -> Result<Cow<'a, str>, Violation> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let piece = self.plain_piece();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(piece),
                        Some(text) => Cow::Owned(text + piece),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(piece);
                    self.at += 1;
                    let character = self.escape()?;
                    unescaped.get_or_insert_default().push(character);
                }
                Some(_) => return Err(self.unexpected("no control character in a string")),
                None => return Err(self.unexpected("the closing quote")),
            }
        }
    }

    /// Characters up to the next quote, backslash or control character.
    fn plain_piece(&mut self) -> &'a str {
        let start = self.at;
        while let Some(byte) = self.peek() {
            if matches!(byte, b'"' | b'\\' | 0..=0x1f) {
                break;
            }
            if byte & 0b1100_0000 == 0b1000_0000 {
                self.line_base += 1;
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn escape(&mut self) -> Result<char, Violation> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Violation> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.unexpected("a whole surrogate pair"));
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Err(self.unexpected("the second half of a surrogate pair"));
        }
        self.at += 2;
        let low = self.hex4()?;
        let is_low = (0xdc00..0xe000).contains(&low);
        let code = 0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        let character = char::from_u32(code).filter(|_| is_low);
        character.ok_or_else(|| self.unexpected("a whole surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, Violation> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(self.unexpected("four hex digits"));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.unexpected("four hex digits"))
    }

    fn blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.line_base = self.at + 1;
                }
                b' ' | b'\t' | b'\r' => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn position(&self) -> Position {
        let column = self.at.saturating_sub(self.line_base) + 1;
        Position {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn unexpected(&self, expected: &str) -> Violation {
        // A value may be next, which may be a secret: only one character is shown.
        let got = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(character) => format!("{character:?}"),
            None => "the end".to_owned(),
        };
        self.violation(reason::SYNTAX, format!("expected {expected}, got {got}"))
    }

    fn violation(&self, reason: &'static str, message: String) -> Violation {
        Violation {
            path: String::new(),
            reason,
            message,
            at: Some(self.position()),
        }
    }
}
