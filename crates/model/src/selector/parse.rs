//! From text to requirements.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::{MAX_BYTES, Operator, Requirement, SelectorError};
use crate::label;

/// Reads a text; an empty one has no requirements.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    if text.len() > MAX_BYTES {
        return Err(SelectorError {
            problem: format!("more than {MAX_BYTES} bytes"),
            column: 1,
        });
    }
    let mut parser = Parser::new(text);
    let mut found = Vec::new();
    if parser.is_at_end() {
        return Ok(found);
    }
    loop {
        found.push(parser.requirement()?);
        let token = parser.next();
        match token.text {
            "" => return Ok(found),
            "," => {}
            _ => return Err(token.unexpected()),
        }
    }
}

/// A piece of the text with the column of its first character.
#[derive(Clone, Copy)]
struct Token<'a> {
    /// Empty at the end of the text.
    text: &'a str,
    column: usize,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        let first = self.text.chars().next();
        first.is_some_and(|first| !is_symbol(first))
    }

    fn wrong(self, problem: String) -> SelectorError {
        SelectorError {
            problem,
            column: self.column,
        }
    }

    fn unexpected(self) -> SelectorError {
        if self.text.is_empty() {
            return self.wrong("unexpected end".into());
        }
        self.wrong(format!("unexpected {:?}", self.text))
    }
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Token<'a>>>,
    end: Token<'a>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let end = Token {
            text: "",
            column: text.chars().count() + 1,
        };
        Self {
            tokens: tokens(text).into_iter().peekable(),
            end,
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.tokens.peek().is_none()
    }

    fn peek(&mut self) -> Token<'a> {
        self.tokens.peek().copied().unwrap_or(self.end)
    }

    fn next(&mut self) -> Token<'a> {
        self.tokens.next().unwrap_or(self.end)
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek().text == "!" {
            self.next();
            return Ok(Requirement {
                key: self.key()?,
                operator: Operator::Absent,
            });
        }
        let key = self.key()?;
        let operator = self.operator()?;
        Ok(Requirement { key, operator })
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        let token = self.next();
        if !token.is_word() {
            return Err(token.unexpected());
        }
        match label::check_key(token.text) {
            Ok(()) => Ok(token.text.to_owned()),
            Err(problem) => Err(token.wrong(format!("the key {:?} {problem}", token.text))),
        }
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let token = self.peek();
        if token.text.is_empty() || token.text == "," {
            return Ok(Operator::Exists);
        }
        self.next();
        match token.text {
            "=" | "==" => self.value().map(Operator::Equals),
            "!=" => self.value().map(Operator::NotEquals),
            "in" => self.values().map(Operator::In),
            "notin" => self.values().map(Operator::NotIn),
            _ => Err(token.unexpected()),
        }
    }

    /// One value; an empty one where a comma or bracket or nothing follows.
    fn value(&mut self) -> Result<String, SelectorError> {
        let token = self.peek();
        if token.text.is_empty() || token.text == "," || token.text == ")" {
            return Ok(String::new());
        }
        self.next();
        if !token.is_word() {
            return Err(token.unexpected());
        }
        match label::check_value(token.text) {
            Ok(()) => Ok(token.text.to_owned()),
            Err(problem) => Err(token.wrong(format!("the value {:?} {problem}", token.text))),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let open = self.next();
        if open.text != "(" {
            return Err(open.unexpected());
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            let token = self.next();
            match token.text {
                ")" => return Ok(values),
                "," => {}
                _ => return Err(token.unexpected()),
            }
        }
    }
}

fn is_symbol(letter: char) -> bool {
    is_comparison(letter) || matches!(letter, ',' | '(' | ')')
}

/// Characters of operators; a run of them is one token, so that `==!` is named as a whole.
fn is_comparison(letter: char) -> bool {
    matches!(letter, '=' | '!' | '<' | '>')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let letters: Vec<(usize, char)> = text.char_indices().collect();
    let offset = |index: usize| letters.get(index).map_or(text.len(), |(offset, _)| *offset);
    let mut found = Vec::new();
    let mut start = 0;
    while let Some((_, first)) = letters.get(start) {
        let mut end = start + 1;
        if first.is_whitespace() {
            start = end;
            continue;
        }
        let belongs = |letter: char| match first {
            ',' | '(' | ')' => false,
            _ if is_comparison(*first) => is_comparison(letter),
            _ => !is_symbol(letter) && !letter.is_whitespace(),
        };
        while letters.get(end).is_some_and(|(_, letter)| belongs(*letter)) {
            end += 1;
        }
        found.push(Token {
            text: &text[offset(start)..offset(end)],
            column: start + 1,
        });
        start = end;
    }
    found
}
