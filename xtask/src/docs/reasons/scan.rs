//! The ways in which sources give a reason.

use super::super::rust::{
    Arm, Definition, Function, Literal, Member, arms, definitions, functions, is_upper_snake,
    literals, word,
};
use super::codes::Codes;
use super::sources;
use crate::repository::Repository;

/// A reason as one place gives it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) area: &'static str,
    pub(super) path: String,
    pub(super) reason: String,
    /// Empty when there is none here.
    pub(super) code: String,
    /// Where it is not the code's.
    pub(super) http: Option<u16>,
    /// Empty when the place says nothing.
    pub(super) meaning: String,
    pub(super) advice: String,
    pub(super) hint: String,
}

/// HTTP statuses that a refusal sets by name, since its code's would say less.
const STATUSES: [(&str, u16); 2] = [("METHOD_NOT_ALLOWED", 405), ("PAYLOAD_TOO_LARGE", 413)];

/// Everything that the sources give.
pub(super) fn all(repository: &Repository, codes: &Codes) -> Vec<Seen> {
    let mut found = Vec::new();
    for (area, path, text) in sources(repository) {
        let at = |mut seen: Seen| {
            seen.area = area;
            path.clone_into(&mut seen.path);
            seen
        };
        let functions = functions(text);
        let errors = of_errors(repository, path, &functions, codes);
        found.extend(errors.into_iter().map(at));
        found.extend(of_constants(text).into_iter().map(at));
        found.extend(of_calls(text, &functions, codes).into_iter().map(at));
    }
    found
}

/// `fn reason` of error types, with their `fn code`.
fn of_errors(
    repository: &Repository,
    path: &str,
    functions: &[Function],
    codes: &Codes,
) -> Vec<Seen> {
    let mut found = Vec::new();
    for reasons in functions
        .iter()
        .filter(|f| f.name == "reason" && !f.of_type.is_empty())
    {
        let of_type = &reasons.of_type;
        let Some(definition) = definition(repository, path, of_type) else {
            continue;
        };
        let is_code = |f: &&Function| f.name == "code" && f.of_type == *of_type;
        let code_arms = functions.iter().find(is_code).map(|f| arms(&f.body));
        let code_arms = code_arms.unwrap_or_default();
        for arm in arms(&reasons.body) {
            let Some(reason) = reason_in(&arm.value) else {
                continue;
            };
            if arm.variants.is_empty() {
                let code = code_arms
                    .first()
                    .map_or("", |arm| code_of(codes, &arm.value));
                found.push(seen(
                    &reason,
                    code,
                    definition.docs.clone(),
                    &definition.attributes,
                ));
            }
            for variant in &arm.variants {
                let is_for = |arm: &&_| is_for_variant(arm, variant);
                let code_arm = code_arms.iter().find(is_for);
                let code = code_arm.map_or("", |arm| code_of(codes, &arm.value));
                let member = definition
                    .members
                    .iter()
                    .find(|member| member.name == *variant);
                let Some(member) = member else {
                    continue;
                };
                let docs = docs_of(repository, path, member);
                found.push(seen(&reason, code, docs, &member.attributes));
            }
        }
    }
    found
}

/// The documentation of a variant; where it only hands on another error, that error's.
fn docs_of(repository: &Repository, path: &str, member: &Member) -> String {
    if !member.docs.is_empty() || !member.attributes.contains("#[error(transparent)]") {
        return member.docs.clone();
    }
    let inner = member
        .kind
        .trim_end_matches(')')
        .rsplit([' ', '(', ':'])
        .next();
    let inner = inner.and_then(|name| definition(repository, path, name));
    inner.map(|definition| definition.docs).unwrap_or_default()
}

fn is_for_variant(arm: &Arm, variant: &str) -> bool {
    arm.variants.is_empty() || arm.variants.iter().any(|each| each == variant)
}

/// A code that is written there, and not found out by asking something else.
fn code_of<'a>(codes: &'a Codes, value: &str) -> &'a str {
    if value.starts_with("match ") || value.contains(".code()") {
        return "";
    }
    codes.first_in(value)
}

/// A literal, or the name of a constant that spells itself.
fn reason_in(value: &str) -> Option<String> {
    let literal = literals(value)
        .into_iter()
        .map(|literal| literal.value)
        .next();
    let named = || value.rsplit_once("::").map(|(_, name)| name.trim());
    let reason = literal.or_else(named)?;
    is_upper_snake(reason).then(|| reason.to_owned())
}

fn seen(reason: &str, code: &str, docs: String, attributes: &str) -> Seen {
    let text = error_text(attributes);
    let meaning = if docs.is_empty() {
        sentence(&text)
    } else {
        docs
    };
    // What stands after the semicolon tells the reader what to do.
    let hint = text.split_once("; ").map(|(_, hint)| hint.to_owned());
    Seen {
        reason: reason.to_owned(),
        code: code.to_owned(),
        meaning,
        hint: hint.filter(|hint| !hint.contains('{')).unwrap_or_default(),
        ..Seen::default()
    }
}

/// What `#[error("…")]` says.
fn error_text(attributes: &str) -> String {
    let inside = attributes.split_once("#[error(").map(|(_, inside)| inside);
    let first = inside.and_then(|inside| literals(inside).into_iter().next());
    let is_error_text = |literal: &Literal<'_>| literal.before.trim().is_empty();
    first
        .filter(is_error_text)
        .map(|literal| literal.value.to_owned())
        .unwrap_or_default()
}

/// A message as a sentence, what it is filled with left open.
fn sentence(message: &str) -> String {
    let mut text = String::new();
    let mut in_braces = false;
    for character in message.chars() {
        match character {
            '{' => {
                in_braces = true;
                text.push('…');
            }
            '}' => in_braces = false,
            _ if in_braces => {}
            c if text.is_empty() => text.extend(c.to_uppercase()),
            c => text.push(c),
        }
    }
    if text.trim_matches(['…', ':', ' ']).is_empty() {
        return String::new();
    }
    text.push('.');
    text
}

/// The type in its file, or else in its crate.
fn definition(repository: &Repository, path: &str, name: &str) -> Option<Definition> {
    let in_file = |text: &str| {
        definitions(text)
            .into_iter()
            .find(|found| found.name == name)
    };
    if let Some(found) = repository.text(path).and_then(in_file) {
        return Some(found);
    }
    let folder = path.split_inclusive("/src/").next()?;
    let files = repository
        .rust()
        .filter(|(path, _)| path.starts_with(folder));
    files.filter_map(|(_, text)| in_file(text)).next()
}

/// Documented constants that spell themselves, one by one or by `reasons!`.
fn of_constants(text: &str) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut docs: Vec<&str> = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        if line == "reasons! {" {
            in_macro = true;
        } else if line == "}" {
            in_macro = false;
        }
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            docs.push(text.trim());
            continue;
        }
        let name = match line.strip_prefix("pub const ") {
            Some(rest) if line.ends_with(&format!(": &str = \"{}\";", word(rest))) => word(rest),
            _ if in_macro => line.strip_suffix(';').unwrap_or_default(),
            _ => "",
        };
        if is_upper_snake(name) {
            found.push(Seen {
                reason: name.to_owned(),
                meaning: docs.join(" "),
                ..Seen::default()
            });
        }
        docs.clear();
    }
    found
}

/// Code and reason side by side: `(reason, code, advice)` of a table, and the refusals that a
/// function makes.
fn of_calls(text: &str, functions: &[Function], codes: &Codes) -> Vec<Seen> {
    let mut found = Vec::new();
    for literal in literals(text) {
        if !is_upper_snake(literal.value) {
            continue;
        }
        if let Some((code, advice)) = table_entry(literal.after) {
            let code = codes.first_in(code);
            let advice = advice.replace("\\\"", "\"");
            found.push(Seen {
                reason: literal.value.to_owned(),
                code: code.to_owned(),
                advice,
                ..Seen::default()
            });
            continue;
        }
        let before = literal.before.trim_end().trim_end_matches(',');
        let argument = before
            .rsplit(['(', ',', '\n'])
            .next()
            .unwrap_or_default()
            .trim();
        let function = functions.iter().find(|f| f.lines.contains(&literal.line));
        let (Some(_), Some(function)) = (argument.strip_prefix("Code::"), function) else {
            continue;
        };
        // What a constructor is for is what the refusal means; other functions do more.
        let makes_it = before.trim_end_matches(argument).ends_with("Self::new(");
        let named = |(name, _): &&(&str, u16)| {
            function
                .body
                .contains(&format!("status = StatusCode::{name}"))
        };
        found.push(Seen {
            reason: literal.value.to_owned(),
            code: codes.first_in(argument).to_owned(),
            http: STATUSES.iter().find(named).map(|(_, status)| *status),
            meaning: if makes_it {
                function.docs.clone()
            } else {
                String::new()
            },
            ..Seen::default()
        });
    }
    found
}

/// `, Code::X, "advice")` after the reason.
fn table_entry(after: &str) -> Option<(&str, &str)> {
    let (code, rest) = after.trim_start().strip_prefix(',')?.split_once(',')?;
    let rest = rest.trim_start();
    let advice = literals(rest)
        .into_iter()
        .next()
        .filter(|_| rest.starts_with('"'))?;
    let is_entry = advice
        .after
        .trim_start_matches([',', ' ', '\n'])
        .starts_with(')');
    (is_entry && code.trim().starts_with("Code::")).then_some((code, advice.value))
}
