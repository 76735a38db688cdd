//! Reading while files are written, rotated and removed.

use std::time::UNIX_EPOCH;

use super::{Reader, file_name};
use crate::logs::{Output, encode};
use crate::shim::log_file::LogFile;
use crate::{LogCaps, logs::LogRecord};

const CAPS: LogCaps = LogCaps {
    max_bytes: 200,
    files: 3,
};

fn append(log: &mut LogFile, text: &str) {
    let mut record = Vec::new();
    encode(
        UNIX_EPOCH,
        Output::Stdout,
        text.as_bytes(),
        false,
        &mut record,
    );
    log.append(&record);
    log.flush();
}

fn read_all(reader: &mut Reader) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let batch = reader.next_batch().unwrap();
        texts.extend(batch.records.into_iter().map(|LogRecord { text, .. }| text));
        if batch.at_end {
            return texts;
        }
    }
}

#[test]
fn when_the_log_rotates_under_a_reader_then_it_sees_each_record_once() {
    for reads_every in 1..=7 {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::new(folder.path().to_owned(), CAPS);
        let mut reader = Reader::open(folder.path(), None).unwrap();
        let mut seen = Vec::new();

        for index in 0..100 {
            append(&mut log, &format!("record {index:04}"));
            if index % reads_every == 0 {
                seen.extend(read_all(&mut reader));
            }
        }
        seen.extend(read_all(&mut reader));

        let expected: Vec<_> = (0..100).map(|index| format!("record {index:04}")).collect();
        assert_eq!(seen, expected, "reads every {reads_every}");
    }
}

#[test]
fn when_a_reader_falls_behind_the_cap_then_it_goes_on_with_the_oldest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(folder.path().to_owned(), CAPS);
    append(&mut log, "first");
    let mut reader = Reader::open(folder.path(), None).unwrap();
    let mut seen = read_all(&mut reader);

    for index in 0..200 {
        append(&mut log, &format!("record {index:04}"));
    }
    seen.extend(read_all(&mut reader));

    assert_eq!(seen.first().map(String::as_str), Some("first"));
    assert_eq!(seen.last().map(String::as_str), Some("record 0199"));
    assert!(seen.len() < 60 && seen.is_sorted(), "{seen:?}");
}

#[test]
fn when_a_tail_is_asked_for_then_the_last_records_are_read_over_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LogFile::new(folder.path().to_owned(), CAPS);
    for index in 0..20 {
        append(&mut log, &format!("record {index:04}"));
    }
    for tail in [0, 1, 2, 9, 15, 1000] {
        let mut reader = Reader::open(folder.path(), Some(tail)).unwrap();

        let seen = read_all(&mut reader);

        let all = read_all(&mut Reader::open(folder.path(), None).unwrap());
        let skipped = all.len().saturating_sub(usize::try_from(tail).unwrap());
        assert_eq!(seen, all[skipped..], "tail {tail}");
    }
}

#[test]
fn when_a_record_is_half_written_then_it_is_read_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name(1));
    std::fs::write(&path, "1 o whole\n2 o ha").unwrap();
    let mut reader = Reader::open(folder.path(), None).unwrap();
    assert_eq!(read_all(&mut reader), ["whole"]);

    std::fs::write(&path, "1 o whole\n2 o half\n").unwrap();

    assert_eq!(read_all(&mut reader), ["half"]);
}
