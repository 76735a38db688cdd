//! What quantities mean.

use proptest::prelude::*;

use super::{Quantity, QuantityError};

fn millis(text: &str) -> Result<u64, QuantityError> {
    Quantity::parse(text).map(Quantity::millis)
}

fn units(text: &str) -> Result<u64, QuantityError> {
    Quantity::parse(text).map(Quantity::units)
}

#[test]
fn when_quantity_counts_processors_then_it_is_thousandths() {
    let cases = [
        ("1", 1000),
        ("200m", 200),
        ("0.5", 500),
        (".5", 500),
        ("1.5", 1500),
        ("2.", 2000),
        ("0", 0),
        ("1u", 1),
        ("1e-3", 1),
        ("+1", 1000),
    ];
    for (text, expected) in cases {
        assert_eq!(millis(text), Ok(expected), "{text}");
    }
}

#[test]
fn when_quantity_counts_bytes_then_it_is_units() {
    let cases = [
        ("64Mi", 64 << 20),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", 3 << 29),
        ("1e3", 1000),
        ("1E", 1_000_000_000_000_000_000),
        ("1E3", 1000),
        ("1Ti", 1 << 40),
        ("100m", 1),
    ];
    for (text, expected) in cases {
        assert_eq!(units(text), Ok(expected), "{text}");
    }
}

#[test]
fn when_text_is_no_quantity_then_it_says_why() {
    use QuantityError::{Malformed, Negative, Suffix, TooLarge};
    let cases = [
        ("", Malformed),
        ("m", Malformed),
        (".", Malformed),
        ("1.2.3", Malformed),
        ("64MB", Suffix),
        ("64mi", Suffix),
        ("1 ", Suffix),
        ("1e", Suffix),
        ("1e3.5", Suffix),
        ("-1", Negative),
        ("1e40", TooLarge),
        ("9999999999999999999999999", TooLarge),
        ("999999999999999999999999Ei", TooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(Quantity::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn when_amount_is_beyond_64_bits_then_it_is_the_largest_number() {
    assert_eq!(units("99Ei"), Ok(u64::MAX));
}

proptest! {
    #[test]
    fn when_any_text_is_read_then_nothing_panics(text in "\\PC{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn when_number_is_drawn_from_the_grammar_then_nothing_panics(
        text in "[+-]?[0-9]{0,26}\\.?[0-9]{0,26}(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,3})?",
    ) {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn when_whole_number_is_read_then_it_is_itself(number in 0_u64..1_000_000_000_000) {
        prop_assert_eq!(units(&number.to_string()), Ok(number));
        prop_assert_eq!(millis(&format!("{number}m")), Ok(number));
    }
}
