//! Tests of reading the kernel's files.

use super::*;

#[test]
fn when_a_name_holds_brackets_then_times_are_still_found() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 3 0 100 1000 10";

    assert_eq!(ticks(stat), Some(12));
    assert_eq!(ticks("42 (cut"), None);
}

#[test]
fn when_a_rollup_is_read_then_its_sums_are_bytes() {
    let text = "55ce-7ffd ---p 00000000 00:00 0 [rollup]\nRss:      1696 kB\nPss:       261 kB\n\
                Pss_Dirty: 112 kB\nPss_Anon:  100 kB\n";

    let memory = rollup(text);

    let expected = Memory {
        rss: 1696 * 1024,
        pss: 261 * 1024,
        anonymous: 100 * 1024,
    };
    assert_eq!(memory, expected);
}

#[test]
fn when_this_process_is_looked_at_then_it_has_memory_and_time() {
    let pid = std::process::id();

    assert!(cpu_time(pid).is_ok());
    let now = memory(pid).expect("our own").rss;
    assert!(now > 0 && peak(pid).expect("our own") >= now / 2);
}
