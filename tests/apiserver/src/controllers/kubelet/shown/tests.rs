//! What a program finds in the folder of an input.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Shown;
use crate::controllers::paths::Paths;
use crate::controllers::room::{Files, Volume};

fn files(entries: &[(&str, &str)]) -> Files {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    Files {
        entries: entries.iter().map(own).collect(),
        ..Files::default()
    }
}

fn read(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

#[test]
fn when_an_input_changes_then_all_its_files_are_switched_by_one_link() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Paths::default();
    paths.add("/etc/x", folder.path().to_owned());
    let volume: Volume = Arc::new(Mutex::new(files(&[("a", "at /etc/x/b"), ("b/c", "1")])));
    let mut shown = Shown::new(folder.path().to_owned(), volume.clone());
    shown.show(&paths).unwrap();
    let first = fs::read_link(folder.path().join("..data")).unwrap();
    let at = format!("at {}/b", folder.path().display());
    assert_eq!(read(folder.path(), "a"), Some(at));
    assert_eq!(read(folder.path(), "b/c").as_deref(), Some("1"));

    *volume.lock() = files(&[("a", "2")]);
    shown.show(&paths).unwrap();

    let second = fs::read_link(folder.path().join("..data")).unwrap();
    assert_ne!(first, second);
    assert_eq!(read(folder.path(), "a").as_deref(), Some("2"));
    assert_eq!(read(folder.path(), "b/c"), None);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3, "a, ..data and what it leads to");
}

#[test]
fn when_a_container_is_started_again_then_its_files_are_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let volume: Volume = Arc::new(Mutex::new(files(&[("a", "1")])));
    let paths = Paths::default();
    let show = || Shown::new(folder.path().to_owned(), volume.clone()).show(&paths);
    show().unwrap();

    *volume.lock() = files(&[("a", "2")]);
    show().unwrap();

    assert_eq!(read(folder.path(), "a").as_deref(), Some("2"));
}
