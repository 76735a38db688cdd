//! Where the folders of a container are on this machine.

use std::path::{Path, PathBuf};

/// Paths in a container, and the folders that stand for them; the longest paths first.
///
/// A program of this machine has no root folder of its own: one would need rights that tests do
/// not have everywhere. So paths of mounts are replaced wherever they stand, in arguments,
/// variables and files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(Vec<(String, PathBuf)>);

impl Paths {
    /// Lets a folder appear at a path.
    pub(crate) fn add(&mut self, path: &str, folder: PathBuf) {
        let path = path.trim_end_matches('/').to_owned();
        self.0.push((path, folder));
        self.0
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// Returns the file behind a path of the container; `None` when it lies in no mount.
    pub(crate) fn file(&self, path: &str) -> Option<PathBuf> {
        self.0.iter().find_map(|(mounted, folder)| {
            let inner = Path::new(path).strip_prefix(mounted).ok()?;
            Some(folder.join(inner))
        })
    }

    /// Replaces every path that lies in a mount.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut replaced = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('/') {
            let (before, from) = rest.split_at(start);
            replaced.push_str(before);
            let is_inner = replaced.chars().next_back().is_some_and(is_of_path);
            let found = self.0.iter().find(|(path, _)| {
                let after = from.strip_prefix(path.as_str());
                after.is_some_and(|after| !after.starts_with(is_of_name))
            });
            match found {
                Some((path, folder)) if !is_inner => {
                    replaced.push_str(&folder.to_string_lossy());
                    rest = &from[path.len()..];
                }
                Some(_) | None => {
                    replaced.push('/');
                    rest = &from[1..];
                }
            }
        }
        replaced.push_str(rest);
        replaced
    }
}

/// Whether a letter can stand in the name of a file.
fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || "._-".contains(letter)
}

fn is_of_path(letter: char) -> bool {
    letter == '/' || is_of_name(letter)
}

#[cfg(test)]
mod tests;
