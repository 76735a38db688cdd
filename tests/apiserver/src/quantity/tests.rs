//! Tests of amounts.

use super::*;

#[test]
fn when_an_amount_is_read_then_it_is_spelled_as_the_server_does() {
    let cases = [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("64Mi", "64Mi"),
        ("1000Ki", "1000Ki"),
        ("100", "100"),
        ("1e3", "1e3"),
        ("12E", "12E"),
        ("0", "0"),
        ("0Mi", "0"),
        ("512", "512"),
        ("2000", "2k"),
        ("-1", "-1"),
        ("1.2345678901", "1234567891n"),
        ("100000000000000000000000000000000", ""),
        ("", ""),
        ("abc", ""),
        ("1.2.3", ""),
        ("10Zi", ""),
    ];

    for (text, expected) in cases {
        let spelled = Quantity::parse(text).map(Quantity::canonical);

        assert_eq!(spelled.unwrap_or_default(), expected, "{text:?}");
    }
}

#[test]
fn when_amounts_are_compared_then_their_spelling_does_not_matter() {
    let small = Quantity::parse("1G").unwrap();
    let large = Quantity::parse("1Gi").unwrap();

    assert!(large.is_more_than(small));
    assert!(!small.is_more_than(large));
}
