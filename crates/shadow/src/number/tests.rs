//! Equality of numbers by value.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::same;

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn when_numbers_mean_the_same_then_they_are_equal() {
    let rows = [
        ("1", "1.0", true),
        ("1", "1e0", true),
        ("0", "-0.0", true),
        ("-3", "-3.0", true),
        ("100", "1e2", true),
        ("1", "1.5", false),
        ("0.1", "0.1", true),
        ("0.1", "0.2", false),
        ("1", "-1", false),
        // Not through floating point: 2^53 and 2^53 + 1 are one float.
        ("9007199254740992", "9007199254740993", false),
        ("9007199254740993", "9007199254740992.0", false),
        ("18446744073709551615", "18446744073709551615.0", false),
        ("18446744073709551615", "-1", false),
        ("1e300", "1e300", true),
        ("1e300", "18446744073709551615", false),
    ];
    for (left, right, expected) in rows {
        assert_eq!(same(&read(left), &read(right)), expected, "{left} {right}");
        assert_eq!(same(&read(right), &read(left)), expected, "{right} {left}");
    }
}

#[test]
fn when_kinds_differ_then_values_differ() {
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!("0"),
        json!([]),
        json!({}),
    ];
    for (i, left) in values.iter().enumerate() {
        for (j, right) in values.iter().enumerate() {
            assert_eq!(same(left, right), i == j, "{left} {right}");
        }
    }
}

proptest! {
    #[test]
    fn when_an_integer_is_written_as_a_float_then_it_is_equal(number in -(1_i64 << 53)..(1 << 53)) {
        prop_assert!(same(&json!(number), &json!(number as f64)));
    }

    #[test]
    fn when_two_equal_a_third_then_they_are_equal(numbers: [i8; 3], as_floats: [bool; 3]) {
        let value = |index: usize| match as_floats[index] {
            true => json!(f64::from(numbers[index] / 64)),
            false => json!(numbers[index] / 64),
        };
        let (a, b, c) = (value(0), value(1), value(2));

        prop_assert!(same(&a, &a));
        prop_assert!(!(same(&a, &b) && same(&b, &c)) || same(&a, &c));
    }
}
