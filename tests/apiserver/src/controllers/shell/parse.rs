//! From the text of a script to a list of steps with jumps.

use super::{Command, Op, Output, Part, Program, Word};

/// The script is outside of the language.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("sh: syntax error: {0}")]
pub(crate) struct SyntaxError(String);

fn unexpected(what: &str) -> SyntaxError {
    SyntaxError(format!("unexpected {what:?}"))
}

/// Compiles a script.
pub(crate) fn compile(script: &str) -> Result<Program, SyntaxError> {
    let mut parser = Parser {
        tokens: tokens(script)?,
        position: 0,
        ops: Vec::new(),
    };
    parser.list()?;
    match parser.peek() {
        None => Ok(Program { ops: parser.ops }),
        Some(token) => Err(unexpected(&token.show())),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(Word),
    Sign(&'static str),
}

impl Token {
    /// The text of a word without quotes and variables.
    fn plain(&self) -> Option<&str> {
        match self {
            Self::Word(Word(parts)) => match parts.as_slice() {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            Self::Sign(_) => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Word(_) => self.plain().unwrap_or("word").to_owned(),
            Self::Sign(sign) => (*sign).to_owned(),
        }
    }
}

/// Longest first.
const SIGNS: [&str; 9] = ["2>", "&&", "||", ">>", ";", "&", ">", "\n", "!"];

fn tokens(script: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = script;
    'next: while let Some(first) = rest.chars().next() {
        if first == ' ' || first == '\t' {
            rest = &rest[1..];
            continue;
        }
        if first == '#' {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        }
        for sign in SIGNS {
            let Some(after) = rest.strip_prefix(sign) else {
                continue;
            };
            // `!` is a word of its own only before a space; `2>` only before nothing else.
            if sign == "!" && !after.starts_with(' ') {
                continue;
            }
            tokens.push(Token::Sign(if sign == "\n" { ";" } else { sign }));
            rest = after;
            continue 'next;
        }
        let (word, after) = word(rest)?;
        tokens.push(Token::Word(word));
        rest = after;
    }
    Ok(tokens)
}

fn word(script: &str) -> Result<(Word, &str), SyntaxError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = script;
    let mut quoted = false;
    let push = |parts: &mut Vec<Part>, text: &str| match parts.last_mut() {
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    };
    loop {
        let Some(first) = rest.chars().next() else {
            if quoted {
                return Err(SyntaxError("unterminated quoted string".into()));
            }
            break;
        };
        match first {
            '"' => {
                quoted = !quoted;
                push(&mut parts, "");
                rest = &rest[1..];
            }
            '\'' if !quoted => {
                let text = &rest[1..];
                let Some(end) = text.find('\'') else {
                    return Err(SyntaxError("unterminated quoted string".into()));
                };
                push(&mut parts, &text[..end]);
                rest = &text[end + 1..];
            }
            '$' => {
                let (name, after) = variable(&rest[1..])?;
                parts.push(Part::Variable(name));
                rest = after;
            }
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '>' if !quoted => break,
            other => {
                push(&mut parts, other.encode_utf8(&mut [0; 4]));
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    Ok((Word(parts), rest))
}

fn variable(text: &str) -> Result<(String, &str), SyntaxError> {
    if let Some(inner) = text.strip_prefix('{') {
        let (name, after) = inner.split_once('}').ok_or_else(|| unexpected("${"))?;
        return Ok((name.to_owned(), after));
    }
    let length = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    if length == 0 {
        return Err(unexpected("$"));
    }
    Ok((text[..length].to_owned(), &text[length..]))
}

/// Words that open or close something, and so end a list.
const CLOSING: [&str; 5] = ["then", "else", "fi", "do", "done"];

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    ops: Vec<Op>,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.position += usize::from(is_there);
        is_there
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_there = self.peek().and_then(Token::plain) == Some(word);
        self.position += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.take_word(word) {
            return Ok(());
        }
        let found = self
            .peek()
            .map_or_else(|| "end of script".into(), Token::show);
        Err(SyntaxError(format!("unexpected {found:?}, not {word:?}")))
    }

    /// Adds a jump whose target is not known yet.
    fn jump(&mut self, op: Op) -> usize {
        self.ops.push(op);
        self.ops.len() - 1
    }

    /// Lets a jump lead to what comes next.
    fn land(&mut self, jump: usize) {
        let here = self.ops.len();
        match &mut self.ops[jump] {
            Op::Unless(target) | Op::When(target) | Op::Jump(target) => *target = here,
            Op::Run(_) | Op::Not | Op::Fine => {}
        }
    }

    fn list(&mut self) -> Result<(), SyntaxError> {
        loop {
            while self.take_sign(";") {}
            let Some(token) = self.peek() else {
                return Ok(());
            };
            if token.plain().is_some_and(|word| CLOSING.contains(&word)) {
                return Ok(());
            }
            self.chain()?;
            if self.take_sign("&")
                && let Some(Op::Run(command)) = self.ops.last_mut()
            {
                command.is_background = true;
            }
        }
    }

    fn chain(&mut self) -> Result<(), SyntaxError> {
        self.command()?;
        loop {
            let op = if self.take_sign("&&") {
                Op::Unless(0)
            } else if self.take_sign("||") {
                Op::When(0)
            } else {
                return Ok(());
            };
            let jump = self.jump(op);
            self.command()?;
            self.land(jump);
        }
    }

    fn command(&mut self) -> Result<(), SyntaxError> {
        if self.take_sign("!") {
            self.command()?;
            self.ops.push(Op::Not);
            return Ok(());
        }
        if self.take_word("if") {
            return self.choice();
        }
        if self.take_word("while") {
            return self.repeat(Op::Unless(0));
        }
        if self.take_word("until") {
            return self.repeat(Op::When(0));
        }
        self.simple()
    }

    fn choice(&mut self) -> Result<(), SyntaxError> {
        self.list()?;
        self.expect("then")?;
        let to_else = self.jump(Op::Unless(0));
        self.list()?;
        let to_end = self.jump(Op::Jump(0));
        self.land(to_else);
        if self.take_word("else") {
            self.list()?;
        } else {
            self.ops.push(Op::Fine);
        }
        self.expect("fi")?;
        self.land(to_end);
        Ok(())
    }

    fn repeat(&mut self, leave: Op) -> Result<(), SyntaxError> {
        let start = self.ops.len();
        self.list()?;
        self.expect("do")?;
        let to_end = self.jump(leave);
        self.list()?;
        self.expect("done")?;
        self.ops.push(Op::Jump(start));
        self.land(to_end);
        self.ops.push(Op::Fine);
        Ok(())
    }

    fn simple(&mut self) -> Result<(), SyntaxError> {
        let mut command = Command::default();
        loop {
            match self.peek().cloned() {
                Some(Token::Word(word)) => {
                    self.position += 1;
                    command.words.push(word);
                }
                Some(Token::Sign(sign @ (">" | ">>" | "2>"))) => {
                    self.position += 1;
                    let Some(Token::Word(file)) = self.peek().cloned() else {
                        return Err(unexpected(sign));
                    };
                    self.position += 1;
                    // What is said of errors goes nowhere in either case.
                    if sign != "2>" {
                        command.output = Some(Output {
                            file,
                            is_append: sign == ">>",
                        });
                    }
                }
                other => {
                    if command.words.is_empty() {
                        let found =
                            other.map_or_else(|| "end of script".into(), |token| token.show());
                        return Err(unexpected(&found));
                    }
                    self.ops.push(Op::Run(command));
                    return Ok(());
                }
            }
        }
    }
}
