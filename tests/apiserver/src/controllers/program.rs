//! Programs of this machine that stand for images.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A program of this machine that runs where a container of an image would run it.
///
/// It is a real process that lives in real time: a scene with programs should have
/// [`Scene::speed`](super::Scene::speed) 1, or deadlines of the cluster are over too soon for it.
/// It gets the arguments and variables of the container, and of this machine's variables none.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) path: PathBuf,
    pub(super) variables: BTreeMap<String, String>,
}

impl Program {
    /// A program whose image sets no variables.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            variables: BTreeMap::new(),
        }
    }

    /// With a variable that the image sets; one of the container has precedence.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}
