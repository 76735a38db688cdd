//! The arms of a match.

use super::word;

/// One arm of a `match self`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::docs) struct Arm {
    /// The variants that it is for; none when the body is no match and so for all.
    pub(in crate::docs) variants: Vec<String>,
    pub(in crate::docs) value: String,
}

/// The arms of `match self` in a body, or one arm with the whole body.
pub(in crate::docs) fn arms(body: &str) -> Vec<Arm> {
    let heads = ["match self {", "match *self {"];
    let Some((_, rest)) = heads.iter().find_map(|head| body.split_once(head)) else {
        return vec![Arm {
            variants: Vec::new(),
            value: body.trim().to_owned(),
        }];
    };
    let mut rest = &rest[..until(rest, |_, _| false)];
    let mut found = Vec::new();
    while !rest.trim().is_empty() {
        let end = until(rest, |text, depth| depth == 0 && text.starts_with("=>"));
        let (pattern, after) = rest.split_at(end);
        let after = after.trim_start_matches("=>").trim_start();
        let is_block = after.starts_with('{');
        let end = if is_block {
            1 + until(&after[1..], |_, _| false)
        } else {
            until(after, |text, depth| depth == 0 && text.starts_with(','))
        };
        found.push(Arm {
            variants: variants(pattern),
            value: after[..end].trim_start_matches('{').trim().to_owned(),
        });
        let next = after.get(end..).unwrap_or_default();
        rest = next.trim_start_matches(['}', ',', ' ', '\n']);
    }
    found
}

/// `Self::A | Self::B { .. }` names A and B.
fn variants(pattern: &str) -> Vec<String> {
    let names = pattern.split("Self::").skip(1);
    names.map(|rest| word(rest).to_owned()).collect()
}

/// Where `is_end` holds first, strings left out, or where the text's own bracket closes.
fn until(text: &str, is_end: impl Fn(&str, i32) -> bool) -> usize {
    let mut depth = 0;
    let mut in_string = false;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if in_string {
            in_string = character != '"' || is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        if is_end(&text[at..], depth) {
            return at;
        }
        match character {
            '"' => in_string = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
