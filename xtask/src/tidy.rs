//! `tidy`: the rules of STYLE.md and ARCHITECTURE.md that a program can check.

mod layers;
mod lines;
mod modules;
mod names;
mod shape;
mod versions;

#[cfg(test)]
mod tests;

use crate::finding::Finding;
use crate::repository::Repository;

/// Every finding of every rule.
pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    layers::check(repository, &mut findings);
    lines::check(repository, &mut findings);
    modules::check(repository, &mut findings);
    names::check(repository, &mut findings);
    shape::check(repository, &mut findings);
    versions::check(repository, &mut findings);
    Ok(findings)
}
