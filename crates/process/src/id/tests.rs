//! Ids are plain folder names.

use super::InstanceId;

#[test]
fn when_text_is_a_plain_name_then_it_is_an_id() {
    for text in [
        "a",
        "0198f2c1-5c6e-7a01-9d52-000000000001",
        "sensors.main-3",
        &"x".repeat(64),
    ] {
        assert!(InstanceId::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn when_text_could_leave_the_folder_then_it_is_refused() {
    for text in [
        "",
        ".",
        "..",
        "-a",
        "a/b",
        "A",
        "a b",
        "a\0",
        "é",
        &"x".repeat(65),
    ] {
        assert!(InstanceId::parse(text).is_err(), "{text}");
    }
}
