//! Paths and answers.

use std::time::Duration;

use super::{encoded, refused};

#[test]
fn when_a_name_has_other_characters_then_it_stays_one_segment() {
    assert_eq!(encoded("web-1.example_~"), "web-1.example_~");
    assert_eq!(encoded("system:node"), "system%3Anode");
    assert_eq!(encoded("../a?b=c%"), "..%2Fa%3Fb%3Dc%25");
    assert_eq!(encoded("ü"), "%C3%BC");
}

#[test]
fn when_an_answer_is_no_status_then_its_text_is_told() {
    let refused = refused(502, b"  bad gateway\n", Some(Duration::from_secs(3)));

    assert_eq!(refused.status.code, 502);
    assert_eq!(refused.status.message, "bad gateway");
    assert_eq!(refused.retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn when_a_status_names_a_time_then_it_counts_without_the_header() {
    let body = br#"{"kind":"Status","code":429,"reason":"TooManyRequests",
        "message":"slow down","details":{"retryAfterSeconds":7}}"#;

    assert_eq!(
        refused(429, body, None).retry_after,
        Some(Duration::from_secs(7))
    );
}
