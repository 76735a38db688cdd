//! Documents from files, folders and standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use baetyl_proto::document::{self, ParsedDocument, parse_documents_with};

use crate::failure::Failure;

/// The largest file that a document may take a value from.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The documents of one file.
pub(crate) struct DocumentSet {
    /// Path of the file, or `standard input`.
    pub(crate) source: String,
    /// Its documents.
    pub(crate) documents: Vec<ParsedDocument>,
    text: String,
}

/// Reads everything that the paths name; all faults of all files are reported together.
pub(crate) fn collect(paths: &[PathBuf]) -> Result<Vec<DocumentSet>, Failure> {
    let mut sets = Vec::new();
    let mut faults = Vec::new();
    for path in files(paths)? {
        let (source, text, folder) = read(&path)?;
        let outcome = parse_documents_with(&source, &text, &|name| value(&folder, name));
        match outcome {
            Ok(documents) => sets.push(DocumentSet {
                source,
                documents,
                text,
            }),
            Err(errors) => faults.push(errors.to_string()),
        }
    }
    if faults.is_empty() {
        return Ok(sets);
    }
    let mut text = faults.join("\n");
    // The head of the first file says it all, as people are told everywhere.
    if let Some(end) = text.find('\n') {
        text.insert_str(
            end,
            ", nothing was stored  [INVALID_ARGUMENT / FIELD_VIOLATION]",
        );
    }
    Err(Failure::failed(text))
}

/// Folders become the documents in them, by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| unreadable(path, &error))?;
        let mut found: Vec<PathBuf> = entries
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| is_document(path) && path.is_file())
            .collect();
        found.sort();
        if found.is_empty() {
            let path = path.display();
            return Err(Failure::usage(format!(
                "{path} has no .yaml, .yml or .json file"
            )));
        }
        all.extend(found);
    }
    Ok(all)
}

fn is_document(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| matches!(ending, "yaml" | "yml" | "json"))
}

fn read(path: &Path) -> Result<(String, String, PathBuf), Failure> {
    let mut text = String::new();
    if path == Path::new("-") {
        let mut input = std::io::stdin().lock();
        input.read_to_string(&mut text).map_err(Failure::local)?;
        return Ok(("standard input".to_owned(), text, PathBuf::from(".")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    Ok((path.display().to_string(), text, folder))
}

/// The bytes of a file that a document takes a value from.
fn value(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(name);
    let size = std::fs::metadata(&path).map(|data| data.len());
    match size {
        Ok(size) if size > MAX_FILE_BYTES => Err(format!(
            "{name} is larger than {} MiB",
            MAX_FILE_BYTES / 1024 / 1024
        )),
        Ok(_) => std::fs::read(&path).map_err(|error| format!("{name}: {error}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}

/// The document at a place in the set that was sent.
pub(crate) fn nth(sets: &[DocumentSet], index: usize) -> Option<(&DocumentSet, &ParsedDocument)> {
    let all = sets.iter();
    let mut all = all.flat_map(|set| set.documents.iter().map(move |parsed| (set, parsed)));
    all.nth(index)
}

/// `document 2, Application sensors`, with the file when several were given.
pub(crate) fn title(set: &DocumentSet, parsed: &ParsedDocument) -> String {
    let (number, kind, name) = (parsed.number, &parsed.kind, &parsed.name);
    format!("{}: document {number}, {kind} {name}", set.source)
}

/// The line of a field in its file.
pub(crate) fn line(set: &DocumentSet, parsed: &ParsedDocument, path: &str) -> Option<u32> {
    let place = document::locate(&set.source, &set.text, parsed.number, path);
    place.map(|place| place.line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONFIGURATION: &str = "apiVersion: baetyl.io/v1\nkind: Configuration\nname: code\n\
        dataFromFiles:\n  main.py: main.py\n";

    #[test]
    fn when_a_folder_is_given_then_its_documents_are_read_with_their_files() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("b.yaml"), CONFIGURATION).expect("written");
        fs::write(folder.path().join("main.py"), "print(1)").expect("written");
        fs::write(folder.path().join("README.md"), "no document").expect("written");

        let sets = collect(&[folder.path().to_owned()]).expect("read");

        assert_eq!(sets.len(), 1);
        let shown = document::to_json(&sets[0].documents[0].document, <_>::default());
        assert_eq!(shown["data"]["main.py"], "print(1)");
        assert_eq!(line(&sets[0], &sets[0].documents[0], "name"), Some(3));
    }

    #[test]
    fn when_files_are_wrong_then_all_faults_are_reported_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), CONFIGURATION).expect("written");
        let typo = CONFIGURATION.replace("dataFromFiles", "dataFromFile");
        fs::write(folder.path().join("b.yaml"), typo).expect("written");

        let failure = collect(&[folder.path().to_owned()]).err().expect("refused");

        let text = failure.to_string();
        assert!(text.contains("main.py"), "{text}");
        assert!(text.contains("dataFromFile"), "{text}");
        assert!(text.contains("nothing was stored"), "{text}");
    }
}
