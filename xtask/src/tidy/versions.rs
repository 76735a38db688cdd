//! One version for the workspace and its charts.

use crate::finding::Finding;
use crate::repository::Repository;

/// Compares every chart with the workspace.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    let manifest = repository.text("Cargo.toml").unwrap_or_default();
    let Some(version) = workspace_version(manifest) else {
        let message = "[workspace.package] has no version";
        findings.push(Finding::error("Cargo.toml", 1, "version", message));
        return;
    };
    for (path, chart) in repository.ending("/Chart.yaml") {
        for key in ["version", "appVersion"] {
            let found = chart.lines().enumerate().find_map(|(index, line)| {
                let value = line.strip_prefix(key)?.strip_prefix(':')?;
                Some((index + 1, value.trim().trim_matches('"')))
            });
            match found {
                Some((_, value)) if value == version => {}
                Some((line, value)) => {
                    let message = format!("{key} is {value}, the workspace is {version}");
                    findings.push(Finding::error(path, line, "version", message));
                }
                None => {
                    let message = format!("no {key}");
                    findings.push(Finding::error(path, 1, "version", message));
                }
            }
        }
    }
}

fn workspace_version(manifest: &str) -> Option<&str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.package]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("version = "))
        .map(|value| value.trim_matches('"'))
}
