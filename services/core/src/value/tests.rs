//! Values keep what they are on the way through messages.

use serde_json::json;

use super::*;

#[test]
fn when_a_value_goes_through_a_message_then_it_is_the_same() {
    for value in [
        json!(null),
        json!(true),
        json!(7),
        json!(-3),
        json!(0.5),
        json!("text"),
        json!([1, "two", {"three": 3}]),
        json!({"a": {"b": [null]}}),
    ] {
        assert_eq!(to_json(&from_json(&value)), value);
    }
}

#[test]
fn when_a_number_is_none_in_json_then_it_is_null() {
    assert_eq!(number(f64::NAN), json!(null));
    assert_eq!(number(f64::INFINITY), json!(null));
}

#[test]
fn when_a_time_is_before_1970_then_its_nanoseconds_stay_positive() {
    let stamp = timestamp_of_millis(UnixMillis(-1));

    assert_eq!((stamp.seconds, stamp.nanos), (-1, 999_000_000));
}
