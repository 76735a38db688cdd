//! `docs`: the documents say what is so. Links lead somewhere, commands exist, and tables
//! that the sources give are as the sources give them.

mod generated;
mod links;
mod reasons;
mod rust;
mod settings;

use crate::finding::Finding;
use crate::repository::Repository;

/// The generated tables of one document.
struct Tables {
    document: &'static str,
    /// Name and text of each.
    regions: Vec<(&'static str, String)>,
    /// What the sources do not say.
    findings: Vec<Finding>,
}

/// Everything that is wrong in the documents.
pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    let mut findings = links::check(repository);
    for tables in tables(repository) {
        generated::check(repository, &tables, &mut findings);
    }
    Ok(findings)
}

/// Writes the generated tables; what is left is for people.
pub(crate) fn write(repository: &Repository) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for tables in tables(repository) {
        if generated::write(repository, &tables)? {
            findings.push(Finding::note(tables.document, 1, "generated", "written"));
        }
        findings.extend(tables.findings);
    }
    Ok(findings)
}

fn tables(repository: &Repository) -> [Tables; 2] {
    [reasons::tables(repository), settings::tables(repository)]
}

/// A Markdown table; cells may hold anything but a line break.
fn table(head: &[&str], lines: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for cells in lines {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// Rustdoc's links become plain code; a bar does not end the cell.
fn escaped(cell: &str) -> String {
    cell.replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}
