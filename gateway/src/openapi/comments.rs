//! The comments of the contract, which are its documentation.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// Comments by file and path in it.
#[derive(Debug)]
pub(super) struct Comments {
    texts: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let mut texts = HashMap::new();
        for file in pool.file_descriptor_protos() {
            let places = file
                .source_code_info
                .as_ref()
                .map(|info| info.location.as_slice());
            for place in places.unwrap_or_default() {
                if let Some(comment) = &place.leading_comments {
                    let key = (file.name().to_owned(), place.path.clone());
                    texts.insert(key, cleaned(comment));
                }
            }
        }
        Self { texts }
    }

    /// The comment of what is at a path of a file; empty without one.
    pub(super) fn of(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        let key = (file.name().to_owned(), path.to_vec());
        self.texts.get(&key).map_or("", String::as_str)
    }
}

/// Lines of one paragraph are joined, blank lines stay.
fn cleaned(comment: &str) -> String {
    let paragraphs = comment.trim().split("\n\n");
    let paragraphs: Vec<_> = paragraphs
        .map(|paragraph| {
            let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
            lines.join(" ").trim().to_owned()
        })
        .collect();
    paragraphs.join("\n\n")
}

/// The first sentence.
pub(super) fn summary(comment: &str) -> &str {
    match comment.find(". ") {
        Some(end) => &comment[..=end],
        None => comment,
    }
}
