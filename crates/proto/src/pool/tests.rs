//! What the contract says about fields.

use super::*;

#[test]
fn when_a_secret_is_looked_at_then_its_marks_are_known() {
    let secret = message("baetyl.resource.v1.Secret").unwrap();
    let field = |name| secret.get_field_by_name(name).unwrap();

    let marks = behavior(&secret);

    assert!(marks.is_required(&field("name")));
    assert!(marks.is_redacted(&field("data")));
    assert!(marks.is_input_only(&field("string_data")));
    assert!(marks.is_output_only(&field("keys")));
    assert!(!marks.is_output_only(&field("etag")));
}

#[test]
fn when_a_message_has_no_marks_then_nothing_is_said() {
    let empty = message("baetyl.resource.v1.EmptyDir").unwrap();

    assert!(behavior(&empty).is_empty());
}
