//! Which line of the changelog overrules a break.

use super::new_reason;

const BEFORE: &str = "# Changelog\n\n## Unreleased\n- proto-breaking: old reason\n";

#[test]
fn when_a_reason_is_new_then_it_overrules() {
    let now = "## Unreleased\n- proto-breaking: old reason\n- proto-breaking: new reason\n";

    assert_eq!(new_reason(BEFORE, now), Some("new reason"));
}

#[test]
fn when_a_reason_was_there_before_then_it_does_not_overrule_again() {
    assert_eq!(new_reason(BEFORE, BEFORE), None);
}

#[test]
fn when_a_reason_is_empty_or_of_a_release_then_it_does_not_count() {
    let now = "## [Unreleased]\n- proto-breaking:\n\n## 0.1.0\n- proto-breaking: released\n";

    assert_eq!(new_reason("", now), None);
}
