//! Finds the type that a field names.

use super::super::rust::{Definition, definitions, word};
use crate::repository::{Repository, is_test};

/// A type and the file that it is in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) definition: Definition,
}

/// `Option<a::B>` is B in an Option; a plain type is in nothing.
pub(super) fn element(kind: &str) -> (&str, &str) {
    for outer in ["Option", "Vec", "Box"] {
        let inside = kind
            .strip_prefix(outer)
            .and_then(|rest| rest.strip_prefix('<'));
        if let Some(inside) = inside {
            let (deeper, inner) = element(inside.trim_end_matches('>'));
            return (if deeper.is_empty() { outer } else { deeper }, inner);
        }
    }
    ("", word(kind.rsplit("::").next().unwrap_or(kind)))
}

/// The type that `name` means in a file: its own, that of the crate it is imported from, or
/// else the only one of its crate.
pub(super) fn find(repository: &Repository, path: &str, name: &str) -> Option<Found> {
    let text = repository.text(path)?;
    if let Some(definition) = named(text, name) {
        let path = path.to_owned();
        return Some(Found { path, definition });
    }
    let from = imported_from(text, name);
    let folder = match from.as_deref() {
        None | Some("crate" | "super" | "self") => path
            .split_inclusive("/src/")
            .next()
            .unwrap_or(path)
            .to_owned(),
        Some(package) => format!("{}/src/", folder_of(repository, package)?),
    };
    let mut files = repository
        .rust()
        .filter(|(path, _)| path.starts_with(&folder) && !is_test(path))
        .filter_map(|(path, text)| Some((path.to_owned(), named(text, name)?)));
    let (path, definition) = files.next()?;
    Some(Found { path, definition })
}

fn named(text: &str, name: &str) -> Option<Definition> {
    definitions(text)
        .into_iter()
        .find(|found| found.name == name)
}

/// The first segment of the `use` that brings the name.
fn imported_from(text: &str, name: &str) -> Option<String> {
    let mut imports = text
        .split("\nuse ")
        .skip(1)
        .filter_map(|rest| rest.split(';').next());
    let brings = |import: &&str| {
        import
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|part| part == name)
    };
    imports
        .find(brings)
        .map(|import| word(import.trim()).to_owned())
}

/// The folder of a package that code calls `baetyl_x`.
fn folder_of<'a>(repository: &'a Repository, package: &str) -> Option<&'a str> {
    let line = format!("name = \"{}\"", package.replace('_', "-"));
    repository.packages().into_iter().find(|folder| {
        let manifest = repository
            .text(&format!("{folder}/Cargo.toml"))
            .unwrap_or_default();
        manifest.lines().any(|each| each == line)
    })
}

/// A variant as it is written in a file.
pub(super) fn written(variant: &str, is_snake: bool) -> String {
    let mut text = String::new();
    for (at, character) in variant.char_indices() {
        if is_snake && at > 0 && character.is_uppercase() {
            text.push('_');
        }
        text.extend(character.to_lowercase());
    }
    text
}
