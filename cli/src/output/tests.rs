//! Tables and words.

use super::*;

#[test]
fn when_a_table_is_printed_then_columns_align_and_lines_end_without_spaces() {
    let mut table = Table::new(&["NAME", "READY", "WHY"]);
    table.add(vec!["demo".into(), "online".into(), "–".into()]);
    table.add(vec![
        "a-longer-name".into(),
        "offline".into(),
        String::new(),
    ]);

    assert_eq!(
        table.lines(),
        [
            "NAME           READY    WHY",
            "demo           online   –",
            "a-longer-name  offline",
        ]
    );
}

#[test]
fn when_durations_are_shortened_then_one_unit_is_left() {
    let cases = [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7_200, "2h"),
        (172_800, "2d"),
    ];
    for (seconds, text) in cases {
        assert_eq!(short(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn when_bytes_are_shortened_then_the_unit_fits() {
    assert_eq!(bytes(999), "999 B");
    assert_eq!(bytes(64 * 1024 * 1024), "64 MiB");
}

#[test]
fn when_a_time_is_printed_then_it_is_utc_to_the_second() {
    let at = Timestamp {
        seconds: 1_764_000_000,
        nanos: 5,
    };
    assert_eq!(time(Some(&at)), "2025-11-24 16:00:00 UTC");
    assert_eq!(time(None), "");
}
