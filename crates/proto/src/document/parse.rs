//! From a text to documents.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::{
    API_VERSION, DOCUMENT, DocumentError, DocumentErrors, FileSource, MAX_DOCUMENTS,
    ParsedDocument, START, files, format_of, kind_of, kinds, message_of, resource,
};
use crate::json::{
    self, Key, Node, NodeKind, Place, ReadOptions, Reader, Violation, nearest, reason,
};
use crate::pool;

/// A value that should be a document, or why there is none.
type Found<'a> = (u32, Result<Node<'a>, Violation>);

/// Reads every document of a text. `source_name` names it in errors; its ending says whether it is
/// JSON or YAML, without one the text does. A list at the top is a list of documents. Empty
/// documents are skipped; numbers count the others.
///
/// # Errors
/// Everything that is wrong in all documents.
pub fn parse_documents(
    source_name: &str,
    text: &str,
) -> Result<Vec<ParsedDocument>, DocumentErrors> {
    parse_with(source_name, text, None)
}

/// As [`parse_documents`], and documents may take values from files. `dataFromFiles: {key: path}`
/// sets keys of a Configuration or Secret, `dataFromFiles: {certificatePem: path}` fields of a
/// Certificate or Registry. `files` gives the bytes of a path, or says why not.
///
/// # Errors
/// Everything that is wrong in all documents, files that cannot be read included.
pub fn parse_documents_with(
    source_name: &str,
    text: &str,
    files: FileSource<'_>,
) -> Result<Vec<ParsedDocument>, DocumentErrors> {
    parse_with(source_name, text, Some(files))
}

fn parse_with(
    source_name: &str,
    text: &str,
    files: Option<FileSource<'_>>,
) -> Result<Vec<ParsedDocument>, DocumentErrors> {
    let mut parsed = Vec::new();
    let mut errors = Vec::new();
    let found = flattened(json::parse_all(text, format_of(source_name, text)));
    if found.len() > MAX_DOCUMENTS {
        errors.push(too_many(found.len()));
    }
    for (index, (line, outcome)) in found.into_iter().take(MAX_DOCUMENTS).enumerate() {
        let number = index + 1;
        match outcome.map_err(|violation| malformed(number, line, violation)) {
            Ok(node) => match document(number, line, &node, files) {
                Ok(document) => parsed.push(document),
                Err(error) => errors.push(error),
            },
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(parsed);
    }
    Err(DocumentErrors {
        source_name: source_name.to_owned(),
        documents: errors,
    })
}

/// Takes lists of documents apart.
pub(super) fn flattened(found: Vec<Found<'_>>) -> Vec<Found<'_>> {
    let mut flat = Vec::with_capacity(found.len());
    for (line, outcome) in found {
        match outcome {
            Ok(Node {
                kind: NodeKind::List(items),
                ..
            }) => flat.extend(items.into_iter().map(|item| (item.at.line, Ok(item)))),
            other => flat.push((line, other)),
        }
    }
    flat
}

fn malformed(number: usize, line: u32, violation: Violation) -> DocumentError {
    DocumentError {
        number,
        kind: None,
        name: None,
        line,
        violations: vec![violation],
    }
}

fn too_many(count: usize) -> DocumentError {
    let violation = Violation {
        path: String::new(),
        reason: reason::TOO_LARGE,
        message: format!("must be at most {MAX_DOCUMENTS} documents, got {count}"),
        at: None,
    };
    malformed(MAX_DOCUMENTS + 1, START.line, violation)
}

fn document(
    number: usize,
    line: u32,
    node: &Node<'_>,
    files: Option<FileSource<'_>>,
) -> Result<ParsedDocument, DocumentError> {
    let mut reader = Reader::new(ReadOptions::request());
    let kind = node.get("kind").and_then(Node::as_text);
    let name = node.get("name").and_then(Node::as_text).unwrap_or_default();
    let read = read(&mut reader, node, files);
    let failed = |violations| DocumentError {
        number,
        kind: kind.map(str::to_owned),
        name: (!name.is_empty()).then(|| name.to_owned()),
        line,
        violations,
    };
    reader.finish().map_err(|violations| failed(violations.0))?;
    let document = read.ok_or_else(|| failed(Vec::new()))?;
    Ok(ParsedDocument {
        number,
        kind: kind.unwrap_or_default().to_owned(),
        name: name.to_owned(),
        document: json::typed(&document),
        line,
    })
}

/// Reads the header, and the resource when its kind is known.
fn read(
    reader: &mut Reader,
    node: &Node<'_>,
    files: Option<FileSource<'_>>,
) -> Option<DynamicMessage> {
    let root = Place::root();
    let NodeKind::Map(entries) = &node.kind else {
        return reader.report(&root, node.at, reason::WRONG_TYPE, || {
            "must be a mapping with apiVersion and kind".to_owned()
        });
    };
    let has_files = files.is_some()
        && matches!(
            node.get("kind").and_then(Node::as_text),
            Some("Configuration" | "Secret" | "Certificate" | "Registry")
        );
    let (header, fields): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|(key, _)| {
        matches!(key.text.as_ref(), "apiVersion" | "kind") || has_files && key.text == files::FIELD
    });
    check_unique(reader, &header, &root);
    check_version(reader, node, &root);
    let kind = check_kind(reader, node, &root)?;
    let descriptor = message_of(&kind)?;
    let mut resource = reader.fields(&descriptor, &fields, &root);
    if let (true, Some(files), Some(node)) = (has_files, files, node.get(files::FIELD)) {
        files::resolve(reader, &mut resource, node, &root, files);
    }
    let mut document = DynamicMessage::new(pool::message(DOCUMENT)?);
    document.set_field(&kind, Value::Message(resource));
    Some(document)
}

fn check_unique(reader: &mut Reader, header: &[(Key<'_>, Node<'_>)], root: &Place<'_>) {
    for (index, (key, _)) in header.iter().enumerate() {
        if header[..index]
            .iter()
            .any(|(before, _)| before.text == key.text)
        {
            let place = root.field(&key.text);
            reader.report::<()>(&place, key.at, reason::DUPLICATE_FIELD, || {
                "is set twice".to_owned()
            });
        }
    }
}

fn check_version(reader: &mut Reader, node: &Node<'_>, root: &Place<'_>) {
    let place = root.field("apiVersion");
    let Some(version) = node.get("apiVersion") else {
        reader.report::<()>(&place, node.at, reason::REQUIRED, || {
            format!("must be {API_VERSION}")
        });
        return;
    };
    if version.as_text() != Some(API_VERSION) {
        reader.report::<()>(&place, version.at, reason::UNKNOWN_VALUE, || {
            format!("must be {API_VERSION}, got {}", place.got(version))
        });
    }
}

fn check_kind(reader: &mut Reader, node: &Node<'_>, root: &Place<'_>) -> Option<FieldDescriptor> {
    let place = root.field("kind");
    let Some(kind) = node.get("kind") else {
        return reader.report(&place, node.at, reason::REQUIRED, || {
            format!("must be one of {}", kinds().join(", "))
        });
    };
    let known = resource()
        .fields()
        .find(|field| kind_of(field).as_deref() == kind.as_text() && kind.as_text().is_some());
    known.or_else(|| {
        reader.report(&place, kind.at, reason::UNKNOWN_VALUE, || {
            let kinds = kinds();
            let mut message = format!(
                "must be one of {}, got {}",
                kinds.join(", "),
                place.got(kind)
            );
            if let Some(meant) = kind.as_text().and_then(|text| nearest(text, &kinds)) {
                message.push_str(&format!("; did you mean {meant}?"));
            }
            message
        })
    })
}
