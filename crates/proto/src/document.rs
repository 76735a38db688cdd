//! Documents: what people write in files, and what `get -o yaml` prints.
//!
//! A document is `apiVersion: baetyl.io/v1`, `kind`, then the fields of the resource, in YAML or
//! JSON; a file may hold many. What was printed can be applied again: fields that only the server
//! sets are skipped.

use std::fmt;

use prost_reflect::{
    DynamicMessage, MessageDescriptor, OneofDescriptor, ReflectMessage as _, Value,
};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use crate::cloud::v1::Document;
use crate::json::{self, Format, Position, View, Violation, WriteOptions};
use crate::pool;

mod files;
mod locate;
mod parse;
#[cfg(test)]
mod tests;

pub use locate::locate;
pub use parse::{parse_documents, parse_documents_with};

/// Gives the bytes of a file that a document names, or says why not.
pub type FileSource<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// The only `apiVersion`.
pub const API_VERSION: &str = "baetyl.io/v1";

/// The most documents of one text; the server takes no more in one set.
pub const MAX_DOCUMENTS: usize = 1000;

const DOCUMENT: &str = "baetyl.cloud.v1.Document";

/// A document that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedDocument {
    /// Which document of its text, from 1.
    pub number: usize,
    /// Its kind, for example `Application`.
    pub kind: String,
    /// Its name; empty when it has none, which the server refuses.
    pub name: String,
    /// The resource.
    pub document: Document,
    /// Its first line, from 1.
    pub line: u32,
}

/// What is wrong with one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// Which document of its text, from 1.
    pub number: usize,
    /// Its kind, when it could be read.
    pub kind: Option<String>,
    /// Its name, when it could be read.
    pub name: Option<String>,
    /// Its first line, from 1.
    pub line: u32,
    /// Everything that is wrong with it, paths beginning at the document.
    pub violations: Vec<Violation>,
}

/// Everything that is wrong with the documents of one text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentErrors {
    /// Name of the text, as a file's path.
    pub source_name: String,
    /// Each wrong document.
    pub documents: Vec<DocumentError>,
}

impl DocumentErrors {
    /// How many fields are wrong in all documents together.
    #[must_use]
    pub fn count(&self) -> usize {
        self.documents
            .iter()
            .map(|document| document.violations.len())
            .sum()
    }
}

impl fmt::Display for DocumentErrors {
    /// "2 fields are wrong in broken.yaml", and a block for each document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.count() {
            1 => "1 field is".to_owned(),
            count => format!("{count} fields are"),
        };
        write!(f, "{verb} wrong in {}", self.source_name)?;
        for document in &self.documents {
            write!(f, "\n  document {}", document.number)?;
            if let Some(kind) = &document.kind {
                write!(f, ", {kind}")?;
            }
            if let Some(name) = &document.name {
                write!(f, " {name}")?;
            }
            for violation in &document.violations {
                write!(f, "\n    {violation}")?;
            }
        }
        Ok(())
    }
}

/// The kinds that there are, as the contract has them.
#[must_use]
pub fn kinds() -> Vec<String> {
    resource()
        .fields()
        .filter_map(|field| kind_of(&field))
        .collect()
}

/// The oneof that holds the resource of a document.
fn resource() -> OneofDescriptor {
    let document = pool::message(DOCUMENT).expect("the contract has documents");
    document
        .oneofs()
        .next()
        .expect("a document is one resource")
}

fn kind_of(field: &prost_reflect::FieldDescriptor) -> Option<String> {
    Some(message_of(field)?.name().to_owned())
}

fn message_of(field: &prost_reflect::FieldDescriptor) -> Option<MessageDescriptor> {
    field.kind().as_message().cloned()
}

/// How a text is written, by its name and its beginning.
#[must_use]
pub fn format_of(source_name: &str, text: &str) -> Format {
    let lower = source_name.to_ascii_lowercase();
    if lower.ends_with(".json") {
        return Format::Json;
    }
    if lower.ends_with(".yaml") || lower.ends_with(".yml") {
        return Format::Yaml;
    }
    // Nearly all JSON is YAML too, but only JSON has values that follow each other.
    let begin = text.trim_ascii_start();
    let is_json = begin.starts_with(['{', '['])
        && json::parse_all(text, Format::Json)
            .iter()
            .all(|(_, outcome)| outcome.is_ok());
    if is_json { Format::Json } else { Format::Yaml }
}

/// A document for any serializer: `apiVersion`, `kind`, then the fields by number.
#[derive(Debug, Clone)]
pub struct DocumentView {
    resource: DynamicMessage,
    options: WriteOptions,
}

impl DocumentView {
    /// Shows a document; `None` when it holds no resource. Without
    /// [`WriteOptions::output_only`] what is shown is what somebody would have written.
    #[must_use]
    pub fn try_new(document: &Document, options: WriteOptions) -> Option<Self> {
        let mut document = json::dynamic(DOCUMENT, document);
        let (_, value) = document.take_fields().next()?;
        let Value::Message(resource) = value else {
            return None;
        };
        Some(Self { resource, options })
    }
}

impl Serialize for DocumentView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut mapping = serializer.serialize_map(None)?;
        mapping.serialize_entry("apiVersion", API_VERSION)?;
        mapping.serialize_entry("kind", self.resource.descriptor().name())?;
        View::new(&self.resource, self.options).write_fields(&mut mapping)?;
        mapping.end()
    }
}

/// Prints a document as a tree; null when it holds no resource.
#[must_use]
pub fn to_json(document: &Document, options: WriteOptions) -> serde_json::Value {
    serde_json::to_value(DocumentView::try_new(document, options))
        .expect("keys are text, nothing else can fail")
}

/// Prints documents as YAML, separated by `---`.
#[must_use]
pub fn to_yaml(documents: &[Document], options: WriteOptions) -> String {
    let mut text = String::new();
    for view in documents
        .iter()
        .filter_map(|document| DocumentView::try_new(document, options))
    {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&json::to_yaml(&view).expect("keys are text, nothing else can fail"));
    }
    text
}

const START: Position = Position { line: 1, column: 1 };
