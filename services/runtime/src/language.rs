//! The languages: their worker scripts and how their interpreters are found.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::error::Error;

/// A language that functions are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Python 3.9 or later.
    Python3,
    /// Node.js 18 or later.
    Node,
}

impl Language {
    /// Every language, for messages.
    pub(crate) const NAMES: &str = "python3 or node";

    /// Reads the name that applications use.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "python3" => Some(Self::Python3),
            "node" => Some(Self::Node),
            _ => None,
        }
    }

    /// The name that applications use, which is also the interpreter's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python3 => "python3",
            Self::Node => "node",
        }
    }

    /// Name and text of the worker script. It is part of this program, so that a device needs
    /// nothing but the interpreter.
    pub(crate) fn script(self) -> (&'static str, &'static str) {
        match self {
            Self::Python3 => (
                "worker.py",
                include_str!("../../../runtimes/python/worker.py"),
            ),
            Self::Node => (
                "worker.js",
                include_str!("../../../runtimes/node/worker.js"),
            ),
        }
    }

    /// Looks the interpreter up in the folders of `search_path`.
    ///
    /// # Errors
    /// [`Error::RuntimeNotFound`].
    pub(crate) fn find(self, search_path: &str) -> Result<PathBuf, Error> {
        let is_program = |path: &PathBuf| {
            fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(search_path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(self.name()))
            .find(is_program)
            .ok_or(Error::RuntimeNotFound {
                program: self.name(),
            })
    }
}
