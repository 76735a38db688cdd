//! The text literals of a source.

/// A literal between its quotes, with what stands around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::docs) struct Literal<'a> {
    pub(in crate::docs) value: &'a str,
    /// From one.
    pub(in crate::docs) line: usize,
    pub(in crate::docs) before: &'a str,
    pub(in crate::docs) after: &'a str,
}

/// Every text literal outside of comments.
pub(in crate::docs) fn literals(text: &str) -> Vec<Literal<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = next(&text[at..]) {
        match step {
            Step::Skip(length) => at += length,
            Step::Literal { open, value, close } => {
                let start = at + open;
                found.push(Literal {
                    value: &text[start..start + value],
                    line: text[..start].matches('\n').count() + 1,
                    before: &text[..at],
                    after: &text[start + value + close..],
                });
                at = start + value + close;
            }
        }
    }
    found
}

/// What the rest of a text begins with.
enum Step {
    /// Bytes without a literal.
    Skip(usize),
    /// Lengths of the opening, the value and the closing.
    Literal {
        open: usize,
        value: usize,
        close: usize,
    },
}

fn next(rest: &str) -> Option<Step> {
    let first = rest.chars().next()?;
    if rest.starts_with("//") {
        return Some(Step::Skip(rest.find('\n').unwrap_or(rest.len())));
    }
    if let Some(step) = raw(rest) {
        return Some(step);
    }
    Some(match first {
        '"' => {
            let value = quoted(&rest[1..]);
            let close = usize::from(rest.len() > value + 1);
            Step::Literal {
                open: 1,
                value,
                close,
            }
        }
        '\'' => Step::Skip(character(rest)),
        // A name that ends in r is no raw literal.
        c if c.is_alphanumeric() || c == '_' => {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            Step::Skip(end.unwrap_or(rest.len()))
        }
        c => Step::Skip(c.len_utf8()),
    })
}

/// `r"…"`, `r#"…"#` and so on.
fn raw(rest: &str) -> Option<Step> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let value = inside.find(&closing)?;
    Some(Step::Literal {
        open: 2 + hashes,
        value,
        close: closing.len(),
    })
}

/// Length up to the closing quote.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if character == '"' && !is_escaped {
            return at;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

/// Length of `'x'` or `'\n'`; of a lifetime only the quote.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            let end = rest.get(3..).and_then(|tail| tail.find('\''));
            end.map_or(1, |end| end + 4)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// Whether a text is a stable word: `A`, `A_B2`.
pub(in crate::docs) fn is_upper_snake(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && !text.ends_with('_')
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
