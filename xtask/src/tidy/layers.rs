//! Who may depend on whom: strictly downward, and services never on each other.

use crate::finding::Finding;
use crate::repository::Repository;

/// Level 0: each stands alone.
const GROUND: [&str; 5] = ["proto", "shadow", "service-kit", "process", "pki"];

/// Level 3: they meet in `proto` only.
const SERVICES: [&str; 6] = ["cloud", "core", "function", "runtime", "init", "gateway"];

/// What a service may use unless its own line below says more.
const SERVICE_BASE: [&str; 5] = ["proto", "shadow", "service-kit", "pki", "model"];

/// Packages that may depend on everything, being on top of it.
const TOP: [&str; 4] = ["cli", "tests", "e2e", "benches"];

/// Packages that only tests, and the benchmarks, may use; they use none of ours.
const TEST_ONLY: [&str; 1] = ["apiserver"];

/// What is on top and starts the system, or a cluster, as somebody else does.
const HARNESSES: [(&str, &str); 3] = [("benches", "tests"), ("benches", "e2e"), ("tests", "e2e")];

/// External crates with one home each: what they are about is known in one place.
const HOMES: [(&str, &str); 7] = [
    ("kube", "engine"),
    ("k8s-openapi", "engine"),
    ("rcgen", "pki"),
    ("x509-parser", "pki"),
    ("rustls-pemfile", "pki"),
    ("redb", "core"),
    ("sqlx", "cloud"),
];

/// Names every dependency for one feature set; it is no part of any program.
const UNIFY: &str = "unify";

/// Whether `package` may name `dependency` outside its tests.
fn may_use(package: &str, dependency: &str) -> bool {
    if TEST_ONLY.contains(&dependency) && package == "cli" {
        return false;
    }
    if TOP.contains(&package) {
        return !TOP.contains(&dependency) || HARNESSES.contains(&(package, dependency));
    }
    match package {
        "model" => ["proto", "shadow", "service-kit"].contains(&dependency),
        "engine" => ["proto", "shadow", "model", "process", "service-kit"].contains(&dependency),
        "core" | "init" => SERVICE_BASE.contains(&dependency) || dependency == "engine",
        "runtime" => SERVICE_BASE.contains(&dependency) || dependency == "process",
        _ if SERVICES.contains(&package) => SERVICE_BASE.contains(&dependency),
        _ => false,
    }
}

/// Whether the tests of `package` may name `dependency`: anything but another service.
fn tests_may_use(package: &str, dependency: &str) -> bool {
    let is_service = |name| SERVICES.contains(&name);
    let joins_services = is_service(package) && is_service(dependency);
    may_use(package, dependency) || !joins_services && !TOP.contains(&dependency)
}

/// Checks every package's manifest.
pub(super) fn check(repository: &Repository, findings: &mut Vec<Finding>) {
    for folder in repository.packages() {
        let path = format!("{folder}/Cargo.toml");
        let Some(manifest) = repository.text(&path) else {
            findings.push(Finding::error(
                "Cargo.toml",
                1,
                "layers",
                format!("no {path}"),
            ));
            continue;
        };
        let package = folder.rsplit('/').next().unwrap_or(folder);
        for dependency in dependencies(manifest) {
            if let Some(message) = fault(package, &dependency) {
                findings.push(Finding::error(&path, dependency.line, "layers", message));
            }
        }
        if package != UNIFY && !inherits_lints(manifest) {
            let message = "must say `[lints] workspace = true`";
            findings.push(Finding::error(&path, 1, "lints", message));
        }
    }
}

fn fault(package: &str, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if let Some(own) = name.strip_prefix("baetyl-") {
        let allowed = if dependency.is_for_tests {
            tests_may_use(package, own)
        } else {
            may_use(package, own)
        };
        let from = if GROUND.contains(&package) {
            "level 0 stands alone"
        } else {
            "see the table in ARCHITECTURE.md"
        };
        return (!allowed).then(|| format!("{package} may not depend on {own}: {from}"));
    }
    if dependency.is_for_tests || package == UNIFY || TOP.contains(&package) {
        return None;
    }
    if package == "xtask" {
        return Some(format!("{name}: xtask uses the standard library only"));
    }
    let (_, home) = HOMES.iter().find(|(known, _)| *known == name)?;
    (package != *home).then(|| format!("{name} is known to {home} only"))
}

/// One dependency of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) is_for_tests: bool,
}

/// Reads the dependency tables of a manifest, in both ways of writing them.
pub(super) fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut section = "";
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        let here = |name: &str, section: &str| Dependency {
            name: name.trim_matches('"').to_owned(),
            line: index + 1,
            is_for_tests: section.contains("dev-dependencies"),
        };
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push(here(name, section));
            }
            continue;
        }
        if !section.ends_with("dependencies") || line.starts_with('#') {
            continue;
        }
        if let Some((key, _)) = line.split_once('=') {
            let name = key.split('.').next().unwrap_or(key).trim();
            found.push(here(name, section));
        }
    }
    found
}

fn inherits_lints(manifest: &str) -> bool {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[lints]")
        .nth(1)
        .is_some_and(|line| line.trim() == "workspace = true")
}
