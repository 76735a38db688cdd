//! Timetables that the cluster's controller reads, and those that it does not.

use proptest::prelude::*;

use super::check;

#[test]
fn when_a_timetable_is_right_then_it_passes() {
    let right = [
        "* * * * *",
        "*/5 * * * *",
        "0 3 * * 1-5",
        "0,30 8-18/2 1,15 * ?",
        "5/15 0 1 JAN-mar sun",
        "  0 0 29 2 *  ",
        "0 0 31 1,2 *",
        "0 0 31 2 mon",
        "@daily",
        "@hourly",
        "59 23 31 12 6",
    ];

    for text in right {
        assert_eq!(check(text), Ok(()), "{text:?}");
    }
}

#[test]
fn when_a_timetable_is_wrong_then_the_field_is_named() {
    let wrong = [
        (
            "",
            "must have minute, hour, day of month, month and day of week, got 0 fields",
        ),
        (
            "* * * *",
            "must have minute, hour, day of month, month and day of week, got 4 fields",
        ),
        (
            "TZ=UTC 0 3 * * *",
            "must have minute, hour, day of month, month and day of week, got 6 fields",
        ),
        ("60 * * * *", "minute must be 0 to 59, got \"60\""),
        ("-1 * * * *", "minute must be 0 to 59, got \"\""),
        ("+1 * * * *", "minute must be 0 to 59, got \"+1\""),
        ("* 24 * * *", "hour must be 0 to 23, got \"24\""),
        ("* * 0 * *", "day of month must be 1 to 31, got \"0\""),
        (
            "* * * 13 *",
            "month must be 1 to 12 or jan to dec, got \"13\"",
        ),
        (
            "* * * * 7",
            "day of week must be 0 to 6 or sun to sat, got \"7\"",
        ),
        (
            "* * * * monday",
            "day of week must be 0 to 6 or sun to sat, got \"monday\"",
        ),
        (
            "9-3 * * * *",
            "minute has the range \"9-3\", which ends before it begins",
        ),
        (
            "*/0 * * * *",
            "minute has the step \"0\", which must be 1 or more",
        ),
        (
            "*/ * * * *",
            "minute has the step \"\", which must be 1 or more",
        ),
        ("1,, * * * *", "minute must be 0 to 59, got \"\""),
        (
            "0 0 30 2 *",
            "never comes: no month that is named has such a day",
        ),
        (
            "0 0 31 4,6 ?",
            "never comes: no month that is named has such a day",
        ),
        (
            "@every 5m",
            "must be @hourly, @daily, @weekly, @monthly or @yearly, got \"@every 5m\"",
        ),
    ];

    for (text, expected) in wrong {
        let found = check(text).map_err(|error| error.to_string());
        assert_eq!(found, Err(expected.to_owned()), "{text:?}");
    }
    assert!(check(&"1,".repeat(200)).is_err());
}

proptest! {
    #[test]
    fn when_anything_is_checked_then_nothing_panics(text in "[@0-9*/,? a-z-]{0,40}") {
        check(&text).ok();
    }
}
