//! From the path of a violation back to the line that somebody wrote.

use super::{files, format_of, parse};
use crate::json::{self, Node, NodeKind, Position};

/// Finds what a path of a document means in its text, for violations that a server found:
/// `services[0].functions[0].handler`. What is not in the text is where its parent is.
/// `number` counts documents as [`super::ParsedDocument::number`] does. Reads the text again.
#[must_use]
pub fn locate(source_name: &str, text: &str, number: usize, path: &str) -> Option<Position> {
    let found = parse::flattened(json::parse_all(text, format_of(source_name, text)));
    let (_, outcome) = found.into_iter().nth(number.checked_sub(1)?)?;
    let document = outcome.ok()?;
    let path = without_kind(&document, path);
    let in_file = taken_from_file(&document, path);
    Some(in_file.unwrap_or_else(|| descend(&document, document.at, path)))
}

/// Where a value is taken from a file, when it is.
fn taken_from_file(document: &Node<'_>, path: &str) -> Option<Position> {
    let NodeKind::Map(entries) = &document.get(files::FIELD)?.kind else {
        return None;
    };
    let maps = ["data.", "binaryData.", "stringData."];
    let key = maps.iter().find_map(|map| path.strip_prefix(map));
    let key = key.unwrap_or(path);
    let mut entries = entries.iter();
    let (entry, _) = entries.find(|(entry, _)| entry.text == key)?;
    Some(entry.at)
}

/// In a request, a document is the field of its kind: `application.services[0]`.
fn without_kind<'p>(document: &Node<'_>, path: &'p str) -> &'p str {
    let kind = document.get("kind").and_then(Node::as_text);
    match (path.split_once('.'), kind) {
        (Some((first, rest)), Some(kind)) if first.eq_ignore_ascii_case(kind) => rest,
        _ => path,
    }
}

/// Takes the longest key or index that the path begins with, and goes on below it.
fn descend(node: &Node<'_>, at: Position, path: &str) -> Position {
    if path.is_empty() {
        return at;
    }
    match &node.kind {
        NodeKind::List(items) => {
            let Some((index, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']'))
            else {
                return at;
            };
            match index
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index))
            {
                Some(item) => descend(item, item.at, rest),
                None => at,
            }
        }
        NodeKind::Map(entries) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            // Keys such as `limits.json` hold the separator themselves.
            let entry = entries
                .iter()
                .filter_map(|(key, value)| Some((key, value, rest_after(path, &key.text)?)))
                .min_by_key(|(_, _, rest)| rest.len());
            match entry {
                Some((key, value, rest)) => descend(value, key.at, rest),
                None => at,
            }
        }
        _ => at,
    }
}

/// What is left of a path behind a key, plain or in quotes.
fn rest_after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let quoted = format!("[{key:?}]");
    let rest = match path.strip_prefix(&quoted) {
        Some(rest) => rest,
        None => without_key(path, key)?,
    };
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// The contract's names (`volume_mounts`) are as good as those of JSON.
fn without_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if let Some(rest) = path.strip_prefix(key) {
        return Some(rest);
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let folded = |text: &str| text.replace('_', "").to_ascii_lowercase();
    (folded(name) == folded(key)).then_some(rest)
}
