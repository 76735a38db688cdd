//! The files of the repository, read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's text files by path from its top, with `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// Where it is.
    pub(crate) root: PathBuf,
    files: BTreeMap<String, String>,
}

impl Repository {
    /// Reads every file that git knows or would know: what is ignored is not looked at.
    pub(crate) fn open() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("xtask has no parent folder")?;
        let listing = git(
            root,
            &["ls-files", "--cached", "--others", "--exclude-standard"],
        )?;
        let mut files = BTreeMap::new();
        for path in listing.lines() {
            // Deleted but not committed yet, or no text: nothing to check.
            if let Ok(text) = fs::read_to_string(root.join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            files,
        })
    }

    /// A repository of these files, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Self {
            root: PathBuf::new(),
            files,
        }
    }

    /// Every file with its text, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose path ends so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter(move |(path, _)| path.ends_with(end))
    }

    /// Rust files that people write.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(".rs").filter(|(path, _)| !is_generated(path))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is such a file, or a folder with files in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|known| known.starts_with(&folder))
            || (!self.root.as_os_str().is_empty() && self.root.join(path).is_file())
    }

    /// Folders of the workspace's packages, from the `members` list.
    pub(crate) fn packages(&self) -> Vec<&str> {
        let manifest = self.text("Cargo.toml").unwrap_or_default();
        manifest
            .lines()
            .skip_while(|line| !line.starts_with("members"))
            .skip(1)
            .take_while(|line| !line.starts_with(']'))
            .filter_map(|line| line.split('"').nth(1))
            .collect()
    }
}

/// Whether a generator wrote the file.
pub(crate) fn is_generated(path: &str) -> bool {
    path.contains("/src/gen/")
}

/// Whether the file holds only tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_test.py")
}

/// What git prints for a command, or why it failed.
pub(crate) fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("git {}: {}", arguments.join(" "), reason.trim()))
}
