//! Tests of the module `crash`.

use super::parse;

#[test]
fn when_the_variable_names_a_place_then_the_count_is_one_or_as_given() {
    assert_eq!(parse("after_spawn"), Some(("after_spawn".into(), 1)));
    assert_eq!(parse("after_spawn:3"), Some(("after_spawn".into(), 3)));
    assert_eq!(parse("after_spawn:x"), None);
}
