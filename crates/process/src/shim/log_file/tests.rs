//! The cap holds after every write, and a refusing disk is only counted.

use std::fs;
use std::path::Path;

use super::LogFile;
use crate::LogCaps;

fn size_of(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn when_more_is_written_than_the_cap_then_the_oldest_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let caps = LogCaps {
        max_bytes: 100,
        files: 3,
    };
    let mut log = LogFile::new(folder.path().to_owned(), caps);

    for _ in 0..200 {
        log.append(b"1 o some text\n");
        log.flush();
        assert!(size_of(folder.path()) <= 300);
    }

    assert_eq!(log.dropped_bytes(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn when_nothing_can_be_written_then_it_is_counted_and_resumed_later() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    fs::write(&folder, "in the way").unwrap();
    let mut log = LogFile::new(folder.clone(), LogCaps::default());
    log.append(b"1 o lost\n");
    log.flush();
    assert_eq!(log.dropped_bytes(), 9);

    fs::remove_file(&folder).unwrap();
    log.append(b"2 o kept\n");
    log.flush();

    assert_eq!(log.dropped_bytes(), 9);
    assert_eq!(
        fs::read_to_string(folder.join("0000000001.log")).unwrap(),
        "2 o kept\n"
    );
}
