//! Reading `/proc/<pid>/stat`.

use proptest::prelude::*;

use super::{Entry, ProcessId, ProcessTable, parse_stat};

const TAIL: &str = "S 7 42 42 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 3 0 98765 1000000 250 18446744073709551615 1 1 0";

#[test]
fn when_the_name_holds_brackets_and_blanks_then_the_fields_are_still_found() {
    for name in ["cat", "a b", "x) S 1 (", ")", "("] {
        let entry = parse_stat(format!("42 ({name}) {TAIL}\n").as_bytes());

        assert_eq!(
            entry,
            Some(Entry {
                id: ProcessId {
                    pid: 42,
                    start_time: 98765
                },
                parent: 7,
                group: 42,
                is_dead: false,
                cpu_ticks: 50,
                threads: 3,
                resident_pages: 250,
            }),
            "{name}"
        );
    }
}

#[test]
fn when_this_process_is_looked_up_then_it_is_alive_and_in_the_table() {
    let own = ProcessId::of(std::process::id()).unwrap();

    assert!(own.is_alive());
    assert!(ProcessTable::read().unwrap().find(own).is_some());
    assert!(
        !ProcessId {
            start_time: own.start_time + 1,
            ..own
        }
        .is_alive()
    );
}

proptest! {
    #[test]
    fn when_the_line_is_anything_then_parsing_does_not_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_stat(&line);
    }
}
