//! Reads Rust sources as rustfmt leaves them, by lines and indentation: enough for tables of
//! what is documented there, and no parser that would have to be compiled first.

#[cfg(test)]
mod tests;

mod arms;
mod literal;

use std::ops::Range;

pub(super) use arms::{Arm, arms};
pub(super) use literal::{Literal, is_upper_snake, literals};

/// A struct or an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) attributes: String,
    pub(super) is_enum: bool,
    /// Fields or variants; none for a tuple.
    pub(super) members: Vec<Member>,
}

/// A field or a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Line in the file, from one.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) attributes: String,
    /// Type of a field, payload of a variant.
    pub(super) kind: String,
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) docs: String,
    /// The type whose `impl` it is in, and the trait, each without path and generics.
    pub(super) of_type: String,
    pub(super) of_trait: String,
    /// Lines of the body, from one.
    pub(super) lines: Range<usize>,
    /// The body without comments.
    pub(super) body: String,
}

/// Documentation and attributes that stand before something.
#[derive(Default)]
struct Pending {
    docs: Vec<String>,
    attributes: String,
}

impl Pending {
    /// Takes what stands at a line, if it is of this kind; the line that follows it.
    fn take(&mut self, lines: &[&str], at: usize) -> Option<usize> {
        let line = lines[at].trim();
        if let Some(text) = line.strip_prefix("///") {
            self.docs.push(text.trim().to_owned());
            return Some(at + 1);
        }
        if line.starts_with("//") || line.is_empty() {
            return Some(at + 1);
        }
        if !line.starts_with("#[") {
            return None;
        }
        let mut depth = 0;
        for (index, line) in lines.iter().enumerate().skip(at) {
            self.attributes.push_str(line.trim());
            depth += depth_of(line);
            if depth <= 0 {
                return Some(index + 1);
            }
        }
        Some(lines.len())
    }

    /// The first paragraph in one line.
    fn docs(&self) -> String {
        let paragraph = self.docs.split(String::is_empty).next();
        paragraph.unwrap_or_default().join(" ")
    }
}

/// Every struct and enum of a file.
pub(super) fn definitions(text: &str) -> Vec<Definition> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut pending = Pending::default();
    let mut at = 0;
    while at < lines.len() {
        if let Some(next) = pending.take(&lines, at) {
            at = next;
            continue;
        }
        if let Some((is_enum, name)) = definition_head(lines[at].trim()) {
            let body = block(&lines, at);
            found.push(Definition {
                name: name.to_owned(),
                docs: pending.docs(),
                attributes: std::mem::take(&mut pending.attributes),
                is_enum,
                members: members(&lines, body.clone(), is_enum),
            });
            at = body.end;
        }
        pending = Pending::default();
        at += 1;
    }
    found
}

/// Every function of a file that has a body.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut pending = Pending::default();
    let mut owner = (0..0, String::new(), String::new());
    let mut at = 0;
    while at < lines.len() {
        if let Some(next) = pending.take(&lines, at) {
            at = next;
            continue;
        }
        let line = lines[at].trim();
        if line.starts_with("impl ") || line.starts_with("impl<") {
            let opens = opening(&lines, at);
            let (of_trait, of_type) = owner_of(&lines[at..=opens].join(" "));
            owner = (block(&lines, opens), of_trait, of_type);
            at = opens;
        } else if let Some(name) = function_head(line) {
            let opens = opening(&lines, at);
            let body = block(&lines, opens);
            let is_inside = owner.0.contains(&at);
            let name_of = |text: &str| {
                if is_inside {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            let code = lines[body.clone()].iter();
            let code = code.filter(|line| !line.trim_start().starts_with("//"));
            found.push(Function {
                name: name.to_owned(),
                docs: pending.docs(),
                of_trait: name_of(&owner.1),
                of_type: name_of(&owner.2),
                lines: body.start + 1..body.end + 1,
                body: code.map(|line| format!("{line}\n")).collect(),
            });
            at = body.end.max(opens);
        }
        pending = Pending::default();
        at += 1;
    }
    found
}

/// Brackets that a line opens less those that it closes.
fn depth_of(line: &str) -> i32 {
    let mut depth = 0;
    let mut in_string = false;
    let mut is_escaped = false;
    for character in line.chars() {
        if in_string {
            in_string = character != '"' || is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        match character {
            '"' => in_string = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    depth
}

fn members(lines: &[&str], body: Range<usize>, is_enum: bool) -> Vec<Member> {
    let lines = &lines[..body.end];
    let mut found = Vec::new();
    let mut pending = Pending::default();
    let mut at = body.start;
    while at < lines.len() {
        if let Some(next) = pending.take(lines, at) {
            at = next;
            continue;
        }
        let line = at + 1;
        let mut text = String::new();
        let mut depth = 0;
        while at < lines.len() {
            let line = lines[at].trim();
            at += 1;
            if line.starts_with("//") {
                continue;
            }
            text.push_str(line);
            text.push(' ');
            depth += depth_of(line);
            if depth == 0 && line.ends_with(',') {
                break;
            }
        }
        let text = text.trim().trim_end_matches(',');
        let (name, kind) = if is_enum {
            text.split_at(word(text).len())
        } else {
            let (name, kind) = text.split_once(':').unwrap_or((text, ""));
            (without_visibility(name), kind.trim())
        };
        found.push(Member {
            line,
            name: name.to_owned(),
            docs: pending.docs(),
            attributes: std::mem::take(&mut pending.attributes),
            kind: kind.to_owned(),
        });
        pending = Pending::default();
    }
    found
}

/// Lines inside of the block that a line opens; none when it opens none.
fn block(lines: &[&str], at: usize) -> Range<usize> {
    if !lines[at].ends_with('{') {
        return at..at;
    }
    let indent = lines[at].len() - lines[at].trim_start().len();
    let closes = |line: &&str| {
        line.trim_start().starts_with('}') && line.len() - line.trim_start().len() <= indent
    };
    let inside = lines[at + 1..]
        .iter()
        .take_while(|line| !closes(line))
        .count();
    at + 1..at + 1 + inside
}

/// The line on which a head that may take several lines ends.
fn opening(lines: &[&str], at: usize) -> usize {
    let rest = lines.iter().enumerate().skip(at);
    let ends = |line: &str| line.ends_with(['{', ';', '}']);
    rest.filter(|(_, line)| ends(line))
        .map(|(index, _)| index)
        .next()
        .unwrap_or(at)
}

fn definition_head(line: &str) -> Option<(bool, &str)> {
    let rest = without_visibility(line);
    let (is_enum, rest) = match rest.strip_prefix("enum ") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("struct ")?),
    };
    Some((is_enum, word(rest)))
}

fn function_head(line: &str) -> Option<&str> {
    let mut rest = without_visibility(line);
    for modifier in ["const ", "async "] {
        rest = rest.strip_prefix(modifier).unwrap_or(rest);
    }
    rest.strip_prefix("fn ").map(word)
}

/// Trait and type of `impl<T> a::Trait for b::Type<T> {`; no trait without `for`.
fn owner_of(head: &str) -> (String, String) {
    let mut rest = head.trim().trim_start_matches("impl");
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        });
        rest = &rest[end.map_or(0, |end| end + 1)..];
    }
    let last = |path: &str| {
        let plain = path.split(['<', '{']).next().unwrap_or_default();
        word(plain.rsplit("::").next().unwrap_or_default().trim()).to_owned()
    };
    match rest.split_once(" for ") {
        Some((of_trait, of_type)) => (last(of_trait), last(of_type)),
        None => (String::new(), last(rest)),
    }
}

fn without_visibility(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("pub") else {
        return text;
    };
    let rest = match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(')').map_or(rest, |(_, after)| after),
        None => rest,
    };
    rest.trim_start()
}

/// The identifier that a text begins with.
pub(super) fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}
