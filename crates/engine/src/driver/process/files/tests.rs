//! Tests of the module `files`.

use std::os::unix::fs::MetadataExt;

use super::*;

fn files(entries: &[(&str, &str)]) -> Files {
    let entry = |(name, text): &(&str, &str)| ((*name).to_owned(), text.to_string().into());
    entries.iter().map(entry).collect()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".."))
        .collect();
    names.sort();
    names
}

#[test]
fn when_a_folder_is_switched_then_readers_of_the_old_path_see_the_new_files() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("volume");
    switch(
        &folder,
        &digest("1"),
        &files(&[("a", "one"), ("b", "1")]),
        Access::Shared,
    )
    .unwrap();
    assert!(is_switched(&folder, &digest("1")));
    assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "one");

    switch(
        &folder,
        &digest("2"),
        &files(&[("a", "two"), ("c", "2")]),
        Access::Shared,
    )
    .unwrap();

    assert!(is_switched(&folder, &digest("2")) && !is_switched(&folder, &digest("1")));
    assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "two");
    assert_eq!(names(&folder), ["a", "c"]);
    let hidden = fs::read_dir(&folder).unwrap().count() - 2;
    assert_eq!(hidden, 2, "the link and one version");
}

#[test]
fn when_a_switch_was_cut_short_then_the_next_one_cleans_up() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("volume");
    fs::create_dir_all(folder.join("..0123.staged77")).unwrap();
    fs::create_dir_all(folder.join("..4567")).unwrap();
    symlink("..4567", folder.join(NEXT)).unwrap();

    switch(
        &folder,
        &digest("1"),
        &files(&[("a", "one")]),
        Access::Shared,
    )
    .unwrap();

    assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "one");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn when_a_switch_was_cut_short_before_its_names_then_it_is_not_switched_yet() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("volume");
    let (one, two) = (files(&[("a", "one"), ("b", "1")]), files(&[("a", "two")]));
    switch(&folder, &digest("1"), &one, Access::Shared).unwrap();

    // As a kill right after the content was switched leaves it.
    fs::remove_file(folder.join("a")).unwrap();
    assert!(!is_switched(&folder, &digest("1")), "a name is missing");
    switch(&folder, &digest("1"), &one, Access::Shared).unwrap();
    assert!(is_switched(&folder, &digest("1")));

    switch(&folder, &digest("2"), &two, Access::Shared).unwrap();
    symlink("..data/b", folder.join("b")).unwrap();
    assert!(!is_switched(&folder, &digest("2")), "a name is left over");
    switch(&folder, &digest("2"), &two, Access::Shared).unwrap();
    assert_eq!(names(&folder), ["a"]);
}

#[test]
fn when_files_are_private_then_only_the_user_reads_them() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("secret");

    switch(
        &folder,
        &digest("1"),
        &files(&[("key", "x")]),
        Access::Private,
    )
    .unwrap();
    assert_eq!(
        fs::metadata(folder.join("key")).unwrap().mode() & 0o777,
        0o600
    );
    write_private(&root.path().join("env.json"), b"x").unwrap();
    let mode = fs::metadata(root.path().join("env.json")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn when_content_is_there_then_it_is_not_written_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("content").join("abc");
    write_content(&folder, &files(&[("a", "one")]), Access::Shared).unwrap();
    let inode = fs::metadata(folder.join("a")).unwrap().ino();

    write_content(&folder, &files(&[("a", "one")]), Access::Shared).unwrap();

    assert_eq!(fs::metadata(folder.join("a")).unwrap().ino(), inode);
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn when_something_is_removed_twice_then_that_is_fine() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("link");
    symlink("nowhere", &path).unwrap();

    remove(&path).unwrap();
    remove(&path).unwrap();

    assert!(fs::symlink_metadata(&path).is_err());
}
