//! Tables in documents: between two marks, kept as the sources give them.

#[cfg(test)]
mod tests;

use super::Tables;
use crate::finding::Finding;
use crate::repository::Repository;

const OPEN: &str = "<!-- generated: ";
const CLOSE: &str = "<!-- end of generated -->";

/// Compares the document with what the sources give.
pub(super) fn check(repository: &Repository, tables: &Tables, findings: &mut Vec<Finding>) {
    findings.extend(tables.findings.iter().cloned());
    let path = tables.document;
    let present = repository.text(path).unwrap_or_default();
    let wanted = match filled(present, tables) {
        Ok(wanted) => wanted,
        Err((line, message)) => {
            findings.push(Finding::error(path, line, "generated", message));
            return;
        }
    };
    let mut pairs = present.lines().zip(wanted.lines());
    let same = pairs
        .by_ref()
        .take_while(|(is, should)| is == should)
        .count();
    if present != wanted {
        let message = "is not what the sources give: run ./just docs";
        findings.push(Finding::error(path, same + 1, "generated", message));
    }
}

/// Writes what the sources give into the document; whether that changed it.
pub(super) fn write(repository: &Repository, tables: &Tables) -> Result<bool, String> {
    let path = tables.document;
    let present = repository.text(path).unwrap_or_default();
    let wanted =
        filled(present, tables).map_err(|(line, message)| format!("{path}:{line}: {message}"))?;
    if present == wanted {
        return Ok(false);
    }
    std::fs::write(repository.root.join(path), wanted)
        .map_err(|error| format!("cannot write {path}: {error}"))?;
    Ok(true)
}

/// The document with its tables replaced, or the line that is wrong.
fn filled(present: &str, tables: &Tables) -> Result<String, (usize, String)> {
    let mut text = String::new();
    let mut lines = present.lines().enumerate();
    let mut written = Vec::new();
    while let Some((index, line)) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let name = line
            .strip_prefix(OPEN)
            .and_then(|rest| rest.strip_suffix(" -->"));
        let Some(name) = name else {
            continue;
        };
        let Some((known, table)) = tables.regions.iter().find(|(known, _)| *known == name) else {
            return Err((
                index + 1,
                format!("there is no table `{name}` for this document"),
            ));
        };
        if !lines.any(|(_, line)| line == CLOSE) {
            return Err((index + 1, format!("`{name}` has no end: {CLOSE}")));
        }
        text.push_str(&format!("\n{table}\n{CLOSE}\n"));
        written.push(*known);
    }
    for (name, _) in &tables.regions {
        let count = written.iter().filter(|known| *known == name).count();
        if count != 1 {
            let message = format!("has `{OPEN}{name} -->` {count} times, and needs it once");
            return Err((1, message));
        }
    }
    Ok(text)
}
